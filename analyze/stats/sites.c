/* Every site by itself: occurrences, the largest magnitude, what is not finite. */
#include <math.h>
#include <stdlib.h>

#include "analyze/statistics.h"
#include "common/magnitude.h"
#include "common/results/sites.h"

struct site {
    int64_t occurrences, n_nan, n_inf;
    float max_magnitude;
};

struct sites {
    const struct ol_analysis *a;
    int n_sites, n_threads;
    struct site *sites; /* [n_threads][n_sites] */
};

static void *begin(const struct ol_analysis *a)
{
    struct sites *s = ol_xcalloc(1, sizeof *s);
    s->a = a;
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

/* What a histogram of codes says of a site. */
static void read_histogram(const int64_t *histogram, struct site *site)
{
    for (uint32_t code = 0; code < OL_N_CODES; code++) {
        const uint32_t magnitude = code & OL_BF16_MAGNITUDE;
        const int64_t n = histogram[code];
        if (n == 0)
            continue;
        if (magnitude > OL_BF16_INFINITY) {
            site->n_nan += n;
            continue;
        }
        const float value = ol_bf16_to_f32((uint16_t)magnitude);
        site->n_inf += magnitude == OL_BF16_INFINITY ? n : 0;
        site->max_magnitude = value > site->max_magnitude ? value : site->max_magnitude;
    }
}

static void sum_up_site(struct sites *s, int i, const struct ol_activation_file *f,
                        int64_t *histogram)
{
    const struct ol_activation_layout *layout = ol_activation_layout(f);
    const struct ol_site_of_run *at = &s->a->sites[i];
    const size_t n = (size_t)(layout->n_sequences * layout->d_model);
    int32_t *counts = ol_xcalloc(n, sizeof *counts);
    const struct ol_activation_summary summary = {.histogram = histogram,
                                                  .counts = counts};
    ol_activation_read_summary(f, at->i_layer, ol_summary_site_of(at->site), &summary);
    read_histogram(histogram, &s->sites[i]);
    for (size_t k = 0; k < n; k++)
        s->sites[i].occurrences += counts[k];
    free(counts);
}

static void sum_up(void *state)
{
    struct sites *s = state;
    int64_t *histogram = ol_xcalloc(OL_N_CODES, sizeof *histogram);
    for (int file = 0; file < s->a->parts->n_files; file++)
        for (int i = 0; i < s->n_sites; i++)
            sum_up_site(s, i, s->a->parts->files[file], histogram);
    free(histogram);
}

static void end(void *state)
{
    struct sites *s = state;
    free(s->sites);
    free(s);
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    const struct sites *s = state;
    struct ol_site_values *to = ol_list_new(block, a->n_sites, sizeof *to, arena);
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
        /* Of NaN alone nothing is known: neither a maximum nor how many are large. */
        const bool known =
            sum.n_nan < a->parts->n_tokens * ol_parts_layout(a->parts)->d_model;
        to[i] = (struct ol_site_values){
            .layer = a->sites[i].layer,
            .site = ol_site_name(a->sites[i].site),
            .occurrences = known ? sum.occurrences : OL_ABSENT,
            .max_magnitude = known ? (double)sum.max_magnitude : (double)NAN,
            .n_nan = sum.n_nan,
            .n_inf = sum.n_inf};
    }
    return true;
}

const struct ol_statistic ol_sites_statistic = {.name = "sites",
                                                .begin = begin,
                                                .block = block,
                                                .sum_up = sum_up,
                                                .end = end,
                                                .results = results};
