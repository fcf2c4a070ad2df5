#include "analyze/token_kurtosis.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_FIRST = 64, MOST_OTHERS = 4032 };

/* Rows that have the kurtosis that is asked for, once divided by the gains. */
struct rows {
    int i_layer;
    enum ol_site site;
    double *gains; /* [d_model], owned; NULL: they are as they should be */
};

struct ol_sample ol_token_kurtosis_sample(const struct ol_parts *parts)
{
    struct ol_sampler *sampler = ol_sampler_new(MOST_FIRST, MOST_OTHERS);
    for (int64_t s = 0; s < parts->n_sequences; s++)
        for (int64_t p = 0; p < parts->lengths[s]; p++)
            ol_sampler_add(sampler, s, p);
    return ol_sampler_finish(sampler);
}

/* What the norm of a site multiplied by; NULL where a dimension was lost by it. */
static double *read_gains(const struct ol_parts *parts, int i_layer,
                          enum ol_summary_site site)
{
    const size_t d = (size_t)ol_parts_layout(parts)->d_model;
    double *columns = ol_xcalloc(OL_N_COLUMN_ROWS * d, sizeof *columns),
           *gains = ol_xcalloc(d, sizeof *gains);
    const struct ol_activation_summary summary = {.columns = columns};
    bool whole = true;
    ol_activation_read_summary(parts->files[0], i_layer, site, &summary);
    for (size_t c = 0; c < d; c++) {
        gains[c] = columns[OL_COLUMN_GAIN * d + c];
        whole = whole && isfinite(gains[c]) && gains[c] != 0;
    }
    free(columns);
    if (whole)
        return gains;
    free(gains);
    return NULL;
}

static bool find_rows(const struct ol_parts *parts, int i_layer,
                      enum ol_summary_site site, struct rows *rows)
{
    const struct ol_activation_layout *layout = ol_parts_layout(parts);
    const struct ol_activation_layer *here = &layout->layers[i_layer], *next = here + 1;
    *rows = (struct rows){.i_layer = i_layer};
    if (site != OL_SUMMARY_OUTPUT) {
        rows->site = site == OL_SUMMARY_LN_ATTN ? OL_SITE_LN_ATTN : OL_SITE_LN_MLP;
        return here->sites[rows->site];
    }
    if (i_layer + 1 == layout->n_layers || next->number != here->number + 1)
        return false;
    const enum ol_summary_site first = ol_activation_first_site(next);
    rows->i_layer++;
    rows->site =
        first == OL_SUMMARY_LN_ATTN ? OL_SITE_RESIDUAL_ATTN : OL_SITE_RESIDUAL_MLP;
    if (next->sites[rows->site])
        return true;
    rows->site = first == OL_SUMMARY_LN_ATTN ? OL_SITE_LN_ATTN : OL_SITE_LN_MLP;
    if (!next->sites[rows->site] || !next->summary_sites[first])
        return false;
    rows->gains = read_gains(parts, rows->i_layer, first);
    return rows->gains != NULL;
}

/* Tokens that are summed side by side: sums of one need not wait for each other. */
enum { TOGETHER = 8 };
typedef double lanes __attribute__((vector_size(TOGETHER * sizeof(double))));
/* The same in memory. */
typedef lanes loose_lanes __attribute__((aligned(sizeof(double)), may_alias));

/* The kurtosis of each token of x [d][TOGETHER]: the fourth central moment over the
 * square of the second; NaN of values that are all the same or not all finite. */
static void find_kurtosis(const double *x, size_t d, double kurtosis[TOGETHER])
{
    lanes sum = {0}, second = {0}, fourth = {0};
    const double n = (double)d;
    for (size_t c = 0; c < d; c++)
        sum += *(const loose_lanes *)(x + c * TOGETHER);
    const lanes mean = sum / n;
    for (size_t c = 0; c < d; c++) {
        const lanes off = *(const loose_lanes *)(x + c * TOGETHER) - mean;
        second += off * off;
        fourth += off * off * off * off;
    }
    const lanes result = fourth / n / (second / n * (second / n));
    for (int i = 0; i < TOGETHER; i++)
        kurtosis[i] = isfinite(result[i]) ? result[i] : (double)NAN;
}

/* A row as it should be, of its floats. */
static void divide(const float *restrict row, const double *restrict gains, size_t d,
                   double *restrict to)
{
    for (size_t c = 0; c < d; c++)
        to[c] = gains != NULL ? (double)row[c] / gains[c] : (double)row[c];
}

/* A row of a site, mapped. */
static const char *row_of(const struct ol_parts *parts, const struct rows *rows,
                          const struct ol_sampled *t, size_t row_bytes)
{
    const char *of_sequence = ol_activation_get(
        parts->files[parts->file_of[t->sequence]], ol_table_of_site(rows->site),
        rows->i_layer, parts->number_of[t->sequence]);
    return of_sequence + (size_t)t->position * row_bytes;
}

double ol_token_kurtosis_median(const struct ol_analysis *a,
                                const struct ol_sample *sample, int i_layer,
                                enum ol_summary_site site)
{
    const struct ol_parts *parts = a->parts;
    const enum ol_dtype dtype = ol_parts_layout(parts)->dtype;
    const size_t d = (size_t)ol_parts_layout(parts)->d_model,
                 row_bytes = d * ol_dtype_size(dtype), n = (size_t)sample->n,
                 room = (n + TOGETHER - 1) / TOGETHER * TOGETHER;
    struct rows rows;
    if (a->from_summaries || !find_rows(parts, i_layer, site, &rows))
        return (double)NAN;
    float *row = ol_xcalloc(d, sizeof *row);
    double *x = ol_xcalloc(d * TOGETHER, sizeof *x),
           *whole = ol_xcalloc(d, sizeof *whole),
           *values = ol_xcalloc(room, sizeof *values);
    int64_t *weights = ol_xcalloc(n, sizeof *weights);
    for (size_t i = 0; i < n; i++) {
        const size_t lane = i % TOGETHER;
        ol_to_f32(dtype, row_of(parts, &rows, &sample->tokens[i], row_bytes), row, d);
        divide(row, rows.gains, d, whole);
        for (size_t c = 0; c < d; c++)
            x[c * TOGETHER + lane] = whole[c];
        weights[i] = sample->tokens[i].weight;
        if (lane == TOGETHER - 1 || i == n - 1)
            find_kurtosis(x, d, values + (i - lane));
    }
    const double median = ol_weighted_median(values, weights, sample->n);
    free(weights);
    free(values);
    free(whole);
    free(x);
    free(row);
    free(rows.gains);
    return median;
}
