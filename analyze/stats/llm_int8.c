/* Outlier features by the criterion of LLM.int8() (Dettmers et al., arXiv 2208.07339),
 * counted as the Python study counts them (pairs) and in three ways that do not depend on
 * how sequences are batched (unique, pooled, strict). ol-analyze.1 defines all four. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/statistics.h"
#include "common/tally.h"

enum {
    /* Occurrences kept as they come; past that many they are counted by value. */
    MAX_LOG = 1 << 22,
    NEGATIVE = 1,
    POSITIVE = 2,
};

/* An occurrence as one number: feature << 32 | bits of the value. */
typedef uint64_t entry;

static float larger(float a, float b)
{
    return a > b ? a : b;
}

static entry entry_of(uint32_t feature, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint64_t)feature << 32 | bits;
}

static float value_of(entry e)
{
    const uint32_t bits = (uint32_t)e;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* One feature in the stretch of positions that a thread is at. */
struct current {
    uint64_t positions; /* bit p: an occurrence at some site of this sequence */
    uint64_t of_batch;  /* and of any sequence of the batch */
    uint32_t n;         /* occurrences at this site */
    float max;
    uint8_t signs;
};

/* One feature in the batch, as one thread saw it. */
struct in_batch {
    int64_t occurrences, positions;
    float max;
};

/* One feature at one site, over all sequences. */
struct at_site {
    int64_t occurrences;
    float max;
};

struct thread {
    struct current *current;   /* [d_model] */
    uint32_t *touched;         /* features with occurrences at this site */
    struct in_batch *in_batch; /* [d_model] */
    uint8_t *sites_in_batch;   /* [d_model][n_sites]: any occurrence */
    struct at_site *at_site;   /* [n_sites][d_model] */
    int64_t *positions;        /* [d_model]: distinct (sequence, position) */
    uint8_t *signs;            /* [d_model] */
    entry *log;
    size_t n_log, log_room;
    struct ol_tally tally;
};

/* A feature that qualified in a batch. */
struct pair {
    uint32_t feature;
    float max;
    double layers, positions;
    int64_t occurrences;
};

struct batch {
    struct pair *pairs;
    size_t n;
};

struct llm_int8 {
    const struct ol_analysis *a;
    size_t d_model, n_sites;
    struct thread *threads;
    struct batch *batches;       /* [n_batches] */
    int64_t *batches_of_feature; /* [d_model] in which it qualifies */
};

/* ---- gathering ---- */

static void *begin(const struct ol_analysis *a)
{
    struct llm_int8 *s = ol_xcalloc(1, sizeof *s);
    s->a = a;
    s->d_model = (size_t)ol_parts_layout(a->parts)->d_model;
    s->n_sites = (size_t)a->n_sites;
    s->threads = ol_xcalloc((size_t)a->n_threads, sizeof *s->threads);
    s->batches = ol_xcalloc((size_t)a->n_batches, sizeof *s->batches);
    s->batches_of_feature = ol_xcalloc(s->d_model, sizeof *s->batches_of_feature);
    for (int i = 0; i < a->n_threads; i++) {
        struct thread *t = &s->threads[i];
        t->current = ol_xcalloc(s->d_model, sizeof *t->current);
        t->touched = ol_xcalloc(s->d_model, sizeof *t->touched);
        t->in_batch = ol_xcalloc(s->d_model, sizeof *t->in_batch);
        t->sites_in_batch = ol_xcalloc(s->d_model, s->n_sites);
        t->at_site = ol_xcalloc(s->n_sites * s->d_model, sizeof *t->at_site);
        t->positions = ol_xcalloc(s->d_model, sizeof *t->positions);
        t->signs = ol_xcalloc(s->d_model, sizeof *t->signs);
    }
    return s;
}

static void empty_log(struct thread *t)
{
    for (size_t i = 0; i < t->n_log; i++)
        ol_tally_add(&t->tally, t->log[i], 1);
    t->n_log = 0;
}

static entry *log_room(struct thread *t, size_t n)
{
    if (t->n_log + n > MAX_LOG && t->n_log > 0)
        empty_log(t);
    if (t->n_log + n > t->log_room) {
        t->log_room = 2 * (t->n_log + n);
        t->log = ol_xrealloc_array(t->log, t->log_room, sizeof *t->log);
    }
    entry *room = t->log + t->n_log;
    t->n_log += n;
    return room;
}

/* What the site's occurrences come to, feature by feature. */
static void end_site(const struct llm_int8 *s, struct thread *t, int site, size_t n)
{
    struct at_site *at_site = t->at_site + (size_t)site * s->d_model;
    for (size_t i = 0; i < n; i++) {
        const uint32_t f = t->touched[i];
        struct current *c = &t->current[f];
        at_site[f].occurrences += c->n;
        at_site[f].max = larger(at_site[f].max, c->max);
        t->in_batch[f].occurrences += c->n;
        t->in_batch[f].max = larger(t->in_batch[f].max, c->max);
        t->sites_in_batch[(size_t)f * s->n_sites + (size_t)site] = 1;
        t->signs[f] |= c->signs;
        c->n = 0;
        c->max = 0;
        c->signs = 0;
    }
}

static void end_sequence(const struct llm_int8 *s, struct thread *t)
{
    for (size_t f = 0; f < s->d_model; f++) {
        struct current *c = &t->current[f];
        t->positions[f] += __builtin_popcountll(c->positions);
        c->of_batch |= c->positions;
        c->positions = 0;
    }
}

static void end_stretch(const struct llm_int8 *s, struct thread *t)
{
    for (size_t f = 0; f < s->d_model; f++) {
        t->in_batch[f].positions += __builtin_popcountll(t->current[f].of_batch);
        t->current[f].of_batch = 0;
    }
}

static void block(void *state, int thread, const struct ol_block *b)
{
    struct llm_int8 *s = state;
    struct thread *t = &s->threads[thread];
    const struct ol_occurrence *o = b->found->occurrences;
    const size_t n = b->found->n;
    entry *log = log_room(t, n);
    size_t touched = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t f = o[i].feature;
        const float value = o[i].value;
        struct current *c = &t->current[f];
        t->touched[touched] = f;
        touched += c->n == 0;
        c->n++;
        c->positions |= (uint64_t)1 << o[i].row;
        c->max = fabsf(value) > c->max ? fabsf(value) : c->max;
        c->signs |= value < 0 ? NEGATIVE : POSITIVE;
        log[i] = entry_of(f, value);
    }
    end_site(s, t, b->site, touched);
    if (b->last_of_sequence)
        end_sequence(s, t);
    if (b->last_of_batch)
        end_stretch(s, t);
}

/* ---- a batch ---- */

static int compare_pairs(const void *x, const void *y)
{
    const struct pair *a = x, *b = y;
    if (a->max != b->max)
        return a->max > b->max ? -1 : 1;
    return (a->feature > b->feature) - (a->feature < b->feature);
}

/* What all threads saw of a feature, which they then forget. */
static struct in_batch take(struct llm_int8 *s, size_t f, int64_t *n_sites)
{
    struct in_batch sum = {0};
    *n_sites = 0;
    for (int i = 0; i < s->a->n_threads; i++) {
        struct in_batch *one = &s->threads[i].in_batch[f];
        sum.occurrences += one->occurrences;
        sum.positions += one->positions;
        sum.max = larger(sum.max, one->max);
        *one = (struct in_batch){0};
    }
    if (sum.occurrences == 0)
        return sum;
    for (size_t site = 0; site < s->n_sites; site++) {
        uint8_t any = 0;
        for (int i = 0; i < s->a->n_threads; i++) {
            uint8_t *flag = &s->threads[i].sites_in_batch[f * s->n_sites + site];
            any |= *flag;
            *flag = 0;
        }
        *n_sites += any;
    }
    return sum;
}

static int64_t longest_of_batch(const struct ol_analysis *a, int64_t batch)
{
    const int64_t first = batch * a->criterion.batch_size;
    int64_t longest = 0;
    for (int64_t i = first;
         i < a->parts->n_sequences && i - first < a->criterion.batch_size; i++)
        longest = a->parts->lengths[i] > longest ? a->parts->lengths[i] : longest;
    return longest;
}

static void end_batch(void *state, int64_t batch)
{
    struct llm_int8 *s = state;
    const struct ol_criterion *criterion = &s->a->criterion;
    const double n_positions = (double)longest_of_batch(s->a, batch);
    struct batch *b = &s->batches[batch];
    for (size_t f = 0; f < s->d_model; f++) {
        int64_t n_sites;
        const struct in_batch sum = take(s, f, &n_sites);
        const double layers = (double)n_sites / (double)s->n_sites;
        const double positions = (double)sum.positions / n_positions;
        if (layers < criterion->min_layers || positions < criterion->min_positions)
            continue;
        b->pairs = ol_xrealloc_array(b->pairs, b->n + 1, sizeof *b->pairs);
        b->pairs[b->n++] =
            (struct pair){(uint32_t)f, sum.max, layers, positions, sum.occurrences};
        s->batches_of_feature[f]++;
    }
    if (b->n > 0)
        qsort(b->pairs, b->n, sizeof *b->pairs, compare_pairs);
}

static void end(void *state)
{
    struct llm_int8 *s = state;
    for (int i = 0; i < s->a->n_threads; i++) {
        struct thread *t = &s->threads[i];
        free(t->tally.slots);
        free(t->log);
        free(t->signs);
        free(t->positions);
        free(t->at_site);
        free(t->sites_in_batch);
        free(t->in_batch);
        free(t->touched);
        free(t->current);
    }
    for (int64_t i = 0; i < s->a->n_batches; i++)
        free(s->batches[i].pairs);
    free(s->batches_of_feature);
    free(s->batches);
    free(s->threads);
    free(s);
}

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

static struct ol_json *describe_pairs(const struct llm_int8 *s)
{
    size_t n = 0, used = 0;
    for (int64_t i = 0; i < s->a->n_batches; i++)
        n += s->batches[i].n;
    double *layers = ol_xcalloc(n, sizeof *layers),
           *positions = ol_xcalloc(n, sizeof *positions);
    double layer_sum = 0, position_sum = 0;
    for (int64_t i = 0; i < s->a->n_batches; i++)
        for (size_t k = 0; k < s->batches[i].n; k++, used++) {
            layer_sum += layers[used] = s->batches[i].pairs[k].layers;
            position_sum += positions[used] = s->batches[i].pairs[k].positions;
        }
    struct ol_json *pairs = ol_json_new_object();
    const bool any = n > 0;
    ol_json_set(pairs, "count", ol_json_new_int((int64_t)n));
    ol_json_set(pairs, "mean_layer_fraction", real_or_null(layer_sum / (double)n, any));
    ol_json_set(pairs, "mean_position_fraction",
                real_or_null(position_sum / (double)n, any));
    ol_json_set(pairs, "median_layer_fraction",
                real_or_null(any ? median(layers, n) : 0, any));
    ol_json_set(pairs, "median_position_fraction",
                real_or_null(any ? median(positions, n) : 0, any));
    free(positions);
    free(layers);
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
        ol_json_append(features, feature);
    }
    ol_json_set(one, "sequences", sequences);
    ol_json_set(one, "count", ol_json_new_int((int64_t)s->batches[batch].n));
    ol_json_set(one, "features", features);
    return one;
}

/* ---- unique, pooled, strict: over all sequences ---- */

struct feature {
    uint32_t feature;
    int64_t occurrences, positions, n_sites;
    float max;
    uint8_t signs;
    double layer_fraction, pooled, strict;
    double quartiles[3];
};

static struct feature sum_feature(const struct llm_int8 *s, size_t f)
{
    struct feature sum = {.feature = (uint32_t)f};
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
    }
    const double n_tokens = (double)s->a->parts->n_tokens;
    sum.layer_fraction = (double)sum.n_sites / (double)s->n_sites;
    sum.pooled = (double)sum.positions / n_tokens;
    sum.strict = (double)sum.occurrences / ((double)s->n_sites * n_tokens);
    return sum;
}

static int compare_features(const void *x, const void *y)
{
    const struct feature *a = x, *b = y;
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

/* Quartiles of the features that are asked for: their values are picked out of the logs,
 * whose order depends on the threads, and sorted. */
static void find_quartiles(struct llm_int8 *s, struct feature *features, size_t n)
{
    enum { NONE = -1 };
    int32_t *index = ol_xmalloc(s->d_model * sizeof *index);
    struct ol_tally *tallies = ol_xcalloc(n, sizeof *tallies);
    for (size_t f = 0; f < s->d_model; f++)
        index[f] = NONE;
    for (size_t i = 0; i < n; i++)
        index[features[i].feature] = (int32_t)i;
    for (int k = 0; k < s->a->n_threads; k++) {
        const struct thread *t = &s->threads[k];
        for (size_t i = 0; i < t->n_log; i++)
            if (index[t->log[i] >> 32] != NONE)
                ol_tally_add(&tallies[index[t->log[i] >> 32]], t->log[i], 1);
        for (size_t i = 0; i < t->tally.n_slots; i++) {
            const struct ol_counted *c = &t->tally.slots[i];
            if (c->n > 0 && index[c->key >> 32] != NONE)
                ol_tally_add(&tallies[index[c->key >> 32]], c->key, c->n);
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct values v = {tallies[i].slots, 0};
        for (size_t k = 0; k < tallies[i].n_slots; k++)
            if (tallies[i].slots[k].n > 0)
                v.values[v.n++] = tallies[i].slots[k];
        if (v.n > 0)
            qsort(v.values, v.n, sizeof *v.values, compare_counted);
        for (int q = 0; q < 3 && v.n > 0; q++)
            features[i].quartiles[q] = quantile(&v, features[i].occurrences, q + 1);
        free(tallies[i].slots);
    }
    free(tallies);
    free(index);
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

static struct ol_json *describe_quartiles(const struct feature *f)
{
    for (int q = 0; q < 3; q++)
        if (!isfinite(f->quartiles[q]))
            return ol_json_new_null();
    struct ol_json *list = ol_json_new_array();
    for (int q = 0; q < 3; q++)
        ol_json_append(list, ol_json_new_real(f->quartiles[q]));
    return list;
}

enum block { UNIQUE, POOLED, STRICT };

static bool qualifies(const struct llm_int8 *s, const struct feature *f, enum block block)
{
    const struct ol_criterion *c = &s->a->criterion;
    if (block == UNIQUE)
        return s->batches_of_feature[f->feature] > 0;
    return f->layer_fraction >= c->min_layers &&
           (block == POOLED ? f->pooled : f->strict) >= c->min_positions;
}

static struct ol_json *describe_block(const struct llm_int8 *s,
                                      const struct feature *features, size_t n,
                                      enum block block)
{
    struct ol_json *list = ol_json_new_array();
    for (size_t i = 0; i < n; i++) {
        const struct feature *f = &features[i];
        if (!qualifies(s, f, block))
            continue;
        struct ol_json *one = ol_json_new_object();
        ol_json_set(one, "feature", ol_json_new_int(f->feature));
        ol_json_set(one, "batches", ol_json_new_int(s->batches_of_feature[f->feature]));
        ol_json_set(one, "max_magnitude", ol_json_new_real((double)f->max));
        ol_json_set(one, "layer_fraction", ol_json_new_real(f->layer_fraction));
        ol_json_set(one, "position_fraction",
                    ol_json_new_real(block == STRICT ? f->strict : f->pooled));
        ol_json_set(one, "occurrences", ol_json_new_int(f->occurrences));
        ol_json_set(one, "one_sided",
                    ol_json_new_bool(f->signs != (NEGATIVE | POSITIVE)));
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
    struct feature *features = ol_xcalloc(s->d_model, sizeof *features);
    size_t n = 0;
    for (size_t f = 0; f < s->d_model; f++) {
        features[n] = sum_feature(s, f);
        if (qualifies(s, &features[n], UNIQUE) || qualifies(s, &features[n], POOLED) ||
            qualifies(s, &features[n], STRICT))
            n++;
    }
    if (n > 0)
        qsort(features, n, sizeof *features, compare_features);
    find_quartiles(s, features, n);
    struct ol_json *result = ol_json_new_object(), *batches = ol_json_new_array();
    for (int64_t i = 0; i < a->n_batches; i++)
        ol_json_append(batches, describe_batch(s, i));
    ol_json_set(result, "pairs", describe_pairs(s));
    ol_json_set(result, "unique", describe_block(s, features, n, UNIQUE));
    ol_json_set(result, "pooled", describe_block(s, features, n, POOLED));
    ol_json_set(result, "strict", describe_block(s, features, n, STRICT));
    ol_json_set(result, "batches", batches);
    free(features);
    return result;
}

const struct ol_statistic ol_llm_int8_statistic = {.name = "llm_int8",
                                                   .begin = begin,
                                                   .block = block,
                                                   .end_batch = end_batch,
                                                   .end = end,
                                                   .results = results};
