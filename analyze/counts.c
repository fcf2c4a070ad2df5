#include "analyze/counts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* No run costs more bytes or devices than that, and a sum of many is no overflow. */
static const int64_t most_of_receipt = (int64_t)1 << 53;

struct check {
    const struct ol_activation_file *f;
    const struct ol_activation_layout *layout;
    int64_t n_tokens;   /* of all sequences */
    int64_t *histogram; /* [OL_N_CODES] */
    int32_t *counts;    /* [n_sequences, d_model] */
};

static int refuse(const struct check *c, int layer, const char *table, double found,
                  double most, struct ol_error *err)
{
    return ol_fail(err,
                   "%s: /layers/%03d/summary/%s: a count is %.10g, expected 0 to %.10g",
                   ol_activation_path(c->f), layer, table, found, most);
}

static int check_histogram(const struct check *c, int layer, const char *site,
                           struct ol_error *err)
{
    const int64_t all = c->n_tokens * c->layout->d_model;
    int64_t left = all;
    for (int code = 0; code < OL_N_CODES; code++) {
        if (c->histogram[code] < 0 || c->histogram[code] > left)
            return ol_fail(err,
                           "%s: /layers/%03d/summary/%s/histogram: code 0x%04x is there "
                           "%" PRId64 " times, expected 0 to %" PRId64,
                           ol_activation_path(c->f), layer, site, (unsigned)code,
                           c->histogram[code], left);
        left -= c->histogram[code];
    }
    return left == 0 ? 0
                     : ol_fail(err,
                               "%s: /layers/%03d/summary/%s/histogram: %" PRId64
                               " values, expected %" PRId64 " (tokens x d_model)",
                               ol_activation_path(c->f), layer, site, all - left, all);
}

static int check_occurrences(const struct check *c, int layer, const char *site,
                             struct ol_error *err)
{
    const int32_t *lengths = ol_activation_input(c->f)->lengths;
    char table[32];
    snprintf(table, sizeof table, "%s/counts", site);
    for (int64_t s = 0; s < c->layout->n_sequences; s++)
        for (int64_t f = 0; f < c->layout->d_model; f++) {
            const int32_t n = c->counts[s * c->layout->d_model + f];
            if (n < 0 || n > lengths[s])
                return refuse(c, layer, table, n, lengths[s], err);
        }
    return 0;
}

static int check_site(const struct check *c, int i_layer, enum ol_summary_site site,
                      struct ol_error *err)
{
    const bool ln = site != OL_SUMMARY_OUTPUT;
    const int layer = c->layout->layers[i_layer].number;
    const char *name = ol_summary_site_name(site);
    const struct ol_activation_summary summary = {.histogram = c->histogram,
                                                  .counts = ln ? c->counts : NULL};
    ol_activation_read_summary(c->f, i_layer, site, &summary);
    if (check_histogram(c, layer, name, err) != 0)
        return -1;
    return ln ? check_occurrences(c, layer, name, err) : 0;
}

static int check_units(const struct check *c, int i_layer, struct ol_error *err)
{
    const struct ol_activation_layer *layer = &c->layout->layers[i_layer];
    const int64_t most = c->n_tokens * (layer->top_k > 0 ? layer->top_k : 1);
    double *units = ol_xcalloc((size_t)layer->n_units * OL_N_UNIT_COLUMNS, sizeof *units);
    int status = 0;
    ol_activation_copy(c->f, OL_TABLE_UNITS, i_layer, units);
    for (int i = 0; i < layer->n_units && status == 0; i++) {
        const double n = units[i * OL_N_UNIT_COLUMNS + OL_UNIT_TOKENS];
        if (!(n >= 0 && n <= (double)most))
            status = ol_fail(err,
                             "%s: /layers/%03d/summary/units: unit %d has %g tokens, "
                             "expected 0 to %" PRId64,
                             ol_activation_path(c->f), layer->number, i, n, most);
    }
    free(units);
    return status;
}

/* Of how many heads a token is a sink, and how many tokens are of a head. */
static int check_sinks(const struct check *c, int i_layer, struct ol_error *err)
{
    const struct ol_activation_layer *layer = &c->layout->layers[i_layer];
    const int32_t *lengths = ol_activation_input(c->f)->lengths;
    const int64_t n_rows = c->layout->n_sequences * layer->n_heads;
    double *heads = ol_xcalloc((size_t)(n_rows * OL_N_HEAD_COLUMNS), sizeof *heads);
    double found = 0, most = 0;
    bool good = true;
    ol_activation_copy(c->f, OL_TABLE_HEADS, i_layer, heads);
    for (int64_t i = 0; i < n_rows && good; i++) {
        found = heads[i * OL_N_HEAD_COLUMNS + OL_HEAD_N_SINKS];
        most = lengths[i / layer->n_heads];
        good = found >= 0 && found <= most;
    }
    free(heads);
    if (!good)
        return refuse(c, layer->number, "attention/heads", found, most, err);
    for (int64_t s = 0; s < c->layout->n_sequences; s++) {
        const float *rows = ol_activation_get(c->f, OL_TABLE_RECEIVED, i_layer, s);
        for (int64_t t = 0; t < lengths[s]; t++) {
            found = rows[t * OL_N_RECEIVED_COLUMNS + OL_RECEIVED_HEADS];
            if (!(found >= 0 && found <= layer->n_heads))
                return refuse(c, layer->number, "attention/received", found,
                              layer->n_heads, err);
        }
    }
    return 0;
}

/* What each value of outliers counts is at some site of some token. */
static int check_values(const struct check *c, struct ol_error *err)
{
    const struct ol_activation_outliers *o = ol_activation_outliers(c->f);
    const int64_t most = 2 * c->layout->n_layers * c->n_tokens * c->layout->d_model;
    int64_t left = most;
    for (int64_t i = 0; i < o->n_values; i++) {
        if (o->counts[i] < 0 || o->counts[i] > left)
            return ol_fail(err,
                           "%s: /summary/value_counts: value %" PRId64
                           " is there %" PRId64 " times, expected 0 to %" PRId64,
                           ol_activation_path(c->f), i, o->counts[i], left);
        left -= o->counts[i];
    }
    return 0;
}

static int check_receipt(const struct check *c, struct ol_error *err)
{
    const struct ol_activation_receipt *r = ol_activation_receipt(c->f);
    const struct {
        const char *name;
        int64_t value;
    } counts[] = {
        {"bytes_read", r->bytes_read},   {"bytes_fetched", r->bytes_fetched},
        {"requests", r->n_requests},     {"link_bytes", r->link_bytes},
        {"peer_bytes", r->peer_bytes},   {"copied_bytes", r->copied_bytes},
        {"peak_memory", r->peak_memory}, {"peak_device_memory", r->peak_device_memory},
        {"n_devices", r->n_devices}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (counts[i].value < 0 || counts[i].value > most_of_receipt)
            return ol_fail(err, "%s: /receipt: %s is %" PRId64 ", expected 0 to %" PRId64,
                           ol_activation_path(c->f), counts[i].name, counts[i].value,
                           most_of_receipt);
    return 0;
}

int ol_counts_check(const struct ol_activation_file *f, struct ol_error *err)
{
    struct check c = {.f = f, .layout = ol_activation_layout(f)};
    if (check_receipt(&c, err) != 0)
        return -1;
    if (!c.layout->summary)
        return 0;
    for (int64_t s = 0; s < c.layout->n_sequences; s++)
        c.n_tokens += ol_activation_input(f)->lengths[s];
    c.histogram = ol_xcalloc(OL_N_CODES, sizeof *c.histogram);
    c.counts =
        ol_xcalloc((size_t)(c.layout->n_sequences * c.layout->d_model), sizeof *c.counts);
    int status = check_values(&c, err);
    for (int l = 0; l < c.layout->n_layers && status == 0; l++) {
        for (int site = 0; site < OL_N_SUMMARY_SITES && status == 0; site++)
            if (c.layout->layers[l].summary_sites[site])
                status = check_site(&c, l, (enum ol_summary_site)site, err);
        if (status == 0 && c.layout->layers[l].n_units > 0)
            status = check_units(&c, l, err);
        if (status == 0 && c.layout->layers[l].n_heads > 0)
            status = check_sinks(&c, l, err);
    }
    free(c.counts);
    free(c.histogram);
    return status;
}
