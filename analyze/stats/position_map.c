/* Where in a sequence occurrences are, in two dimensions: tokens with an occurrence of
 * each outlier feature (features.h) by position, and occurrences at each site by
 * position. Positions are counted in buckets that widen with the distance from the start,
 * two to a doubling: what is special is at the start, and 64 buckets are enough for any
 * sequence. */
#include <stdlib.h>
#include <string.h>

#include "analyze/features.h"
#include "analyze/outlying.h"
#include "common/results/position_map.h"

enum { MOST_BUCKETS = 64, MOST_FEATURES = 64 };

struct map {
    const struct ol_analysis *a;
    int n_buckets;
    int64_t edges[MOST_BUCKETS + 1]; /* 0, 1, 2, 3, 4, 6, 8, 12, ..., the end */
    int64_t (**sites)[MOST_BUCKETS]; /* [threads][n_sites]: occurrences */
};

static int64_t longest(const struct ol_parts *parts)
{
    int64_t n = 0;
    for (int64_t s = 0; s < parts->n_sequences; s++)
        n = parts->lengths[s] > n ? parts->lengths[s] : n;
    return n;
}

/* 2^k is followed by 1.5 * 2^k, that by 2^(k+1). */
static int64_t next_edge(int64_t edge)
{
    if (edge < 2)
        return edge + 1;
    const bool is_power = (edge & (edge - 1)) == 0;
    return is_power ? edge + edge / 2 : edge / 3 * 4;
}

static int bucket_of(const struct map *m, int64_t position)
{
    int low = 0, high = m->n_buckets;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (position >= m->edges[middle])
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void *begin(const struct ol_analysis *a)
{
    struct map *m = ol_xcalloc(1, sizeof *m);
    const int64_t n = longest(a->parts);
    m->a = a;
    for (int64_t edge = 0; edge < n; edge = next_edge(edge))
        m->edges[m->n_buckets++] = edge;
    m->edges[m->n_buckets] = n;
    if (a->from_summaries || a->n_sites == 0)
        return m;
    m->sites = ol_xcalloc((size_t)a->n_threads, sizeof *m->sites);
    for (int i = 0; i < a->n_threads; i++)
        m->sites[i] = ol_xcalloc((size_t)a->n_sites, sizeof **m->sites);
    return m;
}

static void end(void *state)
{
    struct map *m = state;
    for (int i = 0; m->sites != NULL && i < m->a->n_threads; i++)
        free(m->sites[i]);
    free(m->sites);
    free(m);
}

static void block(void *state, int thread, const struct ol_block *b)
{
    struct map *m = state;
    int64_t *counts = m->sites[thread][b->site];
    int bucket = bucket_of(m, b->position);
    for (size_t i = 0; i < b->found->n; i++) {
        const int64_t position = b->position + b->found->occurrences[i].row;
        while (position >= m->edges[bucket + 1])
            bucket++; /* occurrences come row by row */
        counts[bucket]++;
    }
}

/* ---- the results ---- */

static void describe_sites(const struct map *m, struct ol_list *list,
                           struct ol_arena *arena)
{
    struct ol_position_site *to = ol_list_new(list, m->a->n_sites, sizeof *to, arena);
    for (int site = 0; site < m->a->n_sites; site++) {
        double *counts = ol_reals_new(&to[site].occurrences, m->n_buckets, arena);
        for (int t = 0; t < m->a->n_threads; t++)
            for (int i = 0; i < m->n_buckets; i++)
                counts[i] += (double)m->sites[t][site][i];
        to[site].layer = m->a->sites[site].layer;
        to[site].site = ol_site_name(m->a->sites[site].site);
    }
}

static void count_feature(const struct map *m, size_t feature, double *counts)
{
    const struct ol_parts *parts = m->a->parts;
    for (int64_t s = 0; s < parts->n_sequences; s++) {
        int64_t bytes;
        const uint8_t *bits = ol_outlying_bits(m->a, s, feature, &bytes);
        for (int i = 0; i < m->n_buckets; i++)
            for (int64_t p = m->edges[i]; p < m->edges[i + 1] && p < parts->lengths[s];
                 p++)
                counts[i] += bits[p / 8] >> p % 8 & 1;
    }
}

/* No list where there are no summaries of this threshold. */
static void describe_features(const struct map *m, struct ol_list *list,
                              struct ol_arena *arena)
{
    struct ol_features f;
    if (!ol_features_find(m->a, &f))
        return;
    const int n = f.n_outliers < MOST_FEATURES ? f.n_outliers : MOST_FEATURES;
    struct ol_position_feature *to = ol_list_new(list, n, sizeof *to, arena);
    for (int i = 0; i < n; i++) {
        to[i].feature = f.outliers[i];
        count_feature(m, (size_t)f.outliers[i],
                      ol_reals_new(&to[i].n_outliers, m->n_buckets, arena));
    }
    ol_features_clear(&f);
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    const struct map *m = state;
    struct ol_position_map *to = block;
    double *edges = ol_reals_new(&to->bucket_edges, m->n_buckets, arena),
           *n_tokens = ol_reals_new(&to->n_tokens, m->n_buckets, arena);
    for (int i = 0; i < m->n_buckets; i++)
        edges[i] = (double)m->edges[i];
    for (int64_t s = 0; s < a->parts->n_sequences; s++)
        for (int i = 0; i < m->n_buckets; i++) {
            const int64_t length = a->parts->lengths[s];
            const int64_t last = length < m->edges[i + 1] ? length : m->edges[i + 1];
            n_tokens[i] += last > m->edges[i] ? (double)(last - m->edges[i]) : 0;
        }
    describe_features(m, &to->features, arena);
    if (m->sites != NULL)
        describe_sites(m, &to->sites, arena);
    return m->sites != NULL || to->features.items != NULL;
}

const struct ol_statistic ol_position_map_statistic = {.name = "position_map",
                                                       .begin = begin,
                                                       .block = block,
                                                       .end = end,
                                                       .results = results};
