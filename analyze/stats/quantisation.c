/* What quantising the activations would cost, site by site: the relative error of common
 * formats on a sample of tokens, as they are, with the dimensions of the largest
 * magnitude kept as they are, and with the tokens of the largest kept. Scales that tokens
 * share are those of all tokens, not of the sample, which seldom has the largest. Needs
 * tensors, but for what it says of the inputs of down projections. */
#include "analyze/stats/quantisation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/down_inputs.h"
#include "analyze/quantise.h"
#include "analyze/sample.h"
#include "common/results/quantisation.h"

enum { MOST_FIRST = 16, MOST_OTHERS = 240, K_DIMS = 8, MOST_RANKED = 8 };

enum variant { AS_IT_IS, WITHOUT_DIMS, WITHOUT_TOKENS, N_VARIANTS };

/* ---- measuring ---- */

struct buffers {
    float *x, *columns, *scratch;
    double *per_row;
    int64_t *weights;
};

struct job {
    const struct quantisation *q;
    struct ol_sample sample;
    struct buffers *buffers; /* [threads] */
    struct ol_quantise_errors (*sites)[N_VARIANTS];
};

static void read_sample(const struct job *j, int site, float *x)
{
    const enum ol_dtype dtype = ol_parts_layout(j->q->a->parts)->dtype;
    for (int64_t i = 0; i < j->sample.n; i++)
        ol_to_f32(dtype,
                  ol_quantisation_row(j->q, site, j->sample.tokens[i].sequence,
                                      j->sample.tokens[i].position),
                  x + (size_t)i * j->q->d_model, j->q->d_model);
}

/* Zeros are exact in every format and do not change scales: what is kept apart counts
 * neither for nor against. The K_DIMS columns of the largest magnitude, ties to the
 * first. */
static void drop_dims(const struct job *j, float *x, float *columns)
{
    const size_t d = j->q->d_model;
    for (size_t k = 0; k < K_DIMS && k < d; k++) {
        size_t most = 0;
        for (size_t c = 1; c < d; c++)
            most = columns[c] > columns[most] ? c : most;
        columns[most] = 0;
        for (int64_t i = 0; i < j->sample.n; i++)
            x[(size_t)i * d + most] = 0;
    }
}

static void drop_tokens(const struct job *j, int site, struct buffers *b)
{
    const size_t d = j->q->d_model;
    ol_quantisation_columns_of_others(j->q, site, b->columns);
    for (int64_t i = 0; i < j->sample.n; i++)
        if (ol_quantisation_is_kept(j->q, site, j->sample.tokens[i].sequence,
                                    j->sample.tokens[i].position))
            memset(b->x + (size_t)i * d, 0, d * sizeof *b->x);
}

/* Errors are of all values: what was kept adds none, but counts in the sum of squares. */
static void relate(const struct ol_quantise_errors *all, struct ol_quantise_errors *left)
{
    for (int m = 0; m < OL_N_QUANTISED; m++) {
        if (isnan(all->pooled[m]))
            left->pooled[m] = NAN;
        else if (left->norm == 0) /* nothing is left, of something: nothing is off */
            left->pooled[m] = 0;
        else
            left->pooled[m] *= left->norm / all->norm;
    }
}

static void measure(void *arg, int64_t site, int thread)
{
    const struct job *j = arg;
    struct buffers *b = &j->buffers[thread];
    struct ol_quantise_errors *errors = j->sites[site];
    const struct ol_quantise_input in = {
        b->x,       b->weights, j->sample.n, (int64_t)j->q->d_model,
        b->columns, b->scratch, b->per_row};
    for (int64_t i = 0; i < j->sample.n; i++)
        b->weights[i] = j->sample.tokens[i].weight;
    for (int variant = 0; variant < N_VARIANTS; variant++) {
        ol_quantisation_columns(j->q, (int)site, b->columns);
        read_sample(j, (int)site, b->x);
        if (variant == WITHOUT_DIMS)
            drop_dims(j, b->x, b->columns);
        else if (variant == WITHOUT_TOKENS && isfinite(errors[AS_IT_IS].norm))
            drop_tokens(j, (int)site, b);
        ol_quantise(&in, &errors[variant]);
        if (variant != AS_IT_IS)
            relate(&errors[AS_IT_IS], &errors[variant]);
    }
}

/* ---- the results ---- */

struct ranked {
    int site;
    double error;
};

static int by_error(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    if (a->error != b->error)
        return a->error > b->error ? -1 : 1;
    return (a->site > b->site) - (a->site < b->site);
}

/* By one method: two formats cannot be ranked by one number, the coarser has all places.
 */
static void rank(const struct job *j, int method, struct ol_list *ranking)
{
    const struct ol_site_of_run *sites = j->q->a->sites;
    const int n_sites = j->q->a->n_sites;
    struct ol_quantised_rank *to = ranking->items;
    struct ranked *all = ol_xcalloc((size_t)n_sites, sizeof *all);
    int n = 0;
    for (int site = 0; site < n_sites; site++)
        if (isfinite(j->sites[site][AS_IT_IS].pooled[method]))
            all[n++] = (struct ranked){site, j->sites[site][AS_IT_IS].pooled[method]};
    if (n > 0)
        qsort(all, (size_t)n, sizeof *all, by_error);
    for (int i = 0; i < n && i < MOST_RANKED; i++)
        to[ranking->n++] = (struct ol_quantised_rank){
            .layer = sites[all[i].site].layer,
            .site = ol_site_name(sites[all[i].site].site),
            .method = ol_quantised_name((enum ol_quantised)method),
            .error = all[i].error};
    free(all);
}

/* Borrowed, until it is written. */
static struct ol_reals by_method(double values[OL_N_QUANTISED])
{
    return (struct ol_reals){.items = values, .n = OL_N_QUANTISED};
}

static void describe_sites(const struct job *j, struct ol_quantisation *block,
                           struct ol_arena *arena)
{
    const int64_t n = j->q->a->n_sites;
    struct ol_quantised_site *sites = ol_list_new(&block->sites, n, sizeof *sites, arena);
    for (int64_t i = 0; i < n; i++) {
        struct ol_quantise_errors *errors = j->sites[i];
        sites[i] = (struct ol_quantised_site){
            .layer = j->q->a->sites[i].layer,
            .site = ol_site_name(j->q->a->sites[i].site),
            .error = by_method(errors[AS_IT_IS].pooled),
            .error_without_dims = by_method(errors[WITHOUT_DIMS].pooled),
            .error_without_tokens = by_method(errors[WITHOUT_TOKENS].pooled),
            .token_median = by_method(errors[AS_IT_IS].token_median),
            .zeroed = by_method(errors[AS_IT_IS].zeroed)};
    }
    block->sample_tokens = j->sample.n;
    block->sample_first = j->sample.n_first;
    block->k_tokens = j->q->n_kept;
    block->kept_tokens = j->q->marks != NULL ? "massive" : "worst";
    for (int m = 0; m < OL_N_QUANTISED; m++)
        rank(j, m, &block->ranking);
}

/* With no sites where there are no tensors; without summaries then too, nothing. */
static bool describe(const struct job *j, struct ol_quantisation *block,
                     struct ol_arena *arena)
{
    block->sample_tokens = block->sample_first = block->k_tokens = OL_ABSENT;
    block->seed = OL_SAMPLE_SEED;
    block->k_dims = K_DIMS;
    block->int8_divisor = OL_INT8_DIVISOR;
    ol_list_new(&block->sites, 0, 1, arena);
    ol_list_new(&block->ranking, OL_N_QUANTISED * MOST_RANKED,
                sizeof(struct ol_quantised_rank), arena);
    block->ranking.n = 0;
    ol_quantised_names(&block->methods, arena);
    ol_down_inputs_describe(j->q->a->parts, arena, &block->down);
    if (j->sites != NULL)
        describe_sites(j, block, arena);
    return j->sites != NULL || block->down.items != NULL;
}

struct ol_sample ol_quantisation_sample(const struct ol_parts *parts)
{
    struct ol_sampler *sampler = ol_sampler_new(MOST_FIRST, MOST_OTHERS);
    for (int64_t s = 0; s < parts->n_sequences; s++)
        for (int64_t p = 0; p < parts->lengths[s]; p++)
            ol_sampler_add(sampler, s, p);
    return ol_sampler_finish(sampler);
}

static void begin_buffers(const struct job *j, struct buffers *b)
{
    const size_t d = j->q->d_model, n = (size_t)j->sample.n;
    *b = (struct buffers){.x = ol_xcalloc(n * d, sizeof *b->x),
                          .columns = ol_xcalloc(d, sizeof *b->columns),
                          .scratch =
                              ol_xcalloc(OL_QUANTISE_SCRATCH * d, sizeof *b->scratch),
                          .per_row = ol_xcalloc(OL_N_QUANTISED * n, sizeof *b->per_row),
                          .weights = ol_xcalloc(n, sizeof *b->weights)};
}

static void end_buffers(struct buffers *b)
{
    free(b->x);
    free(b->columns);
    free(b->scratch);
    free(b->per_row);
    free(b->weights);
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    const struct quantisation *q = state;
    if (q->columns == NULL)
        return describe(&(struct job){.q = q}, block, arena);
    struct job j = {
        .q = q,
        .sample = ol_quantisation_sample(a->parts),
        .buffers = ol_xcalloc((size_t)a->n_threads, sizeof *j.buffers),
        .sites = ol_arena_calloc(arena, (size_t)a->n_sites, sizeof *j.sites),
    };
    for (int i = 0; i < a->n_threads; i++)
        begin_buffers(&j, &j.buffers[i]);
    ol_pool_run(a->pool, a->n_sites, measure, &j);
    const bool known = describe(&j, block, arena);
    for (int i = 0; i < a->n_threads; i++)
        end_buffers(&j.buffers[i]);
    free(j.buffers);
    ol_sample_clear(&j.sample);
    return known;
}

static void *begin(const struct ol_analysis *a)
{
    return ol_quantisation_begin(a);
}

static void block(void *state, int thread, const struct ol_block *b)
{
    ol_quantisation_block(state, thread, b);
}

static void end_batch(void *state, int64_t batch)
{
    ol_quantisation_end_batch(state, batch);
}

static void end(void *state)
{
    ol_quantisation_end(state);
}

const struct ol_statistic ol_quantisation_statistic = {.name = "quantisation",
                                                       .begin = begin,
                                                       .block = block,
                                                       .end_batch = end_batch,
                                                       .end = end,
                                                       .results = results};
