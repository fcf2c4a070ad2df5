/* Outlier features by the criterion of LLM.int8() (Dettmers et al., arXiv 2208.07339),
 * counted as the Python study counts them (pairs) and in three ways that do not depend on
 * how sequences are batched (unique, pooled, strict). ol-results.5 defines all four. */
#include <math.h>
#include <stdlib.h>

#include "analyze/stats/llm_int8.h"

/* ---- pairs and batches ---- */

static int compare_reals(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Sorts the values. */
static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_reals);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static struct ol_json *real_or_null(double value, bool known)
{
    return known ? ol_json_new_real(value) : ol_json_new_null();
}

/* Shares of sites under the study's name, and of layers, which the paper speaks of: a
 * layer has two sites. */
static void set_layers(const struct llm_int8 *s, struct ol_json *to, int64_t n_sites,
                       int64_t n_layers)
{
    ol_json_set(to, "n_sites", ol_json_new_int(n_sites));
    ol_json_set(to, "n_layers", ol_json_new_int(n_layers));
    ol_json_set(to, "distinct_layer_fraction",
                ol_json_new_real((double)n_layers / (double)s->n_layers));
}

/* One number of every pair. */
static double share_of(const struct llm_int8 *s, const struct pair *p, int which)
{
    return which == 0   ? p->layers
           : which == 1 ? p->positions
                        : (double)p->n_layers / (double)s->n_layers;
}

static struct ol_json *describe_pairs(const struct llm_int8 *s)
{
    static const char *const names[][2] = {
        {"mean_layer_fraction", "median_layer_fraction"},
        {"mean_position_fraction", "median_position_fraction"},
        {"mean_distinct_layer_fraction", "median_distinct_layer_fraction"}};
    size_t n = 0;
    for (int64_t i = 0; i < s->a->n_batches; i++)
        n += s->batches[i].n;
    double *shares = ol_xcalloc(n, sizeof *shares);
    struct ol_json *pairs = ol_json_new_object();
    ol_json_set(pairs, "count", ol_json_new_int((int64_t)n));
    for (int which = 0; which < 3; which++) {
        size_t used = 0;
        double sum = 0;
        for (int64_t i = 0; i < s->a->n_batches; i++)
            for (size_t k = 0; k < s->batches[i].n; k++)
                sum += shares[used++] = share_of(s, &s->batches[i].pairs[k], which);
        ol_json_set(pairs, names[which][0], real_or_null(sum / (double)n, n > 0));
        ol_json_set(pairs, names[which][1],
                    real_or_null(n > 0 ? median(shares, n) : 0, n > 0));
    }
    free(shares);
    return pairs;
}

static struct ol_json *describe_batch(const struct llm_int8 *s, int64_t batch)
{
    const int64_t first = batch * s->a->criterion.batch_size;
    struct ol_json *one = ol_json_new_object(), *sequences = ol_json_new_array(),
                   *features = ol_json_new_array();
    for (int64_t i = first;
         i < s->a->parts->n_sequences && i - first < s->a->criterion.batch_size; i++)
        ol_json_append(sequences, ol_json_new_int(i));
    for (size_t k = 0; k < s->batches[batch].n; k++) {
        const struct pair *p = &s->batches[batch].pairs[k];
        struct ol_json *feature = ol_json_new_object();
        ol_json_set(feature, "feature", ol_json_new_int(p->feature));
        ol_json_set(feature, "max_magnitude", ol_json_new_real((double)p->max));
        ol_json_set(feature, "layer_fraction", ol_json_new_real(p->layers));
        ol_json_set(feature, "position_fraction", ol_json_new_real(p->positions));
        ol_json_set(feature, "occurrences", ol_json_new_int(p->occurrences));
        set_layers(s, feature, p->n_sites, p->n_layers);
        ol_json_append(features, feature);
    }
    ol_json_set(one, "sequences", sequences);
    ol_json_set(one, "count", ol_json_new_int((int64_t)s->batches[batch].n));
    ol_json_set(one, "features", features);
    return one;
}

/* ---- unique, pooled, strict: over all sequences ---- */

struct llm_int8_feature ol_llm_int8_sum_feature(const struct llm_int8 *s, size_t f)
{
    struct llm_int8_feature sum = {.feature = (uint32_t)f};
    struct llm_int8_layers layers = {0, -1};
    for (int i = 0; i < s->a->n_threads; i++) {
        sum.positions += s->threads[i].positions[f];
        sum.signs |= s->threads[i].signs[f];
    }
    for (size_t site = 0; site < s->n_sites; site++) {
        int64_t here = 0;
        for (int i = 0; i < s->a->n_threads; i++) {
            const struct at_site *one = &s->threads[i].at_site[site * s->d_model + f];
            here += one->occurrences;
            sum.max = larger(sum.max, one->max);
        }
        sum.occurrences += here;
        sum.n_sites += here > 0;
        if (here > 0)
            ol_llm_int8_see(s->a, site, &layers);
    }
    sum.n_layers = layers.n;
    const double n_tokens = (double)s->a->parts->n_tokens;
    sum.layer_fraction = (double)sum.n_sites / (double)s->n_sites;
    sum.pooled = (double)sum.positions / n_tokens;
    sum.strict = (double)sum.occurrences / ((double)s->n_sites * n_tokens);
    return sum;
}

static int compare_features(const void *x, const void *y)
{
    const struct llm_int8_feature *a = x, *b = y;
    if (a->max != b->max)
        return a->max > b->max ? -1 : 1;
    return (a->feature > b->feature) - (a->feature < b->feature);
}

static int compare_counted(const void *x, const void *y)
{
    const float a = value_of(((const struct ol_counted *)x)->key),
                b = value_of(((const struct ol_counted *)y)->key);
    return (a > b) - (a < b);
}

/* Values of one feature, ascending, with their numbers. */
struct values {
    struct ol_counted *values;
    size_t n;
};

/* The k-th smallest, counted from 0. */
static double kth(const struct values *v, int64_t k)
{
    size_t i = 0;
    for (; k >= v->values[i].n; i++)
        k -= v->values[i].n;
    return (double)value_of(v->values[i].key);
}

/* Linear interpolation between the two neighbours of q (n - 1). */
static double quantile(const struct values *v, int64_t n, int quarter)
{
    const int64_t at = quarter * (n - 1), k = at / 4;
    const double low = kth(v, k), high = at % 4 != 0 ? kth(v, k + 1) : low;
    return low + (high - low) * ((double)(at % 4) / 4);
}

/* The values of the features that are asked for, picked out of the threads' logs, whose
 * order depends on the threads. */
struct picked {
    const struct llm_int8 *s;
    int32_t *index;           /* [d_model]: of a feature that is asked for, else NONE */
    size_t n;                 /* features that are */
    struct ol_tally *tallies; /* [threads of the scan][n] */
};
enum { NONE = -1 };

static void pick(void *arg, int64_t i_thread, int thread)
{
    struct picked *p = arg;
    const struct thread *t = &p->s->threads[i_thread];
    struct ol_tally *tallies = p->tallies + (size_t)i_thread * p->n;
    (void)thread;
    for (size_t i = 0; i < t->n_log; i++)
        if (p->index[t->log[i] >> 32] != NONE)
            ol_tally_add(&tallies[p->index[t->log[i] >> 32]], t->log[i], 1);
    for (size_t i = 0; i < t->tally.n_slots; i++) {
        const struct ol_counted *c = &t->tally.slots[i];
        if (c->n > 0 && p->index[c->key >> 32] != NONE)
            ol_tally_add(&tallies[p->index[c->key >> 32]], c->key, c->n);
    }
}

static void set_quartiles(const struct ol_tally *tally, struct llm_int8_feature *f)
{
    struct values v = {ol_xcalloc(tally->n, sizeof *v.values), 0};
    for (size_t k = 0; k < tally->n_slots; k++)
        if (tally->slots[k].n > 0)
            v.values[v.n++] = tally->slots[k];
    if (v.n > 0)
        qsort(v.values, v.n, sizeof *v.values, compare_counted);
    for (int q = 0; q < 3 && v.n > 0; q++)
        f->quartiles[q] = quantile(&v, f->occurrences, q + 1);
    free(v.values);
}

static void find_quartiles(const struct llm_int8 *s, struct llm_int8_feature *features,
                           size_t n)
{
    const size_t n_threads = (size_t)s->a->n_threads;
    struct picked p = {.s = s,
                       .index = ol_xmalloc(s->d_model * sizeof *p.index),
                       .n = n,
                       .tallies = ol_xcalloc(n_threads * n, sizeof *p.tallies)};
    for (size_t f = 0; f < s->d_model; f++)
        p.index[f] = NONE;
    for (size_t i = 0; i < n; i++)
        p.index[features[i].feature] = (int32_t)i;
    ol_pool_run(s->a->pool, s->a->n_threads, pick, &p);
    for (size_t i = 0; i < n; i++) {
        for (size_t t = 1; t < n_threads; t++)
            ol_tally_merge(&p.tallies[i], &p.tallies[t * n + i]);
        set_quartiles(&p.tallies[i], &features[i]);
    }
    for (size_t i = 0; i < n_threads * n; i++)
        ol_tally_clear(&p.tallies[i]);
    free(p.tallies);
    free(p.index);
}

static struct ol_json *describe_sites(const struct llm_int8 *s, uint32_t f)
{
    struct ol_json *list = ol_json_new_array();
    for (size_t site = 0; site < s->n_sites; site++) {
        struct at_site sum = {0};
        for (int i = 0; i < s->a->n_threads; i++) {
            const struct at_site *one = &s->threads[i].at_site[site * s->d_model + f];
            sum.occurrences += one->occurrences;
            sum.max = larger(sum.max, one->max);
        }
        if (sum.occurrences == 0)
            continue;
        struct ol_json *one = ol_json_new_object();
        ol_json_set(one, "layer", ol_json_new_int(s->a->sites[site].layer));
        ol_json_set(one, "site",
                    ol_json_new_string(ol_site_name(s->a->sites[site].site)));
        ol_json_set(one, "occurrences", ol_json_new_int(sum.occurrences));
        ol_json_set(one, "max_magnitude", ol_json_new_real((double)sum.max));
        ol_json_append(list, one);
    }
    return list;
}

static struct ol_json *describe_quartiles(const struct llm_int8_feature *f)
{
    for (int q = 0; q < 3; q++)
        if (!isfinite(f->quartiles[q]))
            return ol_json_new_null();
    struct ol_json *list = ol_json_new_array();
    for (int q = 0; q < 3; q++)
        ol_json_append(list, ol_json_new_real(f->quartiles[q]));
    return list;
}

bool ol_llm_int8_qualifies(const struct llm_int8 *s, const struct llm_int8_feature *f,
                           enum llm_int8_block block)
{
    const struct ol_criterion *c = &s->a->criterion;
    if (block == OL_LLM_INT8_UNIQUE)
        return s->batches_of_feature[f->feature] > 0;
    return f->layer_fraction >= c->min_layers &&
           (block == OL_LLM_INT8_POOLED ? f->pooled : f->strict) >= c->min_positions;
}

static struct ol_json *describe_block(const struct llm_int8 *s,
                                      const struct llm_int8_feature *features, size_t n,
                                      enum llm_int8_block block)
{
    struct ol_json *list = ol_json_new_array();
    for (size_t i = 0; i < n; i++) {
        const struct llm_int8_feature *f = &features[i];
        if (!ol_llm_int8_qualifies(s, f, block))
            continue;
        struct ol_json *one = ol_json_new_object();
        ol_json_set(one, "feature", ol_json_new_int(f->feature));
        ol_json_set(one, "batches", ol_json_new_int(s->batches_of_feature[f->feature]));
        ol_json_set(one, "max_magnitude", ol_json_new_real((double)f->max));
        ol_json_set(one, "layer_fraction", ol_json_new_real(f->layer_fraction));
        ol_json_set(
            one, "position_fraction",
            ol_json_new_real(block == OL_LLM_INT8_STRICT ? f->strict : f->pooled));
        ol_json_set(one, "occurrences", ol_json_new_int(f->occurrences));
        set_layers(s, one, f->n_sites, f->n_layers);
        ol_json_set(one, "one_sided",
                    ol_json_new_bool(f->signs != (OL_NEGATIVE | OL_POSITIVE)));
        ol_json_set(one, "quartiles", describe_quartiles(f));
        ol_json_set(one, "sites", describe_sites(s, f->feature));
        ol_json_append(list, one);
    }
    struct ol_json *result = ol_json_new_object();
    ol_json_set(result, "count", ol_json_new_int((int64_t)ol_json_length(list)));
    ol_json_set(result, "features", list);
    return result;
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    struct llm_int8 *s = state;
    if (a->n_sites == 0)
        return ol_json_new_null();
    struct llm_int8_feature *features = ol_xcalloc(s->d_model, sizeof *features);
    size_t n = 0;
    for (size_t f = 0; f < s->d_model; f++) {
        features[n] = ol_llm_int8_sum_feature(s, f);
        if (ol_llm_int8_qualifies(s, &features[n], OL_LLM_INT8_UNIQUE) ||
            ol_llm_int8_qualifies(s, &features[n], OL_LLM_INT8_POOLED) ||
            ol_llm_int8_qualifies(s, &features[n], OL_LLM_INT8_STRICT))
            n++;
    }
    if (n > 0)
        qsort(features, n, sizeof *features, compare_features);
    find_quartiles(s, features, n);
    struct ol_json *result = ol_json_new_object(), *batches = ol_json_new_array();
    for (int64_t i = 0; i < a->n_batches; i++)
        ol_json_append(batches, describe_batch(s, i));
    ol_json_set(result, "pairs", describe_pairs(s));
    ol_json_set(result, "unique", describe_block(s, features, n, OL_LLM_INT8_UNIQUE));
    ol_json_set(result, "pooled", describe_block(s, features, n, OL_LLM_INT8_POOLED));
    ol_json_set(result, "strict", describe_block(s, features, n, OL_LLM_INT8_STRICT));
    ol_json_set(result, "batches", batches);
    free(features);
    return result;
}

static void *begin(const struct ol_analysis *a)
{
    return ol_llm_int8_begin(a);
}

static void block(void *state, int thread, const struct ol_block *b)
{
    ol_llm_int8_block(state, thread, b);
}

static void end_batch(void *state, int64_t batch)
{
    ol_llm_int8_end_batch(state, batch);
}

static void sum_up(void *state)
{
    ol_llm_int8_from_summaries(state);
}

static void end(void *state)
{
    ol_llm_int8_end(state);
}

const struct ol_statistic ol_llm_int8_statistic = {.name = "llm_int8",
                                                   .begin = begin,
                                                   .block = block,
                                                   .end_batch = end_batch,
                                                   .sum_up = sum_up,
                                                   .end = end,
                                                   .results = results};
