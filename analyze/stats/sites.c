/* Every site by itself: occurrences, the largest magnitude, what is not finite. */
#include <stdlib.h>

#include "analyze/statistics.h"

struct site {
    int64_t occurrences, n_nan, n_inf;
    float max_magnitude;
};

struct sites {
    int n_sites, n_threads;
    struct site *sites; /* [n_threads][n_sites] */
};

static void *begin(const struct ol_analysis *a)
{
    struct sites *s = ol_xcalloc(1, sizeof *s);
    s->n_sites = a->n_sites;
    s->n_threads = a->n_threads;
    s->sites = ol_xcalloc((size_t)a->n_threads * (size_t)a->n_sites, sizeof *s->sites);
    return s;
}

static void block(void *state, int thread, const struct ol_block *b)
{
    struct sites *s = state;
    struct site *site = &s->sites[thread * s->n_sites + b->site];
    site->occurrences += (int64_t)b->found->n;
    site->n_nan += b->found->n_nan;
    site->n_inf += b->found->n_inf;
    if (b->found->max_magnitude > site->max_magnitude)
        site->max_magnitude = b->found->max_magnitude;
}

static void end(void *state)
{
    struct sites *s = state;
    free(s->sites);
    free(s);
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    const struct sites *s = state;
    struct ol_json *list = ol_json_new_array();
    for (int i = 0; i < a->n_sites; i++) {
        struct site sum = {0};
        for (int t = 0; t < s->n_threads; t++) {
            const struct site *site = &s->sites[t * s->n_sites + i];
            sum.occurrences += site->occurrences;
            sum.n_nan += site->n_nan;
            sum.n_inf += site->n_inf;
            if (site->max_magnitude > sum.max_magnitude)
                sum.max_magnitude = site->max_magnitude;
        }
        struct ol_json *entry = ol_json_new_object();
        ol_json_set(entry, "layer", ol_json_new_int(a->sites[i].layer));
        ol_json_set(entry, "site", ol_json_new_string(ol_site_name(a->sites[i].site)));
        ol_json_set(entry, "occurrences", ol_json_new_int(sum.occurrences));
        ol_json_set(entry, "max_magnitude", ol_json_new_real((double)sum.max_magnitude));
        ol_json_set(entry, "n_nan", ol_json_new_int(sum.n_nan));
        ol_json_set(entry, "n_inf", ol_json_new_int(sum.n_inf));
        ol_json_append(list, entry);
    }
    return list;
}

const struct ol_statistic ol_sites_statistic = {
    .name = "sites", .begin = begin, .block = block, .end = end, .results = results};
