/* Where in a sequence the outlier features (features.h) have their occurrences. */
#include <stdlib.h>

#include "analyze/outlying.h"

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

static struct ol_json *rate(int64_t n_tokens, int64_t n_outliers)
{
    return n_tokens > 0 ? ol_json_new_real((double)n_outliers / (double)n_tokens)
                        : ol_json_new_null();
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    (void)state;
    struct ol_outlying o;
    if (!ol_outlying_find(a, &o))
        return ol_json_new_null();
    int64_t longest = 0, n_tokens, n_outliers;
    for (int64_t s = 0; s < a->parts->n_sequences; s++)
        longest = a->parts->lengths[s] > longest ? a->parts->lengths[s] : longest;
    struct ol_json *block = ol_json_new_object(), *edges = ol_json_new_array(),
                   *tokens = ol_json_new_array(), *rates = ol_json_new_array(),
                   *bins = ol_json_new_array();
    for (int64_t first = 0; first<longest; first = first> 0 ? 2 * first : 1) {
        count(&o, first, first > 0 ? 2 * first : 1, &n_tokens, &n_outliers);
        ol_json_append(edges, ol_json_new_int(first));
        ol_json_append(tokens, ol_json_new_int(n_tokens));
        ol_json_append(rates, rate(n_tokens, n_outliers));
    }
    const int64_t width = (longest + MOST_BINS - 1) / MOST_BINS;
    for (int64_t first = 0; first < longest; first += width) {
        count(&o, first, first + width, &n_tokens, &n_outliers);
        ol_json_append(bins, rate(n_tokens, n_outliers));
    }
    ol_json_set(block, "bucket_edges", edges);
    ol_json_set(block, "n_positions", tokens);
    ol_json_set(block, "outliers_per_token", rates);
    ol_json_set(block, "bin_width", ol_json_new_int(width));
    ol_json_set(block, "per_position", bins);
    ol_outlying_clear(&o);
    return block;
}

const struct ol_statistic ol_positions_statistic = {.name = "positions",
                                                    .results = results};
