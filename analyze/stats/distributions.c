/* How the values of every site are distributed, from the exact counts of their bf16
 * codes: quantiles of the magnitudes, moments, and counts by power of two; and, where
 * there are tensors, the median of the tokens' kurtosis. */
#include <math.h>

#include "analyze/histogram.h"
#include "analyze/statistics.h"
#include "analyze/token_kurtosis.h"
#include "common/results/distributions.h"

enum { FIRST_EXPONENT = -24, N_EXPONENTS = 40, N_LEVELS = 7 };

/* A level p = 1 - 1 / one_in (0: p = 1) is reached by n - floor(n / one_in) of n values:
 * in integers, for 0.9 is no binary number. */
static const struct level {
    double p;
    int64_t one_in;
} levels[N_LEVELS] = {
    {0.5, 2},        {0.9, 10},         {0.99, 100}, {0.999, 1000},
    {0.9999, 10000}, {0.99999, 100000}, {1, 0},
};

struct moments {
    double mean, std, kurtosis;
};

/* Of the finite values: population standard deviation, and the fourth central moment
 * over the square of the second. */
static struct moments moments_of(const struct ol_histogram *h)
{
    double sum = 0, second = 0, fourth = 0;
    const double n = (double)h->n_finite;
    for (int code = 0; code < OL_N_CODES; code++) {
        const double x = (double)ol_bf16_to_f32((uint16_t)code);
        if (h->counts[code] > 0 && isfinite(x))
            sum += (double)h->counts[code] * x;
    }
    const double mean = sum / n; /* NaN when there is none */
    for (int code = 0; code < OL_N_CODES; code++) {
        const double x = (double)ol_bf16_to_f32((uint16_t)code) - mean;
        if (h->counts[code] == 0 || !isfinite(x))
            continue;
        second += (double)h->counts[code] * x * x;
        fourth += (double)h->counts[code] * x * x * x * x;
    }
    second /= n;
    return (struct moments){mean, sqrt(second), fourth / n / (second * second)};
}

static void describe_magnitudes(const struct ol_histogram *h, double *magnitudes)
{
    for (int i = 0; i < N_LEVELS; i++) {
        const int64_t above = levels[i].one_in > 0 ? h->n_finite / levels[i].one_in : 0;
        magnitudes[i] = ol_histogram_magnitude(h, h->n_finite - above);
    }
}

static void describe_exponents(const struct ol_histogram *h, double *counts)
{
    for (int code = 1; code < OL_N_MAGNITUDES; code++) {
        const double x = (double)ol_bf16_to_f32((uint16_t)code);
        if (!isfinite(x))
            break;
        int exponent;
        frexp(x, &exponent); /* x = [0.5, 1) x 2^exponent */
        int i = exponent - 1 - FIRST_EXPONENT;
        i = i < 0 ? 0 : i >= N_EXPONENTS ? N_EXPONENTS - 1 : i;
        counts[i] += (double)h->magnitudes[code];
    }
}

/* One site of a layer. */
struct place {
    int i_layer;
    enum ol_summary_site site;
    double token_median;
};

struct job {
    const struct ol_analysis *a;
    struct ol_sample sample;
    struct place *places; /* [n] */
    int64_t n;
};

static void look_at_tokens(void *arg, int64_t i, int thread)
{
    (void)thread;
    const struct job *j = arg;
    struct place *p = &j->places[i];
    p->token_median = ol_token_kurtosis_median(j->a, &j->sample, p->i_layer, p->site);
}

static void describe_site(const struct ol_analysis *a, const struct place *p,
                          struct ol_distribution *to, struct ol_arena *arena)
{
    struct ol_histogram h;
    ol_histogram_read(a->parts, p->i_layer, p->site, &h);
    const struct moments m = moments_of(&h);
    *to = (struct ol_distribution){
        .layer = ol_parts_layout(a->parts)->layers[p->i_layer].number,
        .site = ol_summary_site_name(p->site),
        .n = h.n,
        .n_nan = h.n_nan,
        .n_inf = h.n_inf,
        .n_zero = h.n_zero,
        .mean = m.mean,
        .std = m.std,
        .kurtosis = m.kurtosis,
        .kurtosis_token_median = p->token_median};
    describe_magnitudes(&h, ol_reals_new(&to->magnitudes, N_LEVELS, arena));
    describe_exponents(&h, ol_reals_new(&to->log2_counts, N_EXPONENTS, arena));
    ol_histogram_clear(&h);
}

static void describe(const struct job *j, struct ol_distributions *block,
                     struct ol_arena *arena)
{
    double *quantiles = ol_reals_new(&block->quantile_levels, N_LEVELS, arena);
    struct ol_distribution *sites =
        ol_list_new(&block->sites, j->n, sizeof *sites, arena);
    block->first_exponent = FIRST_EXPONENT;
    block->kurtosis_tokens = OL_ABSENT;
    for (int i = 0; i < N_LEVELS; i++)
        quantiles[i] = levels[i].p;
    for (int64_t i = 0; i < j->n; i++) {
        describe_site(j->a, &j->places[i], &sites[i], arena);
        if (!isnan(j->places[i].token_median))
            block->kurtosis_tokens = j->sample.n;
    }
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    struct job j = {
        .a = a,
        .sample = ol_token_kurtosis_sample(a->parts),
        .places = ol_arena_calloc(arena, (size_t)layout->n_layers * OL_N_SUMMARY_SITES,
                                  sizeof *j.places)};
    for (int l = 0; l < layout->n_layers; l++)
        for (int site = 0; site < OL_N_SUMMARY_SITES; site++)
            if (layout->layers[l].summary_sites[site])
                j.places[j.n++] = (struct place){l, (enum ol_summary_site)site, NAN};
    ol_pool_run(a->pool, j.n, look_at_tokens, &j);
    describe(&j, block, arena);
    ol_sample_clear(&j.sample);
    return j.n > 0;
}

const struct ol_statistic ol_distributions_statistic = {.name = "distributions",
                                                        .results = results};
