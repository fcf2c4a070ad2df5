/* Columns are shared out to the threads in stripes: each dimension's sums grow row by row
 * in one thread, and everything else is counts, so that the result does not depend on the
 * number of threads. */
#include "extract/summary.h"

#include <math.h>
#include <stdlib.h>

#include "common/magnitude.h"
#include "common/parallel.h"
#include "common/tally.h"

enum { STRIPE = 256 }; /* a multiple of OL_STRETCH; its sums stay in the nearest cache */

struct ol_summary {
    const struct ol_activation_layout *layout;
    struct ol_pool *pool;
    int64_t d_model, position_bytes;
    uint32_t least; /* code of the smallest occurrence */
    uint8_t *positions;
    struct ol_tally *values; /* [threads]: feature << 16 | code */
    int64_t **histograms;    /* [threads][OL_N_CODES], of the site */
    struct ol_activation_summary site;
    bool fresh; /* the site has no rows yet */

    /* The call. */
    enum ol_summary_site kind;
    int64_t sequence, token, n;
    const uint16_t *rows;
};

int64_t ol_summary_bytes(int64_t n_rows, int64_t d_model, int64_t n_sequences)
{
    enum { VALUES = 16 << 20 }; /* of occurrences: few values, of few dimensions */
    return n_rows * d_model / 8 + n_sequences * d_model * 9 + VALUES;
}

struct ol_summary *ol_summary_new(const struct ol_activation_layout *layout,
                                  int n_threads, struct ol_error *err)
{
    struct ol_summary *s = ol_xcalloc(1, sizeof *s);
    const size_t d = (size_t)layout->d_model, n = (size_t)layout->n_sequences;
    s->pool = ol_pool_new(n_threads, err);
    if (s->pool == NULL) {
        free(s);
        return NULL;
    }
    n_threads = ol_pool_threads(s->pool);
    s->layout = layout;
    s->d_model = layout->d_model;
    s->position_bytes = ol_activation_position_bytes(layout);
    s->least = ol_least_bf16(layout->threshold);
    s->positions = ol_xcalloc(n * d, (size_t)s->position_bytes);
    s->values = ol_xcalloc((size_t)n_threads, sizeof *s->values);
    s->histograms = ol_xcalloc((size_t)n_threads, sizeof *s->histograms);
    for (int i = 0; i < n_threads; i++)
        s->histograms[i] = ol_xcalloc(OL_N_CODES, sizeof **s->histograms);
    s->site.histogram = ol_xcalloc(OL_N_CODES, sizeof *s->site.histogram);
    s->site.columns = ol_xcalloc(OL_N_COLUMN_ROWS * d, sizeof *s->site.columns);
    s->site.counts = ol_xcalloc(n * d, sizeof *s->site.counts);
    s->site.maxima = ol_xcalloc(n * d, sizeof *s->site.maxima);
    s->fresh = true;
    return s;
}

void ol_summary_free(struct ol_summary *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < ol_pool_threads(s->pool); i++) {
        free(s->histograms[i]);
        ol_tally_clear(&s->values[i]);
    }
    free(s->site.maxima);
    free(s->site.counts);
    free(s->site.columns);
    free(s->site.histogram);
    free(s->histograms);
    free(s->values);
    free(s->positions);
    ol_pool_free(s->pool);
    free(s);
}

static void begin_site(struct ol_summary *s)
{
    const size_t d = (size_t)s->d_model, n = (size_t)s->layout->n_sequences;
    for (int i = 0; i < ol_pool_threads(s->pool); i++)
        memset(s->histograms[i], 0, OL_N_CODES * sizeof **s->histograms);
    for (size_t c = 0; c < d; c++) {
        s->site.columns[OL_COLUMN_MAX * d + c] = -INFINITY;
        s->site.columns[OL_COLUMN_MIN * d + c] = INFINITY;
        s->site.columns[OL_COLUMN_SUM * d + c] = 0;
        s->site.columns[OL_COLUMN_SUM_SQUARES * d + c] = 0;
    }
    memset(s->site.counts, 0, n * d * sizeof *s->site.counts);
    memset(s->site.maxima, 0, n * d * sizeof *s->site.maxima);
    s->fresh = false;
}

/* ---- a stripe of columns ---- */

/* Sums of n columns; NaN leaves maximum and minimum as they are. */
static void add_row(const uint16_t *x, int64_t n, float *max, float *min, double *sum,
                    double *squares)
{
    for (int64_t c = 0; c < n; c++) {
        const float value = ol_bf16_to_f32(x[c]);
        max[c] = value > max[c] ? value : max[c];
        min[c] = value < min[c] ? value : min[c];
        sum[c] += (double)value;
        squares[c] += (double)value * (double)value;
    }
}

static void count_codes(const uint16_t *x, int64_t n, int64_t *histogram)
{
    for (int64_t c = 0; c < n; c++)
        histogram[x[c]]++;
}

static void note_occurrence(struct ol_summary *s, struct ol_tally *values, int64_t column,
                            int64_t position, uint16_t code)
{
    const int64_t at = s->sequence * s->d_model + column;
    const float magnitude = fabsf(ol_bf16_to_f32(code));
    if ((code & OL_BF16_MAGNITUDE) > OL_BF16_INFINITY)
        return; /* NaN */
    s->site.counts[at]++;
    if (magnitude > s->site.maxima[at])
        s->site.maxima[at] = magnitude;
    s->positions[at * s->position_bytes + position / 8] |= (uint8_t)(1 << position % 8);
    ol_tally_add(values, (uint64_t)column << 16 | code, 1);
}

static void find_occurrences(struct ol_summary *s, struct ol_tally *values,
                             const uint16_t *x, int64_t first, int64_t n,
                             int64_t position)
{
    for (int64_t c = 0; c < n; c += OL_STRETCH) {
        const int64_t width = n - c < OL_STRETCH ? n - c : OL_STRETCH;
        uint64_t mask = ol_reaching_bf16(x + c, (uint32_t)width, s->least);
        for (; mask != 0; mask &= mask - 1) {
            const int64_t i = c + __builtin_ctzll(mask);
            note_occurrence(s, values, first + i, position, x[i]);
        }
    }
}

static void take_stripe(void *arg, int64_t i, int thread)
{
    struct ol_summary *s = arg;
    const int64_t d = s->d_model, first = i * STRIPE;
    const int64_t n = d - first < STRIPE ? d - first : STRIPE;
    double *columns = s->site.columns + first;
    float max[STRIPE], min[STRIPE];
    for (int64_t c = 0; c < n; c++) {
        max[c] = (float)columns[OL_COLUMN_MAX * d + c];
        min[c] = (float)columns[OL_COLUMN_MIN * d + c];
    }
    for (int64_t row = 0; row < s->n; row++) {
        const uint16_t *x = s->rows + row * d + first;
        count_codes(x, n, s->histograms[thread]);
        add_row(x, n, max, min, columns + OL_COLUMN_SUM * d,
                columns + OL_COLUMN_SUM_SQUARES * d);
        if (s->kind != OL_SUMMARY_OUTPUT)
            find_occurrences(s, &s->values[thread], x, first, n, s->token + row);
    }
    for (int64_t c = 0; c < n; c++) {
        columns[OL_COLUMN_MAX * d + c] = (double)max[c];
        columns[OL_COLUMN_MIN * d + c] = (double)min[c];
    }
}

void ol_summary_take(struct ol_summary *s, enum ol_summary_site site, int64_t sequence,
                     int64_t token, int64_t n, const uint16_t *rows)
{
    if (s->fresh)
        begin_site(s);
    s->kind = site;
    s->sequence = sequence;
    s->token = token;
    s->n = n;
    s->rows = rows;
    ol_pool_run(s->pool, (s->d_model + STRIPE - 1) / STRIPE, take_stripe, s);
}

const struct ol_activation_summary *ol_summary_site(struct ol_summary *s,
                                                    const float *gains)
{
    if (s->fresh)
        begin_site(s);
    for (int64_t c = 0; c < s->d_model; c++)
        s->site.columns[OL_COLUMN_GAIN * s->d_model + c] =
            gains != NULL ? (double)gains[c] : 1;
    memset(s->site.histogram, 0, OL_N_CODES * sizeof *s->site.histogram);
    for (int i = 0; i < ol_pool_threads(s->pool); i++)
        for (int c = 0; c < OL_N_CODES; c++)
            s->site.histogram[c] += s->histograms[i][c];
    s->fresh = true;
    return &s->site;
}

/* ---- over all sites ---- */

void ol_summary_outliers(const struct ol_summary *s, struct ol_activation_outliers *o)
{
    struct ol_tally all = {0};
    for (int i = 0; i < ol_pool_threads(s->pool); i++)
        for (size_t k = 0; k < s->values[i].n_slots; k++)
            if (s->values[i].slots[k].n > 0)
                ol_tally_add(&all, s->values[i].slots[k].key, s->values[i].slots[k].n);
    struct ol_counted *sorted = ol_tally_sorted(&all);
    const size_t bytes =
        (size_t)(s->layout->n_sequences * s->d_model * s->position_bytes);
    *o = (struct ol_activation_outliers){
        .positions = ol_xmalloc(bytes),
        .n_values = (int64_t)all.n,
        .features = ol_xcalloc(all.n, sizeof *o->features),
        .codes = ol_xcalloc(all.n, sizeof *o->codes),
        .counts = ol_xcalloc(all.n, sizeof *o->counts),
    };
    memcpy(o->positions, s->positions, bytes);
    for (size_t i = 0; i < all.n; i++) {
        o->features[i] = (int32_t)(sorted[i].key >> 16);
        o->codes[i] = (uint16_t)sorted[i].key;
        o->counts[i] = sorted[i].n;
    }
    free(sorted);
    ol_tally_clear(&all);
}

/* [positions][n values][feature, code, count of each] */
void ol_summary_save(const struct ol_summary *s, void **bytes, size_t *n)
{
    struct ol_activation_outliers o;
    ol_summary_outliers(s, &o);
    const size_t positions =
        (size_t)(s->layout->n_sequences * s->d_model * s->position_bytes);
    *n = positions + sizeof(int64_t) * (size_t)(1 + 2 * o.n_values);
    *bytes = ol_xmalloc(*n);
    char *at = *bytes;
    memcpy(at, o.positions, positions);
    memcpy(at + positions, &o.n_values, sizeof o.n_values);
    at += positions + sizeof o.n_values;
    for (int64_t i = 0; i < o.n_values; i++) {
        const int64_t pair[2] = {(int64_t)o.features[i] << 16 | o.codes[i], o.counts[i]};
        memcpy(at + (size_t)i * sizeof pair, pair, sizeof pair);
    }
    ol_activation_outliers_clear(&o);
}

int ol_summary_restore(struct ol_summary *s, const void *bytes, size_t n,
                       struct ol_error *err)
{
    const size_t positions =
        (size_t)(s->layout->n_sequences * s->d_model * s->position_bytes);
    const char *at = bytes;
    int64_t n_values = -1;
    if (n >= positions + sizeof n_values)
        memcpy(&n_values, at + positions, sizeof n_values);
    if (n_values < 0 || n != positions + sizeof(int64_t) * (size_t)(1 + 2 * n_values))
        return ol_fail(err,
                       "the summary of the unfinished run has %zu bytes, expected "
                       "%zu and its values",
                       n, positions);
    memcpy(s->positions, at, positions);
    at += positions + sizeof n_values;
    for (int64_t i = 0; i < n_values; i++) {
        int64_t pair[2];
        memcpy(pair, at + (size_t)i * sizeof pair, sizeof pair);
        ol_tally_add(&s->values[0], (uint64_t)pair[0], pair[1]);
    }
    return 0;
}
