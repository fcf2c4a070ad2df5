/* Massive activations: layer by layer, dimension by dimension through its whole life, and
 * the tokens they are on; near misses apart. */
#include "analyze/massive.h"

#include <math.h>

#include "analyze/describe.h"
#include "analyze/findings.h"
#include "common/results/massive.h"

enum { MAX_TOKENS = 20, MAX_TOKENS_OF_NEAR = 8 };

static void means(const double *sums, const int64_t *n, struct ol_reals *list,
                  struct ol_arena *arena)
{
    double *to = ol_reals_new(list, OL_TOP_FEATURES, arena);
    for (int i = 0; i < OL_TOP_FEATURES; i++)
        to[i] = sums[i] / (double)n[i];
}

static void describe_layer(const struct ol_parts *parts,
                           const struct ol_massive_layer *layer,
                           struct ol_massive_after *to, struct ol_arena *arena)
{
    *to = (struct ol_massive_after){
        .layer = layer->number,
        .median_magnitude = layer->median,
        .max_magnitude = layer->feature >= 0 ? layer->max : (double)NAN,
        .feature = ol_describe_index(layer->feature),
        .at = ol_describe_place(parts, layer->sequence, layer->position),
        .n_values = layer->n_values,
        .n_tokens = layer->n_tokens};
    means(layer->token_sums, layer->n_in_token_sums, &to->mean_top, arena);
    means(layer->sequence_sums, layer->n_in_sequence_sums, &to->mean_top_published,
          arena);
}

static void describe_life(const struct ol_massive *m, const struct ol_massive_feature *f,
                          struct ol_list *list, struct ol_arena *arena)
{
    struct ol_massive_life *to = ol_list_new(list, m->stream.n_layers, sizeof *to, arena);
    for (int l = 0; l < m->stream.n_layers; l++) {
        const struct ol_massive_at *at = &f->layers[l];
        to[l] = (struct ol_massive_life){.layer = m->layers[l].number,
                                         .max_magnitude = at->max,
                                         .ratio = at->max / m->layers[l].median,
                                         .n_massive = at->n_massive,
                                         .n_above = at->n_above,
                                         .n_unknown = at->n_unknown};
    }
}

static struct ol_massive_values values_of(const struct ol_massive_feature *f)
{
    return (struct ol_massive_values){.feature = f->feature,
                                      .max_magnitude = f->max,
                                      .max_layer = ol_describe_index(f->max_layer),
                                      .max_ratio = f->max_ratio,
                                      .n_values = f->n_values,
                                      .n_tokens = f->n_tokens,
                                      .at_first_token = f->at_first_token,
                                      .n_layers = f->n_layers,
                                      .first_layer = f->first_layer,
                                      .last_layer = f->last_layer};
}

static void describe_features(const struct ol_massive *m, struct ol_list *list,
                              struct ol_arena *arena)
{
    struct ol_massive_dimension *to = ol_list_new(list, m->n_features, sizeof *to, arena);
    for (int i = 0; i < m->n_features; i++) {
        const struct ol_massive_feature *f = &m->features[i];
        to[i] = (struct ol_massive_dimension){
            .values = values_of(f),
            .above_until = ol_describe_index(f->above_until),
            .above_until_at_most = ol_describe_index(f->above_until_at_most)};
        describe_life(m, f, &to[i].layers, arena);
    }
}

static void describe_near(const struct ol_parts *parts, const struct ol_massive *m,
                          struct ol_list *list, struct ol_arena *arena)
{
    struct ol_massive_miss *to = ol_list_new(list, m->n_near, sizeof *to, arena);
    for (int i = 0; i < m->n_near; i++) {
        to[i].values = values_of(&m->near[i]);
        ol_describe_tokens(parts, &m->near[i].tokens, MAX_TOKENS_OF_NEAR, &to[i].tokens,
                           arena);
    }
}

static void describe_tokens(const struct ol_parts *parts, const struct ol_massive *m,
                            struct ol_list *list, struct ol_arena *arena)
{
    const size_t n = m->n_ids < MAX_TOKENS ? m->n_ids : MAX_TOKENS;
    struct ol_massive_id *to = ol_list_new(list, (int64_t)n, sizeof *to, arena);
    for (size_t i = 0; i < n; i++) {
        const struct ol_massive_token *t = &m->tokens[i];
        to[i] = (struct ol_massive_id){.token = ol_describe_token(parts, t->id),
                                       .at_first = t->at_first,
                                       .elsewhere = t->elsewhere,
                                       .text_at_first = t->text_at_first,
                                       .text_elsewhere = t->text_elsewhere};
    }
}

static void describe(const struct ol_parts *parts, const struct ol_massive *m,
                     struct ol_massive_block *to, struct ol_arena *arena)
{
    struct ol_massive_after *layers =
        ol_list_new(&to->layers, m->stream.n_layers, sizeof *layers, arena);
    to->criterion = ol_arena_calloc(arena, 1, sizeof *to->criterion);
    *to->criterion =
        (struct ol_massive_limits){.min_magnitude = m->criterion.min_magnitude,
                                   .min_ratio = m->criterion.min_ratio,
                                   .near_ratio = m->criterion.near_ratio};
    to->onset_layer = to->offset_layer = OL_ABSENT;
    for (int l = 0; l < m->stream.n_layers; l++) {
        describe_layer(parts, &m->layers[l], &layers[l], arena);
        if (m->layers[l].n_values == 0)
            continue;
        if (to->onset_layer == OL_ABSENT)
            to->onset_layer = m->layers[l].number;
        to->offset_layer = m->layers[l].number;
    }
    describe_features(m, &to->features, arena);
    describe_near(parts, m, &to->near, arena);
    describe_tokens(parts, m, &to->tokens, arena);
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    const struct ol_massive *m = ol_findings_massive(a);
    if (m == NULL)
        return false;
    describe(a->parts, m, block, arena);
    return true;
}

const struct ol_statistic ol_massive_statistic = {.name = "massive", .results = results};
