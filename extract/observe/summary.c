#include "extract/observe/summary.h"

#include <math.h>
#include <stdlib.h>

#include "common/magnitude.h"
#include "common/tally.h"

struct ol_summary {
    const struct ol_activation_layout *layout;
    int64_t d_model, position_bytes;
    uint32_t least; /* code of the smallest occurrence */
    uint8_t *positions;
    struct ol_tally values; /* feature << 16 | code */
    struct ol_activation_summary site;
    bool fresh; /* nothing of the site has come yet */
};

int64_t ol_summary_bytes(int64_t n_rows, int64_t d_model, int64_t n_sequences)
{
    enum { VALUES = 16 << 20 }; /* of occurrences: few values, of few dimensions */
    return n_rows * d_model / 8 + n_sequences * d_model * 9 + VALUES;
}

struct ol_summary *ol_summary_new(const struct ol_activation_layout *layout)
{
    struct ol_summary *s = ol_xcalloc(1, sizeof *s);
    const size_t d = (size_t)layout->d_model, n = (size_t)layout->n_sequences;
    s->layout = layout;
    s->d_model = layout->d_model;
    s->position_bytes = ol_activation_position_bytes(layout);
    s->least = ol_least_bf16(layout->threshold);
    s->positions = ol_xcalloc(n * d, (size_t)s->position_bytes);
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
    free(s->site.maxima);
    free(s->site.counts);
    free(s->site.columns);
    free(s->site.histogram);
    ol_tally_clear(&s->values);
    free(s->positions);
    free(s);
}

static void begin_site(struct ol_summary *s)
{
    const size_t d = (size_t)s->d_model, n = (size_t)s->layout->n_sequences;
    if (!s->fresh)
        return;
    memset(s->site.histogram, 0, OL_N_CODES * sizeof *s->site.histogram);
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

/* ---- a sequence ---- */

static void add_columns(struct ol_summary *s, const struct ol_digest *digest)
{
    const int64_t d = s->d_model;
    double *max = s->site.columns + OL_COLUMN_MAX * d,
           *min = s->site.columns + OL_COLUMN_MIN * d,
           *sum = s->site.columns + OL_COLUMN_SUM * d,
           *squares = s->site.columns + OL_COLUMN_SUM_SQUARES * d;
    for (int64_t c = 0; c < d; c++) {
        const double top = (double)digest->maxima[c], bottom = (double)digest->minima[c];
        max[c] = top > max[c] ? top : max[c];
        min[c] = bottom < min[c] ? bottom : min[c];
        sum[c] += digest->sums[c];
        squares[c] += digest->squares[c];
    }
}

static void note_occurrence(struct ol_summary *s, int64_t sequence, int64_t position,
                            int64_t column, uint16_t code)
{
    const int64_t at = sequence * s->d_model + column;
    const float magnitude = fabsf(ol_bf16_to_f32(code));
    s->site.counts[at]++;
    if (magnitude > s->site.maxima[at])
        s->site.maxima[at] = magnitude;
    s->positions[at * s->position_bytes + position / 8] |= (uint8_t)(1 << position % 8);
    ol_tally_add(&s->values, (uint64_t)column << 16 | code, 1);
}

static void find_occurrences(struct ol_summary *s, int64_t sequence, int64_t position,
                             const uint16_t *x)
{
    for (int64_t c = 0; c < s->d_model; c += OL_STRETCH) {
        const int64_t left = s->d_model - c;
        uint64_t mask = ol_reaching_bf16(
            x + c, (uint32_t)(left < OL_STRETCH ? left : OL_STRETCH), s->least);
        for (; mask != 0; mask &= mask - 1) {
            const int64_t i = c + __builtin_ctzll(mask);
            if ((x[i] & OL_BF16_MAGNITUDE) <= OL_BF16_INFINITY)
                note_occurrence(s, sequence, position, i, x[i]);
        }
    }
}

void ol_summary_add(struct ol_summary *s, int64_t sequence,
                    const struct ol_digest *digest)
{
    begin_site(s);
    add_columns(s, digest);
    for (int64_t i = 0; digest->listed && i < digest->n_occurrences; i++) {
        const struct ol_occurrence *o = &digest->occurrences[i];
        note_occurrence(s, sequence, o->row, o->column, o->code);
    }
    for (int64_t row = 0; !digest->listed && row < digest->n_rows; row++)
        find_occurrences(s, sequence, row, digest->codes + row * s->d_model);
}

void ol_summary_add_counts(struct ol_summary *s, const int64_t *counts)
{
    begin_site(s);
    for (int c = 0; c < OL_N_CODES; c++)
        s->site.histogram[c] += counts[c];
}

const struct ol_activation_summary *ol_summary_site(struct ol_summary *s,
                                                    const float *gains)
{
    begin_site(s);
    for (int64_t c = 0; c < s->d_model; c++)
        s->site.columns[OL_COLUMN_GAIN * s->d_model + c] =
            gains != NULL ? (double)gains[c] : 1;
    s->fresh = true;
    return &s->site;
}

/* ---- over all sites ---- */

void ol_summary_outliers(const struct ol_summary *s, struct ol_activation_outliers *o)
{
    const size_t n = s->values.n;
    struct ol_counted *sorted = ol_tally_sorted(&s->values);
    const size_t bytes =
        (size_t)(s->layout->n_sequences * s->d_model * s->position_bytes);
    *o = (struct ol_activation_outliers){
        .positions = ol_xmalloc(bytes),
        .n_values = (int64_t)n,
        .features = ol_xcalloc(n, sizeof *o->features),
        .codes = ol_xcalloc(n, sizeof *o->codes),
        .counts = ol_xcalloc(n, sizeof *o->counts),
    };
    memcpy(o->positions, s->positions, bytes);
    for (size_t i = 0; i < n; i++) {
        o->features[i] = (int32_t)(sorted[i].key >> 16);
        o->codes[i] = (uint16_t)sorted[i].key;
        o->counts[i] = sorted[i].n;
    }
    free(sorted);
}

size_t ol_summary_saved_bytes(const struct ol_activation_layout *layout, int64_t n)
{
    const size_t positions = (size_t)(layout->n_sequences * layout->d_model *
                                      ol_activation_position_bytes(layout));
    return layout->summary ? positions + sizeof(int64_t) * (size_t)(1 + 2 * n) : 0;
}

/* [positions][n values][feature, code, count of each] */
void ol_summary_save(const struct ol_summary *s, void **bytes, size_t *n)
{
    struct ol_activation_outliers o;
    ol_summary_outliers(s, &o);
    const size_t positions =
        (size_t)(s->layout->n_sequences * s->d_model * s->position_bytes);
    *n = ol_summary_saved_bytes(s->layout, o.n_values);
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
    if (n_values < 0 || n != ol_summary_saved_bytes(s->layout, n_values))
        return ol_fail(err,
                       "the summary of the unfinished run has %zu bytes, expected "
                       "%zu and its values",
                       n, positions);
    memcpy(s->positions, at, positions);
    at += positions + sizeof n_values;
    for (int64_t i = 0; i < n_values; i++) {
        int64_t pair[2];
        memcpy(pair, at + (size_t)i * sizeof pair, sizeof pair);
        ol_tally_add(&s->values, (uint64_t)pair[0], pair[1]);
    }
    return 0;
}
