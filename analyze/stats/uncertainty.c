/* How sure the counts are: what they would be for other sequences like these. Batches are
 * drawn with replacement, as many as there are (the bootstrap: Efron, Annals of
 * Statistics 7, 1979), and counted as if they were the run; the interval is that of the
 * percentiles. unique has none: what is drawn twice finds nothing new, so that no
 * resample has more than the run. Beside it: whether two halves of the run find the same
 * features, and how the count of pairs hangs on the criterion's numbers (margin.c). */
#include <math.h>
#include <stdlib.h>

#include "analyze/stats/llm_int8.h"
#include "analyze/stats/margin.h"

enum { RESAMPLES = 1000, SEED = 1 };

static const double level = 0.95;

extern const struct ol_statistic ol_llm_int8_statistic;

/* What is counted of a resample. */
enum { PAIRS, UNIQUE, POOLED, MEAN_LAYERS, MEAN_POSITIONS, N_NUMBERS };

/* A feature that a resample might count as pooled, by batch. */
struct candidate {
    uint64_t *sites;    /* [n_batches][words]: bit i, an occurrence at site i */
    int64_t *positions; /* [n_batches]: distinct (sequence, position) */
};

struct bootstrap {
    const struct llm_int8 *s;
    int64_t n_batches;
    size_t words;
    int64_t *tokens;   /* [n_batches] */
    bool knows_pooled; /* there are summaries of this threshold */
    struct candidate *candidates;
    size_t n_candidates;
    uint32_t *stamps; /* [d_model]: the last resample in which it was counted */
};

/* The generator of Steele, Lea and Flood (OOPSLA 2014), "SplitMix". */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Below n, each as likely: the upper half of a product (n is far below 2^32). */
static int64_t draw(uint64_t *state, int64_t n)
{
    return (int64_t)((next_random(state) >> 32) * (uint64_t)n >> 32);
}

/* ---- what is known of each batch ---- */

static int64_t popcount_of(const struct ol_analysis *a, int64_t sequence, size_t f)
{
    const struct ol_activation_file *file = a->parts->files[a->parts->file_of[sequence]];
    const struct ol_activation_layout *layout = ol_activation_layout(file);
    const int64_t bytes = ol_activation_position_bytes(layout);
    const uint8_t *bits =
        ol_activation_outliers(file)->positions +
        (a->parts->number_of[sequence] * layout->d_model + (int64_t)f) * bytes;
    int64_t n = 0;
    for (int64_t i = 0; i < bytes; i++)
        n += __builtin_popcount(bits[i]);
    return n;
}

/* Enough sites over all, and enough positions in some batch: nothing else can be pooled
 * in a resample, whose share of positions is a mean of the batches' shares. */
static bool may_qualify(const struct bootstrap *b, size_t f, const int64_t *positions)
{
    const struct ol_criterion *c = &b->s->a->criterion;
    if (ol_llm_int8_sum_feature(b->s, f).layer_fraction < c->min_layers)
        return false;
    for (int64_t i = 0; i < b->n_batches; i++)
        if ((double)positions[i] / (double)b->tokens[i] >= c->min_positions)
            return true;
    return false;
}

static void find_candidates(struct bootstrap *b)
{
    const struct ol_analysis *a = b->s->a;
    int64_t *positions = ol_xcalloc((size_t)b->n_batches, sizeof *positions);
    int32_t *index = ol_xmalloc(b->s->d_model * sizeof *index);
    for (size_t f = 0; f < b->s->d_model; f++) {
        index[f] = -1;
        for (int64_t i = 0; i < b->n_batches; i++)
            positions[i] = 0;
        for (int64_t i = 0; i < a->parts->n_sequences; i++)
            positions[i / a->criterion.batch_size] += popcount_of(a, i, f);
        if (!may_qualify(b, f, positions))
            continue;
        b->candidates =
            ol_xrealloc_array(b->candidates, b->n_candidates + 1, sizeof *b->candidates);
        struct candidate *c = &b->candidates[b->n_candidates];
        c->sites = ol_xcalloc((size_t)b->n_batches * b->words, sizeof *c->sites);
        c->positions = ol_xcalloc((size_t)b->n_batches, sizeof *c->positions);
        memcpy(c->positions, positions, (size_t)b->n_batches * sizeof *positions);
        index[f] = (int32_t)b->n_candidates++;
    }
    int32_t *counts = ol_xcalloc(b->s->d_model, sizeof *counts);
    float *maxima = ol_xcalloc(b->s->d_model, sizeof *maxima);
    for (int64_t i = 0; i < a->parts->n_sequences; i++)
        for (int site = 0; site < a->n_sites; site++) {
            ol_activation_read_occurrences(a->parts->files[a->parts->file_of[i]],
                                           a->sites[site].i_layer,
                                           ol_summary_site_of(a->sites[site].site),
                                           a->parts->number_of[i], counts, maxima);
            for (size_t f = 0; f < b->s->d_model; f++)
                if (counts[f] > 0 && index[f] >= 0)
                    b->candidates[index[f]]
                        .sites[(size_t)(i / a->criterion.batch_size) * b->words +
                               (size_t)site / 64] |= (uint64_t)1 << site % 64;
        }
    free(maxima);
    free(counts);
    free(index);
    free(positions);
}

static void begin(struct bootstrap *b, const struct llm_int8 *s)
{
    const struct ol_analysis *a = s->a;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    *b = (struct bootstrap){.s = s, .n_batches = a->n_batches};
    b->words = (size_t)(a->n_sites + 63) / 64;
    b->tokens = ol_xcalloc((size_t)b->n_batches, sizeof *b->tokens);
    for (int64_t i = 0; i < a->parts->n_sequences; i++)
        b->tokens[i / a->criterion.batch_size] += a->parts->lengths[i];
    b->stamps = ol_xcalloc(s->d_model, sizeof *b->stamps);
    b->knows_pooled = layout->summary && layout->threshold == a->criterion.threshold;
    for (int i = 0; i < a->n_sites; i++)
        b->knows_pooled =
            b->knows_pooled && layout->layers[a->sites[i].i_layer]
                                   .summary_sites[ol_summary_site_of(a->sites[i].site)];
    /* Of f32 tensors, the summaries know the rounded values. */
    if (!a->from_summaries && layout->dtype != OL_DTYPE_BF16)
        b->knows_pooled = false;
    if (b->knows_pooled)
        find_candidates(b);
}

static void end(struct bootstrap *b)
{
    for (size_t i = 0; i < b->n_candidates; i++) {
        free(b->candidates[i].sites);
        free(b->candidates[i].positions);
    }
    free(b->candidates);
    free(b->stamps);
    free(b->tokens);
}

/* ---- counting ---- */

static bool is_pooled(const struct bootstrap *b, const struct candidate *c,
                      const int64_t *drawn, int64_t tokens)
{
    const struct ol_analysis *a = b->s->a;
    int64_t positions = 0, sites = 0;
    for (int64_t i = 0; i < b->n_batches; i++)
        positions += c->positions[drawn[i]];
    if ((double)positions / (double)tokens < a->criterion.min_positions)
        return false;
    for (size_t w = 0; w < b->words; w++) {
        uint64_t any = 0;
        for (int64_t i = 0; i < b->n_batches; i++)
            any |= c->sites[(size_t)drawn[i] * b->words + w];
        sites += __builtin_popcountll(any);
    }
    return (double)sites / (double)a->n_sites >= a->criterion.min_layers;
}

/* The numbers of a run that consists of these batches; stamp > 0 is this run's. */
static void count(struct bootstrap *b, const int64_t *drawn, uint32_t stamp,
                  double numbers[N_NUMBERS])
{
    double layers = 0, positions = 0;
    int64_t pairs = 0, unique = 0, pooled = 0, tokens = 0;
    for (int64_t i = 0; i < b->n_batches; i++) {
        const struct batch *batch = &b->s->batches[drawn[i]];
        tokens += b->tokens[drawn[i]];
        pairs += (int64_t)batch->n;
        for (size_t k = 0; k < batch->n; k++) {
            const struct pair *p = &batch->pairs[k];
            layers += p->layers;
            positions += p->positions;
            unique += b->stamps[p->feature] != stamp;
            b->stamps[p->feature] = stamp;
        }
    }
    for (size_t i = 0; i < b->n_candidates; i++)
        pooled += is_pooled(b, &b->candidates[i], drawn, tokens);
    numbers[PAIRS] = (double)pairs;
    numbers[UNIQUE] = (double)unique;
    numbers[POOLED] = b->knows_pooled ? (double)pooled : NAN;
    numbers[MEAN_LAYERS] = pairs > 0 ? layers / (double)pairs : NAN;
    numbers[MEAN_POSITIONS] = pairs > 0 ? positions / (double)pairs : NAN;
}

static int compare(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Of sorted values, with linear interpolation. */
static double percentile(const double *values, size_t n, double p)
{
    const double at = p * (double)(n - 1);
    const size_t k = (size_t)at;
    return k + 1 < n ? values[k] + (at - (double)k) * (values[k + 1] - values[k])
                     : values[n - 1];
}

/* Resamples without a pair have no mean; the interval is of those that have one. */
static struct ol_interval interval(double value, double *values, bool known)
{
    size_t n = 0;
    for (size_t i = 0; known && i < RESAMPLES; i++)
        if (!isnan(values[i]))
            values[n++] = values[i];
    if (n > 0)
        qsort(values, n, sizeof *values, compare);
    return (struct ol_interval){
        value, n > 0 ? percentile(values, n, (1 - level) / 2) : (double)NAN,
        n > 0 ? percentile(values, n, (1 + level) / 2) : (double)NAN};
}

/* One batch is all that there is: drawn again it says nothing. */
static void resample(struct bootstrap *b, struct ol_interval intervals[N_NUMBERS])
{
    double *values[N_NUMBERS], numbers[N_NUMBERS];
    int64_t *drawn = ol_xcalloc((size_t)b->n_batches, sizeof *drawn);
    uint64_t state = SEED;
    const bool several = b->n_batches > 1;
    for (int k = 0; k < N_NUMBERS; k++)
        values[k] = ol_xcalloc(RESAMPLES, sizeof *values[k]);
    for (uint32_t i = 0; several && i < RESAMPLES; i++) {
        for (int64_t j = 0; j < b->n_batches; j++)
            drawn[j] = draw(&state, b->n_batches);
        count(b, drawn, i + 1, numbers);
        for (int k = 0; k < N_NUMBERS; k++)
            values[k][i] = numbers[k];
    }
    for (int64_t j = 0; j < b->n_batches; j++)
        drawn[j] = j;
    count(b, drawn, RESAMPLES + 1, numbers);
    for (int k = 0; k < N_NUMBERS; k++) {
        intervals[k] = interval(numbers[k], values[k], several && k != UNIQUE);
        free(values[k]);
    }
    free(drawn);
}

/* ---- halves ---- */

/* Batches 0, 2, 4, ... and 1, 3, 5, ...: both halves run through the text. */
static struct ol_split_half *split_half(const struct llm_int8 *s, struct ol_arena *arena)
{
    uint8_t *halves = ol_xcalloc(s->d_model, 1);
    int64_t n[4] = {0};
    for (int64_t i = 0; i < s->a->n_batches; i++)
        for (size_t k = 0; k < s->batches[i].n; k++)
            halves[s->batches[i].pairs[k].feature] |= (uint8_t)(1 << i % 2);
    for (size_t f = 0; f < s->d_model; f++)
        n[halves[f]]++;
    free(halves);
    const int64_t any = n[1] + n[2] + n[3];
    struct ol_split_half *split = ol_arena_calloc(arena, 1, sizeof *split);
    *split = (struct ol_split_half){.unique_a = n[1] + n[3],
                                    .unique_b = n[2] + n[3],
                                    .both = n[3],
                                    .jaccard = (double)n[3] / (double)any};
    return split;
}

static void consistency(const struct llm_int8 *s, struct ol_list *list,
                        struct ol_arena *arena)
{
    const int64_t most = s->a->n_batches;
    struct ol_consistency *to = ol_list_new(list, most, sizeof *to, arena);
    int64_t *n = ol_xcalloc((size_t)most + 1, sizeof *n);
    list->n = 0;
    for (size_t f = 0; f < s->d_model; f++)
        n[s->batches_of_feature[f]]++;
    for (int64_t i = 1; i <= most; i++)
        if (n[i] > 0)
            to[list->n++] = (struct ol_consistency){i, n[i]};
    free(n);
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    if (a->n_sites == 0)
        return false;
    const struct llm_int8 *s = ol_statistic_state(a, &ol_llm_int8_statistic);
    struct bootstrap b;
    struct ol_interval *intervals = ol_arena_calloc(arena, N_NUMBERS, sizeof *intervals);
    begin(&b, s);
    resample(&b, intervals);
    end(&b);
    struct ol_uncertainty *to = block;
    *to = (struct ol_uncertainty){.resamples = a->n_batches > 1 ? RESAMPLES : 0,
                                  .seed = SEED,
                                  .level = level,
                                  .pairs = &intervals[PAIRS],
                                  .unique = &intervals[UNIQUE],
                                  .pooled = &intervals[POOLED],
                                  .mean_layer_fraction = &intervals[MEAN_LAYERS],
                                  .mean_position_fraction = &intervals[MEAN_POSITIONS],
                                  .split_half =
                                      a->n_batches > 1 ? split_half(s, arena) : NULL,
                                  .margin = ol_margin_describe(state, s, arena)};
    consistency(s, &to->consistency, arena);
    return true;
}

static void *begin_margin(const struct ol_analysis *a)
{
    return ol_margin_begin(a);
}

static void block(void *state, int thread, const struct ol_block *b)
{
    ol_margin_block(state, thread, b);
}

static double least(const void *state)
{
    return ol_margin_least(state);
}

static void end_batch(void *state, int64_t batch)
{
    ol_margin_end_batch(state, batch);
}

static void end_margin(void *state)
{
    ol_margin_end(state);
}

const struct ol_statistic ol_uncertainty_statistic = {.needs = &ol_llm_int8_statistic,
                                                      .name = "uncertainty",
                                                      .begin = begin_margin,
                                                      .block = block,
                                                      .least = least,
                                                      .end_batch = end_batch,
                                                      .end = end_margin,
                                                      .results = results};
