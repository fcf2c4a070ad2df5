/* Where in a sequence the outlier features (features.h) have their occurrences. */
#include <math.h>

#include "analyze/outlying.h"
#include "common/results/positions.h"

enum { MOST_BINS = 256 };

/* Positions first .. end - 1 of all sequences that are long enough. */
static void count(const struct ol_outlying *o, int64_t first, int64_t end,
                  int64_t *n_tokens, int64_t *n_outliers)
{
    const struct ol_parts *parts = o->a->parts;
    *n_tokens = *n_outliers = 0;
    for (int64_t s = 0; s < parts->n_sequences; s++)
        for (int64_t p = first; p < end && p < parts->lengths[s]; p++) {
            ++*n_tokens;
            *n_outliers += o->counts[s][p];
        }
}

/* Of a bucket: 0, 1, 2, 4, 8, ... */
static int64_t first_of(int64_t bucket)
{
    return bucket > 0 ? (int64_t)1 << (bucket - 1) : 0;
}

static double rate(int64_t n_tokens, int64_t n_outliers)
{
    return n_tokens > 0 ? (double)n_outliers / (double)n_tokens : (double)NAN;
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    struct ol_outlying o;
    struct ol_positions *to = block;
    if (!ol_outlying_find(a, &o))
        return false;
    int64_t longest = 0, n_buckets = 0, n_tokens, n_outliers;
    for (int64_t s = 0; s < a->parts->n_sequences; s++)
        longest = a->parts->lengths[s] > longest ? a->parts->lengths[s] : longest;
    while (first_of(n_buckets) < longest)
        n_buckets++;
    double *edges = ol_reals_new(&to->bucket_edges, n_buckets, arena),
           *tokens = ol_reals_new(&to->n_positions, n_buckets, arena),
           *rates = ol_reals_new(&to->outliers_per_token, n_buckets, arena);
    for (int64_t i = 0; i < n_buckets; i++) {
        count(&o, first_of(i), first_of(i + 1), &n_tokens, &n_outliers);
        edges[i] = (double)first_of(i);
        tokens[i] = (double)n_tokens;
        rates[i] = rate(n_tokens, n_outliers);
    }
    const int64_t width = (longest + MOST_BINS - 1) / MOST_BINS,
                  n_bins = (longest + width - 1) / width;
    double *bins = ol_reals_new(&to->per_position, n_bins, arena);
    to->bin_width = width;
    for (int64_t i = 0; i < n_bins; i++) {
        count(&o, i * width, (i + 1) * width, &n_tokens, &n_outliers);
        bins[i] = rate(n_tokens, n_outliers);
    }
    ol_outlying_clear(&o);
    return true;
}

const struct ol_statistic ol_positions_statistic = {.name = "positions",
                                                    .results = results};
