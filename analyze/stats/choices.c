/* What the routers chose for a sample of tokens, the same tokens in every run over the
 * same text, so that a report can say what changed between two of them. */
#include "common/results/choices.h"

#include <math.h>

#include "analyze/describe.h"
#include "analyze/sample.h"
#include "analyze/statistics.h"

enum { MOST_FIRST = 8, MOST_OTHERS = 120 };

static struct ol_sample draw_sample(const struct ol_parts *parts)
{
    struct ol_sampler *sampler = ol_sampler_new(MOST_FIRST, MOST_OTHERS);
    for (int64_t s = 0; s < parts->n_sequences; s++)
        for (int64_t p = 0; p < parts->lengths[s]; p++)
            ol_sampler_add(sampler, s, p);
    return ol_sampler_finish(sampler);
}

static void describe_tokens(const struct ol_parts *parts, const struct ol_sample *sample,
                            struct ol_list *list, struct ol_arena *arena)
{
    struct ol_choice_token *to = ol_list_new(list, sample->n, sizeof *to, arena);
    for (int64_t i = 0; i < sample->n; i++) {
        const struct ol_sampled *t = &sample->tokens[i];
        to[i] = (struct ol_choice_token){
            .sequence = t->sequence,
            .position = t->position,
            .token_id =
                ol_describe_index(ol_describe_token_id(parts, t->sequence, t->position)),
            .weight = t->weight};
    }
}

static void describe_layer(const struct ol_parts *parts, const struct ol_sample *sample,
                           int i_layer, struct ol_arena *arena,
                           struct ol_choice_layer *to)
{
    const int64_t n_experts = ol_parts_info(parts)->model.n_experts;
    to->layer = ol_parts_layout(parts)->layers[i_layer].number;
    to->top_k = ol_parts_layout(parts)->layers[i_layer].top_k;
    double *experts = ol_reals_new(&to->experts, sample->n * to->top_k, arena);
    for (int64_t i = 0; i < sample->n; i++) {
        const struct ol_sampled *t = &sample->tokens[i];
        const uint16_t *ids = ol_activation_get(parts->files[parts->file_of[t->sequence]],
                                                OL_TABLE_ROUTER_IDS, i_layer,
                                                parts->number_of[t->sequence]);
        for (int64_t k = 0; k < to->top_k; k++) {
            const uint16_t id = ids[t->position * to->top_k + k];
            experts[i * to->top_k + k] = id < n_experts ? (double)id : (double)NAN;
        }
    }
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    struct ol_choices *to = block;
    struct ol_choice_layer *layers =
        ol_list_new(&to->layers, layout->n_layers, sizeof *layers, arena);
    struct ol_sample sample = draw_sample(a->parts);
    to->n_experts = ol_parts_info(a->parts)->model.n_experts;
    to->seed = OL_SAMPLE_SEED;
    to->layers.n = 0;
    describe_tokens(a->parts, &sample, &to->tokens, arena);
    for (int l = 0; l < layout->n_layers; l++)
        if (layout->layers[l].top_k > 0)
            describe_layer(a->parts, &sample, l, arena, &layers[to->layers.n++]);
    ol_sample_clear(&sample);
    return to->layers.n > 0;
}

const struct ol_statistic ol_choices_statistic = {.name = "choices", .results = results};
