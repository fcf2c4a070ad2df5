/* Gathering the LLM.int8() criterion's counts from blocks of tensors. */
#include "analyze/stats/llm_int8.h"

#include <math.h>
#include <stdlib.h>

/* Occurrences kept as they come; past that many they are counted by value. Values of
 * bfloat16 are few, and what is written stays in a cache. */
enum { MAX_LOG = 1 << 22, MAX_LOG_BF16 = 1 << 14 };

/* ---- gathering ---- */

struct llm_int8 *ol_llm_int8_begin(const struct ol_analysis *a)
{
    struct llm_int8 *s = ol_xcalloc(1, sizeof *s);
    s->a = a;
    s->d_model = (size_t)ol_parts_layout(a->parts)->d_model;
    s->n_sites = (size_t)a->n_sites;
    struct llm_int8_layers layers = {0, -1};
    for (size_t site = 0; site < s->n_sites; site++)
        ol_llm_int8_see(a, site, &layers);
    s->n_layers = layers.n;
    s->max_log =
        ol_parts_layout(a->parts)->dtype == OL_DTYPE_BF16 ? MAX_LOG_BF16 : MAX_LOG;
    s->threads = ol_xcalloc((size_t)a->n_threads, sizeof *s->threads);
    s->batches = ol_xcalloc((size_t)a->n_batches, sizeof *s->batches);
    s->batches_of_feature = ol_xcalloc(s->d_model, sizeof *s->batches_of_feature);
    for (int i = 0; i < a->n_threads; i++) {
        struct thread *t = &s->threads[i];
        t->current = ol_xcalloc(s->d_model, sizeof *t->current);
        t->touched = ol_xcalloc(s->d_model + 1, sizeof *t->touched);
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

static entry *log_room(const struct llm_int8 *s, struct thread *t, size_t n)
{
    if (t->n_log + n > s->max_log && t->n_log > 0)
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
static void end_site(const struct llm_int8 *s, struct thread *t, int site)
{
    struct at_site *at_site = t->at_site + (size_t)site * s->d_model;
    for (size_t i = 0; i < t->n_touched; i++) {
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
    t->n_touched = 0;
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

void ol_llm_int8_block(struct llm_int8 *s, int thread, const struct ol_block *b)
{
    struct thread *t = &s->threads[thread];
    const struct ol_occurrence *o = b->found->occurrences;
    const size_t n = b->found->n;
    entry *log = log_room(s, t, n);
    size_t touched = t->n_touched;
    for (size_t i = 0; i < n; i++) {
        const uint32_t f = o[i].feature;
        const float value = o[i].value;
        struct current *c = &t->current[f];
        t->touched[touched] = f;
        touched += c->n == 0;
        c->n++;
        c->positions |= (uint64_t)1 << o[i].row;
        c->max = fabsf(value) > c->max ? fabsf(value) : c->max;
        c->signs |= value < 0 ? OL_NEGATIVE : OL_POSITIVE;
        log[i] = entry_of(f, value);
    }
    t->n_touched = touched;
    if (b->last_of_site)
        end_site(s, t, b->site);
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

void ol_llm_int8_see(const struct ol_analysis *a, size_t site, struct llm_int8_layers *l)
{
    l->n += a->sites[site].i_layer != l->last;
    l->last = a->sites[site].i_layer;
}

/* What all threads saw of a feature, which they then forget. */
static struct in_batch take(struct llm_int8 *s, size_t f, int64_t *n_sites,
                            int64_t *n_layers)
{
    struct in_batch sum = {0};
    struct llm_int8_layers layers = {0, -1};
    *n_sites = *n_layers = 0;
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
        if (any != 0)
            ol_llm_int8_see(s->a, site, &layers);
    }
    *n_layers = layers.n;
    return sum;
}

int64_t ol_llm_int8_longest(const struct ol_analysis *a, int64_t batch)
{
    const int64_t first = batch * a->criterion.batch_size;
    int64_t longest = 0;
    for (int64_t i = first;
         i < a->parts->n_sequences && i - first < a->criterion.batch_size; i++)
        longest = a->parts->lengths[i] > longest ? a->parts->lengths[i] : longest;
    return longest;
}

void ol_llm_int8_end_batch(struct llm_int8 *s, int64_t batch)
{
    const struct ol_criterion *criterion = &s->a->criterion;
    const double n_positions = (double)ol_llm_int8_longest(s->a, batch);
    struct batch *b = &s->batches[batch];
    for (size_t f = 0; f < s->d_model; f++) {
        int64_t n_sites, n_layers;
        const struct in_batch sum = take(s, f, &n_sites, &n_layers);
        const double layers = (double)n_sites / (double)s->n_sites;
        const double positions = (double)sum.positions / n_positions;
        if (layers < criterion->min_layers || positions < criterion->min_positions)
            continue;
        b->pairs = ol_xrealloc_array(b->pairs, b->n + 1, sizeof *b->pairs);
        b->pairs[b->n++] =
            (struct pair){(uint32_t)f,     sum.max, layers,   positions,
                          sum.occurrences, n_sites, n_layers, sum.positions};
        s->batches_of_feature[f]++;
    }
    if (b->n > 0)
        qsort(b->pairs, b->n, sizeof *b->pairs, compare_pairs);
}

void ol_llm_int8_end(struct llm_int8 *s)
{
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
