/* How the values of every site are distributed, from the exact counts of their bf16
 * codes: quantiles of the magnitudes, moments, and counts by power of two; and, where
 * there are tensors, the median of the tokens' kurtosis. */
#include <math.h>
#include <stdlib.h>

#include "analyze/histogram.h"
#include "analyze/statistics.h"
#include "analyze/token_kurtosis.h"

enum { FIRST_EXPONENT = -24, N_EXPONENTS = 40, N_LEVELS = 7 };

/* A level p = 1 - 1 / parts (0: p = 1) is reached by n - floor(n / parts) of n values:
 * in integers, for 0.9 is no binary number. */
static const struct level {
    double p;
    int64_t parts;
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

static struct ol_json *describe_magnitudes(const struct ol_histogram *h)
{
    struct ol_json *list = ol_json_new_array();
    for (int i = 0; i < N_LEVELS; i++) {
        const int64_t above = levels[i].parts > 0 ? h->n_finite / levels[i].parts : 0;
        ol_json_append(list,
                       ol_json_new_real(ol_histogram_magnitude(h, h->n_finite - above)));
    }
    return list;
}

static struct ol_json *describe_exponents(const struct ol_histogram *h)
{
    int64_t counts[N_EXPONENTS] = {0};
    for (int code = 1; code < OL_N_MAGNITUDES; code++) {
        const double x = (double)ol_bf16_to_f32((uint16_t)code);
        if (!isfinite(x))
            break;
        int exponent;
        frexp(x, &exponent); /* x = [0.5, 1) x 2^exponent */
        int i = exponent - 1 - FIRST_EXPONENT;
        i = i < 0 ? 0 : i >= N_EXPONENTS ? N_EXPONENTS - 1 : i;
        counts[i] += h->magnitudes[code];
    }
    struct ol_json *list = ol_json_new_array();
    for (int i = 0; i < N_EXPONENTS; i++)
        ol_json_append(list, ol_json_new_int(counts[i]));
    return list;
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

static struct ol_json *describe_site(const struct ol_analysis *a, const struct place *p)
{
    struct ol_histogram h;
    ol_histogram_read(a->parts, p->i_layer, p->site, &h);
    const struct moments m = moments_of(&h);
    struct ol_json *entry = ol_json_new_object();
    ol_json_set(entry, "layer",
                ol_json_new_int(ol_parts_layout(a->parts)->layers[p->i_layer].number));
    ol_json_set(entry, "site", ol_json_new_string(ol_summary_site_name(p->site)));
    ol_json_set(entry, "n", ol_json_new_int(h.n));
    ol_json_set(entry, "n_nan", ol_json_new_int(h.n_nan));
    ol_json_set(entry, "n_inf", ol_json_new_int(h.n_inf));
    ol_json_set(entry, "n_zero", ol_json_new_int(h.n_zero));
    ol_json_set(entry, "mean", ol_json_new_real(m.mean));
    ol_json_set(entry, "std", ol_json_new_real(m.std));
    ol_json_set(entry, "kurtosis", ol_json_new_real(m.kurtosis));
    ol_json_set(entry, "kurtosis_token_median", ol_json_new_real(p->token_median));
    ol_json_set(entry, "magnitudes", describe_magnitudes(&h));
    ol_json_set(entry, "log2_counts", describe_exponents(&h));
    ol_histogram_clear(&h);
    return entry;
}

static struct ol_json *describe(const struct job *j)
{
    struct ol_json *block = ol_json_new_object(), *sites = ol_json_new_array(),
                   *quantiles = ol_json_new_array();
    bool any = false;
    for (int i = 0; i < N_LEVELS; i++)
        ol_json_append(quantiles, ol_json_new_real(levels[i].p));
    for (int64_t i = 0; i < j->n; i++) {
        ol_json_append(sites, describe_site(j->a, &j->places[i]));
        any = any || !isnan(j->places[i].token_median);
    }
    ol_json_set(block, "quantile_levels", quantiles);
    ol_json_set(block, "first_exponent", ol_json_new_int(FIRST_EXPONENT));
    ol_json_set(block, "kurtosis_tokens",
                any ? ol_json_new_int(j->sample.n) : ol_json_new_null());
    ol_json_set(block, "sites", sites);
    return block;
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    (void)state;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    struct job j = {.a = a,
                    .sample = ol_token_kurtosis_sample(a->parts),
                    .places = ol_xcalloc((size_t)layout->n_layers * OL_N_SUMMARY_SITES,
                                         sizeof *j.places)};
    for (int l = 0; l < layout->n_layers; l++)
        for (int site = 0; site < OL_N_SUMMARY_SITES; site++)
            if (layout->layers[l].summary_sites[site])
                j.places[j.n++] = (struct place){l, (enum ol_summary_site)site, NAN};
    ol_pool_run(a->pool, j.n, look_at_tokens, &j);
    struct ol_json *block = j.n > 0 ? describe(&j) : ol_json_new_null();
    free(j.places);
    ol_sample_clear(&j.sample);
    return block;
}

const struct ol_statistic ol_distributions_statistic = {.name = "distributions",
                                                        .results = results};
