/* What the arms of an ablation come to beside the baseline: their likelihoods, and the
 * counts of LLM.int8 outlier features, all from what is recorded of them by sequence and
 * dimension. The baseline is counted from its summaries in the same way. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/statistics.h"
#include "common/results/ablation.h"
#include "common/real_math.h"

/* Of one arm, or of the baseline (-1). */
struct counter {
    const struct ol_analysis *a;
    int arm, left_out;
    int64_t d_model;
    size_t site_bytes;
    /* Of the baseline, as the file has them of arms: [n_sequences, d_model, site_bytes],
     * [n_sequences, d_model]. */
    uint8_t *sites;
    int64_t *occurrences;
};

/* A feature in one sequence. */
struct seen {
    const uint8_t *sites, *positions;
    size_t position_bytes;
    int64_t occurrences;
};

static const struct ol_activation_file *file_of(const struct counter *c, int64_t sequence)
{
    return c->a->parts->files[c->a->parts->file_of[sequence]];
}

/* Row of the tables of arms. */
static int64_t row_of(const struct counter *c, int64_t sequence)
{
    return c->arm * ol_activation_layout(file_of(c, sequence))->n_sequences +
           c->a->parts->number_of[sequence];
}

static int64_t tokens_of(const struct counter *c, int64_t sequence)
{
    return c->a->parts->lengths[sequence] - c->left_out;
}

static int64_t bits(const uint8_t *bytes, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += __builtin_popcount(bytes[i]);
    return sum;
}

/* ---- likelihoods ---- */

static const float *nll_of(const struct counter *c, int64_t sequence)
{
    const struct ol_activation_file *f = file_of(c, sequence);
    return c->arm < 0
               ? ol_activation_get(f, OL_TABLE_NLL, 0, c->a->parts->number_of[sequence])
               : ol_activation_arms(f)->nll +
                     row_of(c, sequence) * ol_activation_layout(f)->n_tokens;
}

static double known(double value, int64_t n)
{
    return n > 0 && isfinite(value) ? value : NAN;
}

/* The first token of a sequence has none; the arm's token t is the baseline's token t +
 * left_out. */
static void find_likelihoods(const struct counter *c, struct ol_ablation_run *run)
{
    const struct counter baseline = {.a = c->a, .arm = -1};
    double sum = 0, difference = 0;
    int64_t n = 0;
    for (int64_t s = 0; s < c->a->parts->n_sequences; s++) {
        const float *nll = nll_of(c, s), *before = nll_of(&baseline, s);
        for (int64_t t = 1; t < tokens_of(c, s); t++, n++) {
            sum += (double)nll[t];
            difference += (double)nll[t] - (double)before[t + c->left_out];
        }
    }
    run->n_tokens = n;
    run->mean_nll = known(sum / (double)n, n);
    run->perplexity = known(ol_real_exp(sum / (double)n), n);
    run->mean_nll_difference = c->arm >= 0 ? known(difference / (double)n, n) : NAN;
}

/* ---- counts ---- */

static void sum_up_baseline(struct counter *c)
{
    const struct ol_analysis *a = c->a;
    const size_t n = (size_t)(a->parts->n_sequences * c->d_model);
    int32_t *counts = ol_xcalloc((size_t)c->d_model, sizeof *counts);
    float *maxima = ol_xcalloc((size_t)c->d_model, sizeof *maxima);
    c->sites = ol_xcalloc(n, c->site_bytes);
    c->occurrences = ol_xcalloc(n, sizeof *c->occurrences);
    for (int64_t s = 0; s < a->parts->n_sequences; s++)
        for (int i = 0; i < a->n_sites; i++) {
            ol_activation_read_occurrences(file_of(c, s), a->sites[i].i_layer,
                                           ol_summary_site_of(a->sites[i].site),
                                           a->parts->number_of[s], counts, maxima);
            for (int64_t f = 0; f < c->d_model; f++) {
                const size_t at = (size_t)(s * c->d_model + f);
                c->occurrences[at] += counts[f];
                if (counts[f] > 0)
                    c->sites[at * c->site_bytes + (size_t)i / 8] |= (uint8_t)(1 << i % 8);
            }
        }
    free(maxima);
    free(counts);
}

static struct seen look(const struct counter *c, int64_t sequence, int64_t f)
{
    const struct ol_activation_file *file = file_of(c, sequence);
    const size_t bytes = (size_t)ol_activation_position_bytes(ol_activation_layout(file));
    if (c->arm < 0) {
        const size_t at = (size_t)(sequence * c->d_model + f),
                     here = (size_t)(c->a->parts->number_of[sequence] * c->d_model + f);
        return (struct seen){c->sites + at * c->site_bytes,
                             ol_activation_outliers(file)->positions + here * bytes,
                             bytes, c->occurrences[at]};
    }
    const struct ol_activation_arms *arms = ol_activation_arms(file);
    const size_t at = (size_t)(row_of(c, sequence) * c->d_model + f);
    return (struct seen){arms->sites + at * c->site_bytes, arms->positions + at * bytes,
                         bytes, arms->occurrences[at]};
}

/* A feature in sequences first .. end - 1. */
struct extent {
    int64_t n_sites;     /* with an occurrence */
    int64_t n_positions; /* with one in any of the sequences */
    int64_t n_distinct;  /* positions with one, of each sequence */
    int64_t n_occurrences;
};

static struct extent extent_of(const struct counter *c, int64_t first, int64_t end,
                               int64_t f, uint8_t *sites, uint8_t *positions)
{
    struct extent e = {0};
    size_t most = 0;
    memset(sites, 0, c->site_bytes);
    for (int64_t s = first; s < end; s++) {
        const struct seen seen = look(c, s, f);
        if (seen.occurrences == 0)
            continue;
        if (seen.position_bytes > most)
            memset(positions + most, 0, seen.position_bytes - most);
        most = seen.position_bytes > most ? seen.position_bytes : most;
        for (size_t i = 0; i < c->site_bytes; i++)
            sites[i] |= seen.sites[i];
        for (size_t i = 0; i < seen.position_bytes; i++)
            positions[i] |= seen.positions[i];
        e.n_distinct += bits(seen.positions, seen.position_bytes);
        e.n_occurrences += seen.occurrences;
    }
    e.n_sites = bits(sites, c->site_bytes);
    e.n_positions = bits(positions, most);
    return e;
}

/* Buffers of a counter's. */
struct room {
    uint8_t *sites, *positions;
    uint8_t *qualified; /* [d_model]: in some batch */
};

static int64_t longest_of(const struct counter *c, int64_t first, int64_t end)
{
    int64_t n = 0;
    for (int64_t s = first; s < end; s++)
        n = tokens_of(c, s) > n ? tokens_of(c, s) : n;
    return n;
}

static void count_batch(const struct counter *c, int64_t first, int64_t end,
                        const struct room *room, struct ol_ablation_run *n)
{
    const struct ol_criterion *criterion = &c->a->criterion;
    const double n_sites = c->a->n_sites, n_tokens = (double)longest_of(c, first, end);
    for (int64_t f = 0; f < c->d_model; f++) {
        const struct extent e = extent_of(c, first, end, f, room->sites, room->positions);
        if ((double)e.n_sites / n_sites < criterion->min_layers ||
            (double)e.n_positions / n_tokens < criterion->min_positions)
            continue;
        n->pairs++;
        n->unique += !room->qualified[f];
        room->qualified[f] = 1;
    }
}

static void count_pooled(const struct counter *c, const struct room *room,
                         struct ol_ablation_run *n)
{
    const struct ol_criterion *criterion = &c->a->criterion;
    const double n_sites = c->a->n_sites;
    double n_tokens = 0;
    for (int64_t s = 0; s < c->a->parts->n_sequences; s++)
        n_tokens += (double)tokens_of(c, s);
    for (int64_t f = 0; f < c->d_model; f++) {
        const struct extent e =
            extent_of(c, 0, c->a->parts->n_sequences, f, room->sites, room->positions);
        if ((double)e.n_sites / n_sites < criterion->min_layers)
            continue;
        n->pooled += (double)e.n_distinct / n_tokens >= criterion->min_positions;
        n->strict +=
            (double)e.n_occurrences / (n_sites * n_tokens) >= criterion->min_positions;
    }
}

/* Whether occurrences were recorded by the threshold that is asked for. */
static bool has_counts(const struct ol_analysis *a)
{
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    if (!layout->summary || layout->threshold != a->criterion.threshold)
        return false;
    for (int i = 0; i < a->n_sites; i++)
        if (!layout->layers[a->sites[i].i_layer]
                 .summary_sites[ol_summary_site_of(a->sites[i].site)])
            return false;
    return a->n_sites > 0;
}

static void find_counts(struct counter *c, struct ol_ablation_run *run)
{
    const struct ol_parts *parts = c->a->parts;
    const int64_t size = c->a->criterion.batch_size, n = parts->n_sequences;
    size_t most = 0;
    run->pairs = run->unique = run->pooled = run->strict = OL_ABSENT;
    if (!has_counts(c->a))
        return;
    for (int i = 0; i < parts->n_files; i++) {
        const size_t bytes =
            (size_t)ol_activation_position_bytes(ol_activation_layout(parts->files[i]));
        most = bytes > most ? bytes : most;
    }
    const struct room room = {ol_xcalloc(c->site_bytes, 1), ol_xcalloc(most, 1),
                              ol_xcalloc((size_t)c->d_model, 1)};
    if (c->arm < 0)
        sum_up_baseline(c);
    run->pairs = run->unique = run->pooled = run->strict = 0;
    for (int64_t first = 0; first < n; first += size)
        count_batch(c, first, first + size < n ? first + size : n, &room, run);
    count_pooled(c, &room, run);
    free(room.sites);
    free(room.positions);
    free(room.qualified);
    free(c->sites);
    free(c->occurrences);
}

/* ---- the block ---- */

static struct ol_ablation_run describe(const struct ol_analysis *a, int arm, int left_out)
{
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    struct counter c = {.a = a,
                        .arm = arm,
                        .left_out = left_out,
                        .d_model = layout->d_model,
                        .site_bytes = (size_t)ol_activation_site_bytes(layout)};
    struct ol_ablation_run run = {.arm = arm >= 0 ? layout->arms[arm] : NULL};
    find_likelihoods(&c, &run);
    find_counts(&c, &run);
    return run;
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    struct ol_ablation *to = block;
    if (layout->n_arms == 0)
        return false;
    struct ol_ablation_run *arms =
        ol_list_new(&to->arms, layout->n_arms, sizeof *arms, arena);
    to->baseline = ol_arena_calloc(arena, 1, sizeof *to->baseline);
    *to->baseline = describe(a, -1, 0);
    for (int i = 0; i < layout->n_arms; i++)
        arms[i] = describe(a, i, layout->left_out[i]);
    return true;
}

const struct ol_statistic ol_ablation_statistic = {.name = "ablation",
                                                   .results = results};
