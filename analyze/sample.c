#include "analyze/sample.h"

#include <math.h>
#include <stdlib.h>

#include "common/error.h"

enum { FIRST, OTHERS, N_KINDS };

struct candidate {
    uint64_t key;
    int64_t sequence, position;
};

/* At most twice as many candidates as are wanted are kept at a time. */
struct ol_sampler {
    int64_t most[N_KINDS], n[N_KINDS], offered[N_KINDS];
    struct candidate *candidates[N_KINDS]; /* [2 * most] */
    uint64_t bound[N_KINDS]; /* a token with a larger key is not among the first */
};

uint64_t ol_sample_key(int64_t sequence, int64_t position)
{
    const uint64_t number = ((uint64_t)sequence << 32) + (uint64_t)position;
    uint64_t z = OL_SAMPLE_SEED + (number + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

struct ol_sampler *ol_sampler_new(int64_t most_first, int64_t most_others)
{
    struct ol_sampler *s = ol_xcalloc(1, sizeof *s);
    s->most[FIRST] = most_first;
    s->most[OTHERS] = most_others;
    for (int kind = 0; kind < N_KINDS; kind++) {
        s->candidates[kind] =
            ol_xcalloc(2 * (size_t)s->most[kind], sizeof *s->candidates[kind]);
        s->bound[kind] = UINT64_MAX;
    }
    return s;
}

static int by_text(const void *x, const void *y)
{
    const struct candidate *a = x, *b = y;
    if (a->sequence != b->sequence)
        return a->sequence < b->sequence ? -1 : 1;
    return (a->position > b->position) - (a->position < b->position);
}

static int by_key(const void *x, const void *y)
{
    const struct candidate *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return by_text(x, y);
}

static void keep_first(struct ol_sampler *s, int kind)
{
    qsort(s->candidates[kind], (size_t)s->n[kind], sizeof *s->candidates[kind], by_key);
    if (s->n[kind] < s->most[kind])
        return;
    s->n[kind] = s->most[kind];
    s->bound[kind] = s->n[kind] > 0 ? s->candidates[kind][s->n[kind] - 1].key : 0;
}

void ol_sampler_add(struct ol_sampler *s, int64_t sequence, int64_t position)
{
    const int kind = position == 0 ? FIRST : OTHERS;
    const uint64_t key = ol_sample_key(sequence, position);
    s->offered[kind]++;
    if (key > s->bound[kind])
        return;
    if (s->n[kind] == 2 * s->most[kind])
        keep_first(s, kind);
    s->candidates[kind][s->n[kind]++] = (struct candidate){key, sequence, position};
}

/* N / n of its kind, times what makes that whole of both kinds. */
static int64_t weight_of(const struct ol_sampler *s, int kind)
{
    const int64_t others = s->n[N_KINDS - 1 - kind];
    return others > 0 ? s->offered[kind] * others : 1;
}

struct ol_sample ol_sampler_finish(struct ol_sampler *s)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        keep_first(s, kind);
    struct ol_sample sample = {.n = s->n[FIRST] + s->n[OTHERS], .n_first = s->n[FIRST]};
    struct candidate *all = ol_xcalloc((size_t)sample.n, sizeof *all);
    int64_t n = 0;
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int64_t i = 0; i < s->n[kind]; i++)
            all[n++] = s->candidates[kind][i];
    if (n > 0)
        qsort(all, (size_t)n, sizeof *all, by_text);
    sample.tokens = ol_xcalloc((size_t)n, sizeof *sample.tokens);
    for (int64_t i = 0; i < n; i++)
        sample.tokens[i] =
            (struct ol_sampled){all[i].sequence, all[i].position,
                                weight_of(s, all[i].position == 0 ? FIRST : OTHERS)};
    free(all);
    for (int kind = 0; kind < N_KINDS; kind++)
        free(s->candidates[kind]);
    free(s);
    return sample;
}

void ol_sample_clear(struct ol_sample *s)
{
    free(s->tokens);
    *s = (struct ol_sample){0};
}

struct weighted {
    double value;
    int64_t weight;
};

static int by_value(const void *x, const void *y)
{
    const struct weighted *a = x, *b = y;
    return (a->value > b->value) - (a->value < b->value);
}

double ol_weighted_median(const double *values, const int64_t *weights, int64_t n)
{
    struct weighted *all = ol_xcalloc((size_t)n, sizeof *all);
    int64_t n_known = 0, total = 0, sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(values[i])) {
            all[n_known] = (struct weighted){values[i], weights != NULL ? weights[i] : 1};
            total += all[n_known++].weight;
        }
    if (n_known > 0)
        qsort(all, (size_t)n_known, sizeof *all, by_value);
    double median = (double)NAN;
    for (int64_t i = 0; i < n_known && isnan(median); i++) {
        sum += all[i].weight;
        if (2 * sum > total)
            median = all[i].value;
        else if (2 * sum == total)
            median = (all[i].value + all[i + 1].value) / 2;
    }
    free(all);
    return median;
}
