/* Outlier features by the criterion of LLM.int8() (Dettmers et al., arXiv 2208.07339),
 * counted as the Python study counts them (pairs) and in three ways that do not depend on
 * how sequences are batched (unique, pooled, strict). ol-results.5 defines all four. */
#include <math.h>
#include <stdlib.h>

#include "analyze/stats/llm_int8.h"
#include "common/results/llm_int8.h"

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

/* Shares of sites under the study's name, and of layers, which the paper speaks of: a
 * layer has two sites. */
static struct ol_int8_extent extent_of(const struct llm_int8 *s, int64_t n_sites,
                                       int64_t n_layers)
{
    return (struct ol_int8_extent){n_sites, n_layers,
                                   (double)n_layers / (double)s->n_layers};
}

/* One number of every pair. */
static double share_of(const struct llm_int8 *s, const struct pair *p, int which)
{
    return which == 0   ? p->layers
           : which == 1 ? p->positions
                        : (double)p->n_layers / (double)s->n_layers;
}

static void describe_pairs(const struct llm_int8 *s, struct ol_int8_pairs *pairs)
{
    double *const to[][2] = {
        {&pairs->mean_layer_fraction, &pairs->median_layer_fraction},
        {&pairs->mean_position_fraction, &pairs->median_position_fraction},
        {&pairs->mean_distinct_layer_fraction, &pairs->median_distinct_layer_fraction}};
    size_t n = 0;
    for (int64_t i = 0; i < s->a->n_batches; i++)
        n += s->batches[i].n;
    double *shares = ol_xcalloc(n, sizeof *shares);
    pairs->count = (int64_t)n;
    for (int which = 0; which < 3; which++) {
        size_t used = 0;
        double sum = 0;
        for (int64_t i = 0; i < s->a->n_batches; i++)
            for (size_t k = 0; k < s->batches[i].n; k++)
                sum += shares[used++] = share_of(s, &s->batches[i].pairs[k], which);
        *to[which][0] = n > 0 ? sum / (double)n : (double)NAN;
        *to[which][1] = n > 0 ? median(shares, n) : (double)NAN;
    }
    free(shares);
}

static void describe_batch(const struct llm_int8 *s, int64_t batch,
                           struct ol_int8_batch *to, struct ol_arena *arena)
{
    const int64_t first = batch * s->a->criterion.batch_size,
                  left = s->a->parts->n_sequences - first,
                  n = left < s->a->criterion.batch_size ? left
                                                        : s->a->criterion.batch_size;
    double *sequences = ol_reals_new(&to->sequences, n, arena);
    for (int64_t i = 0; i < n; i++)
        sequences[i] = (double)(first + i);
    to->count = (int64_t)s->batches[batch].n;
    struct ol_batch_feature *features =
        ol_list_new(&to->features, to->count, sizeof *features, arena);
    for (int64_t k = 0; k < to->count; k++) {
        const struct pair *p = &s->batches[batch].pairs[k];
        features[k] =
            (struct ol_batch_feature){.feature = p->feature,
                                      .max_magnitude = (double)p->max,
                                      .layer_fraction = p->layers,
                                      .position_fraction = p->positions,
                                      .occurrences = p->occurrences,
                                      .extent = extent_of(s, p->n_sites, p->n_layers)};
    }
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

static void describe_sites(const struct llm_int8 *s, uint32_t f, struct ol_list *list,
                           struct ol_arena *arena)
{
    struct ol_feature_site *to =
        ol_list_new(list, (int64_t)s->n_sites, sizeof *to, arena);
    list->n = 0;
    for (size_t site = 0; site < s->n_sites; site++) {
        struct at_site sum = {0};
        for (int i = 0; i < s->a->n_threads; i++) {
            const struct at_site *one = &s->threads[i].at_site[site * s->d_model + f];
            sum.occurrences += one->occurrences;
            sum.max = larger(sum.max, one->max);
        }
        if (sum.occurrences > 0)
            to[list->n++] =
                (struct ol_feature_site){.layer = s->a->sites[site].layer,
                                         .site = ol_site_name(s->a->sites[site].site),
                                         .occurrences = sum.occurrences,
                                         .max_magnitude = (double)sum.max};
    }
}

/* None where one is infinite. */
static void describe_quartiles(const struct llm_int8_feature *f, struct ol_reals *to,
                               struct ol_arena *arena)
{
    for (int q = 0; q < 3; q++)
        if (!isfinite(f->quartiles[q]))
            return;
    memcpy(ol_reals_new(to, 3, arena), f->quartiles, sizeof f->quartiles);
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

static struct ol_int8_features *describe_block(const struct llm_int8 *s,
                                               const struct llm_int8_feature *features,
                                               size_t n, enum llm_int8_block block,
                                               struct ol_arena *arena)
{
    struct ol_int8_features *of = ol_arena_calloc(arena, 1, sizeof *of);
    struct ol_int8_feature *to =
        ol_list_new(&of->features, (int64_t)n, sizeof *to, arena);
    of->features.n = 0;
    for (size_t i = 0; i < n; i++) {
        const struct llm_int8_feature *f = &features[i];
        if (!ol_llm_int8_qualifies(s, f, block))
            continue;
        struct ol_int8_feature *one = &to[of->features.n++];
        *one = (struct ol_int8_feature){
            .feature = f->feature,
            .batches = s->batches_of_feature[f->feature],
            .max_magnitude = (double)f->max,
            .layer_fraction = f->layer_fraction,
            .position_fraction = block == OL_LLM_INT8_STRICT ? f->strict : f->pooled,
            .occurrences = f->occurrences,
            .extent = extent_of(s, f->n_sites, f->n_layers),
            .one_sided = f->signs != (OL_NEGATIVE | OL_POSITIVE)};
        describe_quartiles(f, &one->quartiles, arena);
        describe_sites(s, f->feature, &one->sites, arena);
    }
    of->count = of->features.n;
    return of;
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    struct llm_int8 *s = state;
    struct ol_llm_int8 *to = block;
    if (a->n_sites == 0)
        return false;
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
    struct ol_int8_batch *batches =
        ol_list_new(&to->batches, a->n_batches, sizeof *batches, arena);
    for (int64_t i = 0; i < a->n_batches; i++)
        describe_batch(s, i, &batches[i], arena);
    to->pairs = ol_arena_calloc(arena, 1, sizeof *to->pairs);
    describe_pairs(s, to->pairs);
    to->unique = describe_block(s, features, n, OL_LLM_INT8_UNIQUE, arena);
    to->pooled = describe_block(s, features, n, OL_LLM_INT8_POOLED, arena);
    to->strict = describe_block(s, features, n, OL_LLM_INT8_STRICT, arena);
    free(features);
    return true;
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
