/* What quantising the input of each routed expert would cost: the relative error of each
 * format on the rows of ln_mlp of tokens that were routed to it. Needs the tensors of
 * ln_mlp and the router's choices; experts that read other rows (of a latent, of a norm
 * of their own) are passed over.
 *
 * Scales that tokens share are those of all tokens of the layer, as where an engine
 * rounds a layer's input once for all of its experts: so an expert that is seldom chosen
 * is not shown better than it is. Of each expert at most 32 tokens are looked at: a cost
 * that does not grow with the text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/layers_said.h"
#include "analyze/quantise.h"
#include "analyze/sample.h"
#include "analyze/stats/quantisation.h"
#include "common/results/expert_quantisation.h"

enum { MOST_FIRST = 4, MOST_OTHERS = 28, MOST_RANKED = 16 };
enum { MOST_TOKENS = MOST_FIRST + MOST_OTHERS };

struct expert {
    struct ol_sampler *sampler; /* of (token, slot) pairs */
    struct ol_sample sample;
    struct ol_quantise_errors errors;
};

struct buffers {
    float *x;       /* [MOST_TOKENS, d_model] */
    float *columns; /* [d_model] */
    float *scratch;
    double *per_row;
    int64_t weights[MOST_TOKENS];
};

struct job {
    const struct ol_analysis *a;
    size_t d_model;
    int n_experts, n_layers;
    int *layers;             /* [n_layers]: indices into the layout's */
    struct expert *experts;  /* [n_layers][n_experts] */
    struct buffers *buffers; /* [threads] */
    const void *columns;     /* state of quantisation */
};

/* ---- the sample ---- */

static void choose_sample(void *arg, int64_t layer, int thread)
{
    (void)thread;
    const struct job *j = arg;
    const struct ol_parts *parts = j->a->parts;
    const int i_layer = j->layers[layer];
    const int64_t top_k = ol_parts_layout(parts)->layers[i_layer].top_k;
    struct expert *experts = j->experts + layer * j->n_experts;
    for (int e = 0; e < j->n_experts; e++)
        experts[e].sampler = ol_sampler_new(MOST_FIRST, MOST_OTHERS);
    for (int64_t s = 0; s < parts->n_sequences; s++) {
        const uint16_t *ids =
            ol_activation_get(parts->files[parts->file_of[s]], OL_TABLE_ROUTER_IDS,
                              i_layer, parts->number_of[s]);
        for (int64_t i = 0; i < parts->lengths[s] * top_k; i++)
            if (ids[i] < j->n_experts)
                ol_sampler_add(experts[ids[i]].sampler, s, i / top_k);
    }
    for (int e = 0; e < j->n_experts; e++)
        experts[e].sample = ol_sampler_finish(experts[e].sampler);
}

/* ---- the errors ---- */

/* Number of the layer's ln_mlp among the sites. */
static int site_of(const struct job *j, int i_layer)
{
    int site = 0;
    while (j->a->sites[site].i_layer != i_layer ||
           j->a->sites[site].site != OL_SITE_LN_MLP)
        site++;
    return site;
}

static void measure(void *arg, int64_t i, int thread)
{
    const struct job *j = arg;
    const struct ol_parts *parts = j->a->parts;
    const enum ol_dtype dtype = ol_parts_layout(parts)->dtype;
    const size_t row_bytes = j->d_model * ol_dtype_size(dtype);
    const int i_layer = j->layers[i / j->n_experts];
    struct expert *e = &j->experts[i];
    struct buffers *b = &j->buffers[thread];
    for (int64_t t = 0; t < e->sample.n; t++) {
        const struct ol_sampled *at = &e->sample.tokens[t];
        const char *rows = ol_activation_get(parts->files[parts->file_of[at->sequence]],
                                             ol_table_of_site(OL_SITE_LN_MLP), i_layer,
                                             parts->number_of[at->sequence]);
        ol_to_f32(dtype, rows + (size_t)at->position * row_bytes,
                  b->x + (size_t)t * j->d_model, j->d_model);
        b->weights[t] = at->weight;
    }
    ol_quantisation_columns(j->columns, site_of(j, i_layer), b->columns);
    const struct ol_quantise_input in = {
        b->x,       b->weights, e->sample.n, (int64_t)j->d_model,
        b->columns, b->scratch, b->per_row};
    ol_quantise(&in, &e->errors);
}

/* ---- the results ---- */

static int layer_number(const struct job *j, int layer)
{
    return ol_parts_layout(j->a->parts)->layers[j->layers[layer]].number;
}

static void describe_layer(const struct job *j, int layer, struct ol_arena *arena,
                           struct ol_quantised_experts *to)
{
    const struct expert *experts = &j->experts[layer * j->n_experts];
    const size_t n = (size_t)j->n_experts;
    double *tokens = ol_reals_new(&to->n_tokens, j->n_experts, arena),
           *errors = ol_reals_new(&to->error, OL_N_QUANTISED * j->n_experts, arena);
    to->layer = layer_number(j, layer);
    to->error.inner[0] = j->n_experts;
    for (size_t e = 0; e < n; e++) {
        tokens[e] = (double)experts[e].sample.n;
        for (size_t m = 0; m < OL_N_QUANTISED; m++)
            errors[m * n + e] = experts[e].errors.pooled[m];
    }
}

struct ranked {
    int i; /* index into experts */
    double error;
};

static int by_error(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    if (a->error != b->error)
        return a->error > b->error ? -1 : 1;
    return a->i - b->i;
}

/* By one method: what two formats do to an expert cannot be ranked by one number. */
static void rank(const struct job *j, enum ol_quantised method, struct ol_list *ranking)
{
    const int n_all = j->n_layers * j->n_experts;
    struct ol_expert_rank *to = ranking->items;
    struct ranked *all = ol_xcalloc((size_t)n_all, sizeof *all);
    int n = 0;
    for (int i = 0; i < n_all; i++)
        if (isfinite(j->experts[i].errors.pooled[method]))
            all[n++] = (struct ranked){i, j->experts[i].errors.pooled[method]};
    qsort(all, (size_t)n, sizeof *all, by_error);
    for (int k = 0; k < n && k < MOST_RANKED; k++) {
        const int i = all[k].i;
        to[ranking->n++] =
            (struct ol_expert_rank){.method = ol_quantised_name(method),
                                    .layer = layer_number(j, i / j->n_experts),
                                    .expert = i % j->n_experts,
                                    .n_tokens = j->experts[i].sample.n,
                                    .error = all[k].error};
    }
    free(all);
}

static void describe(const struct job *j, struct ol_expert_quantisation *block,
                     struct ol_arena *arena)
{
    struct ol_quantised_experts *layers =
        ol_list_new(&block->layers, j->n_layers, sizeof *layers, arena);
    block->most_tokens = MOST_TOKENS;
    block->n_experts = j->n_experts;
    ol_quantised_names(&block->methods, arena);
    ol_list_new(&block->ranking, OL_N_QUANTISED * MOST_RANKED,
                sizeof(struct ol_expert_rank), arena);
    block->ranking.n = 0;
    for (int m = 0; m < OL_N_QUANTISED; m++)
        rank(j, (enum ol_quantised)m, &block->ranking);
    for (int i = 0; i < j->n_layers; i++)
        describe_layer(j, i, arena, &layers[i]);
}

static void run(struct job *j)
{
    const size_t n_threads = (size_t)j->a->n_threads, d = j->d_model;
    j->experts =
        ol_xcalloc((size_t)j->n_layers * (size_t)j->n_experts, sizeof *j->experts);
    j->buffers = ol_xcalloc(n_threads, sizeof *j->buffers);
    for (size_t i = 0; i < n_threads; i++) {
        struct buffers *b = &j->buffers[i];
        b->x = ol_xcalloc(MOST_TOKENS * d, sizeof *b->x);
        b->columns = ol_xcalloc(d, sizeof *b->columns);
        b->scratch = ol_xcalloc(OL_QUANTISE_SCRATCH * d, sizeof *b->scratch);
        b->per_row = ol_xcalloc(OL_N_QUANTISED * MOST_TOKENS, sizeof *b->per_row);
    }
    ol_pool_run(j->a->pool, j->n_layers, choose_sample, j);
    ol_pool_run(j->a->pool, (int64_t)j->n_layers * j->n_experts, measure, j);
    for (size_t i = 0; i < n_threads; i++) {
        free(j->buffers[i].x);
        free(j->buffers[i].columns);
        free(j->buffers[i].scratch);
        free(j->buffers[i].per_row);
    }
    free(j->buffers);
}

static void clear(struct job *j)
{
    for (int i = 0; j->experts != NULL && i < j->n_layers * j->n_experts; i++)
        ol_sample_clear(&j->experts[i].sample);
    free(j->experts);
    free(j->layers);
}

/* Whether what the layer's routed experts read is what its ln_mlp recorded. */
static bool is_recorded(const struct ol_analysis *a, const struct ol_activation_layer *l)
{
    char *read = ol_layers_said(ol_parts_info(a->parts)->model.layers_json, l->number,
                                "experts_read");
    free(read);
    return l->top_k > 0 && l->sites[OL_SITE_LN_MLP] && read == NULL;
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    struct job j = {.a = a,
                    .columns = ol_statistic_state(a, &ol_quantisation_statistic),
                    .d_model = (size_t)layout->d_model,
                    .n_experts = (int)ol_parts_info(a->parts)->model.n_experts,
                    .layers = ol_xcalloc((size_t)layout->n_layers, sizeof *j.layers)};
    for (int l = 0; l < layout->n_layers && !a->from_summaries; l++)
        if (is_recorded(a, &layout->layers[l]))
            j.layers[j.n_layers++] = l;
    const bool known = j.n_layers > 0 && j.n_experts > 0;
    if (known) {
        run(&j);
        describe(&j, block, arena);
    }
    clear(&j);
    return known;
}

const struct ol_statistic ol_expert_quantisation_statistic = {
    .needs = &ol_quantisation_statistic,
    .name = "expert_quantisation",
    .results = results};
