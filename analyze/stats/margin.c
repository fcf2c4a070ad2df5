#include "analyze/stats/margin.h"

#include <math.h>
#include <stdlib.h>

#include "common/magnitude.h"

enum { N_CHANGES = 4 };

static const char *const changes[N_CHANGES] = {"2 % lower", "1 bf16 step lower",
                                               "1 bf16 step higher", "2 % higher"};

struct margin_thread {
    uint64_t *bits;     /* [d_model][N_CHANGES]: positions of the stretch at hand with an
                           occurrence in any sequence of the batch */
    int64_t *positions; /* [d_model][N_CHANGES]: in the batch */
    uint8_t *sites;     /* [d_model][n_sites]: bit k: an occurrence in the batch */
};

struct margin {
    const struct ol_analysis *a;
    size_t d_model, n_sites;
    double thresholds[N_CHANGES];  /* NaN: there is no such number */
    double least;                  /* the smallest of them */
    struct margin_thread *threads; /* NULL: there are no tensors */
    int64_t pairs[N_CHANGES];
};

/* The number whose bf16 code is so far from the smallest that reaches the threshold. */
static double step_from(double threshold, int steps)
{
    const int64_t code = (int64_t)ol_least_bf16(threshold) + steps;
    return code > 0 && code < (int64_t)OL_BF16_INFINITY
               ? (double)ol_bf16_to_f32((uint16_t)code)
               : (double)NAN;
}

struct margin *ol_margin_begin(const struct ol_analysis *a)
{
    struct margin *m = ol_xcalloc(1, sizeof *m);
    const double threshold = a->criterion.threshold;
    m->a = a;
    m->d_model = (size_t)ol_parts_layout(a->parts)->d_model;
    m->n_sites = (size_t)a->n_sites;
    m->thresholds[0] = 0.98 * threshold;
    m->thresholds[1] = step_from(threshold, -1);
    m->thresholds[2] = step_from(threshold, 1);
    m->thresholds[3] = 1.02 * threshold;
    m->least = (double)INFINITY;
    for (int k = 0; k < N_CHANGES; k++) {
        if (!(m->thresholds[k] > 0 && m->thresholds[k] < (double)INFINITY))
            m->thresholds[k] = (double)NAN;
        m->least = fmin(m->least, m->thresholds[k]);
    }
    if (a->from_summaries || a->n_sites == 0)
        return m;
    const size_t n = N_CHANGES * m->d_model;
    m->threads = ol_xcalloc((size_t)a->n_threads, sizeof *m->threads);
    for (int i = 0; i < a->n_threads; i++) {
        m->threads[i].bits = ol_xcalloc(n, sizeof *m->threads[i].bits);
        m->threads[i].positions = ol_xcalloc(n, sizeof *m->threads[i].positions);
        m->threads[i].sites = ol_xcalloc(m->d_model, m->n_sites);
    }
    return m;
}

void ol_margin_end(struct margin *m)
{
    for (int i = 0; m->threads != NULL && i < m->a->n_threads; i++) {
        free(m->threads[i].bits);
        free(m->threads[i].positions);
        free(m->threads[i].sites);
    }
    free(m->threads);
    free(m);
}

double ol_margin_least(const struct margin *m)
{
    return m->least;
}

static void end_stretch(const struct margin *m, struct margin_thread *t)
{
    for (size_t i = 0; i < N_CHANGES * m->d_model; i++) {
        t->positions[i] += __builtin_popcountll(t->bits[i]);
        t->bits[i] = 0;
    }
}

void ol_margin_block(struct margin *m, int thread, const struct ol_block *b)
{
    struct margin_thread *t = &m->threads[thread];
    for (size_t i = 0; i < b->more->n; i++) {
        const struct ol_occurrence *o = &b->more->occurrences[i];
        const double magnitude = fabs((double)o->value);
        uint64_t *bits = &t->bits[(size_t)o->feature * N_CHANGES];
        unsigned reached = 0;
        for (int k = 0; k < N_CHANGES; k++) {
            const bool reaches = magnitude >= m->thresholds[k];
            bits[k] |= (uint64_t)reaches << o->row;
            reached |= (unsigned)reaches << k;
        }
        t->sites[(size_t)o->feature * m->n_sites + (size_t)b->site] |= (uint8_t)reached;
    }
    if (b->last_of_batch)
        end_stretch(m, t);
}

/* What all threads saw of one threshold and feature, which they then forget. */
static void take(struct margin *m, size_t f, int k, int64_t *positions, int64_t *n_sites)
{
    const size_t at = f * N_CHANGES + (size_t)k;
    *positions = *n_sites = 0;
    for (int i = 0; i < m->a->n_threads; i++) {
        *positions += m->threads[i].positions[at];
        m->threads[i].positions[at] = 0;
    }
    for (size_t site = 0; *positions > 0 && site < m->n_sites; site++) {
        unsigned any = 0;
        for (int i = 0; i < m->a->n_threads; i++) {
            uint8_t *reached = &m->threads[i].sites[f * m->n_sites + site];
            any |= *reached;
            *reached = (uint8_t)(*reached & ~(1u << k));
        }
        *n_sites += any >> k & 1;
    }
}

void ol_margin_end_batch(struct margin *m, int64_t batch)
{
    const struct ol_criterion *c = &m->a->criterion;
    const double longest = (double)ol_llm_int8_longest(m->a, batch);
    for (size_t f = 0; f < m->d_model; f++)
        for (int k = 0; k < N_CHANGES; k++) {
            int64_t positions, n_sites;
            take(m, f, k, &positions, &n_sites);
            m->pairs[k] += (double)n_sites / (double)m->n_sites >= c->min_layers &&
                           (double)positions / longest >= c->min_positions;
        }
}

/* ---- the results ---- */

static void describe_counts(const struct margin *m, struct ol_list *list,
                            struct ol_arena *arena)
{
    struct ol_margin_count *to = ol_list_new(list, N_CHANGES, sizeof *to, arena);
    for (int k = 0; k < N_CHANGES; k++) {
        const bool known = m->threads != NULL && !isnan(m->thresholds[k]);
        to[k] = (struct ol_margin_count){.change = changes[k],
                                         .threshold = m->thresholds[k],
                                         .pairs = known ? m->pairs[k] : OL_ABSENT};
    }
}

struct ol_margin *ol_margin_describe(const struct margin *m, const struct llm_int8 *s,
                                     struct ol_arena *arena)
{
    const struct ol_criterion *c = &s->a->criterion;
    struct ol_margin *margin = ol_arena_calloc(arena, 1, sizeof *margin);
    margin->least_sites = 1;
    while ((double)margin->least_sites / (double)s->n_sites < c->min_layers)
        margin->least_sites++;
    for (int64_t i = 0; i < s->a->n_batches; i++) {
        const double longest = (double)ol_llm_int8_longest(s->a, i);
        for (size_t k = 0; k < s->batches[i].n; k++) {
            const struct pair *p = &s->batches[i].pairs[k];
            margin->pairs_at_least_sites += p->n_sites == margin->least_sites;
            margin->pairs_at_least_positions +=
                (double)(p->n_positions - 1) / longest < c->min_positions;
        }
    }
    describe_counts(m, &margin->counts, arena);
    return margin;
}
