/* Super experts (arXiv 2507.23279): experts whose down projection puts out extreme values
 * and by that makes massive activations; by the published rule and by a robust one, and
 * every unit's largest values. */
#include <math.h>

#include "analyze/describe.h"
#include "analyze/statistics.h"
#include "analyze/units.h"
#include "common/results/super_experts.h"

static double or_nan(const struct ol_unit *unit, double value)
{
    return unit->n_tokens > 0 ? value : (double)NAN;
}

static double gate_mean(const struct ol_unit *unit)
{
    return unit->gate_sum / (double)unit->n_tokens;
}

static double share_of_median(const struct ol_unit *unit,
                              const struct ol_super_experts *s)
{
    return fabs(unit->output) / s->median_output;
}

static struct ol_super_expert describe_expert(const struct ol_parts *parts,
                                              const struct ol_unit *unit,
                                              const struct ol_super_experts *s)
{
    return (struct ol_super_expert){
        .who = ol_describe_component(parts, unit->i_layer, unit->number),
        .output = unit->output,
        .feature = ol_describe_index(unit->feature),
        .at = ol_describe_place(parts, unit->sequence, unit->position),
        .input = unit->input,
        .input_column = ol_describe_index(unit->input_column),
        .n_tokens = unit->n_tokens,
        .gate_mean = gate_mean(unit),
        .share_of_max = fabs(unit->output) / s->max_output,
        .share_of_median = share_of_median(unit, s),
        .z = ol_units_z(s, unit)};
}

static void describe_robust(const struct ol_parts *parts,
                            const struct ol_super_experts *s, struct ol_super_robust *to,
                            struct ol_arena *arena)
{
    struct ol_robust_expert *experts =
        ol_list_new(&to->experts, s->n_robust, sizeof *experts, arena);
    for (int64_t i = 0; i < s->n_robust; i++)
        experts[i] = (struct ol_robust_expert){
            .who =
                ol_describe_component(parts, s->robust[i]->i_layer, s->robust[i]->number),
            .output = s->robust[i]->output,
            .share_of_median = share_of_median(s->robust[i], s),
            .z = ol_units_z(s, s->robust[i])};
    to->min_z = ol_super_default.min_z;
    to->median = s->median;
    to->mad = s->mad;
}

/* Units are layer by layer, and in each numbered from 0. */
static void describe_layers(const struct ol_parts *parts, const struct ol_units *u,
                            struct ol_list *list, struct ol_arena *arena)
{
    const struct ol_activation_layout *layout = ol_parts_layout(parts);
    struct ol_super_layer *layer =
        ol_list_new(list, layout->n_layers, sizeof *layer, arena);
    struct ol_super_unit *to = NULL;
    list->n = 0;
    for (int64_t i = 0; i < u->n; i++) {
        const struct ol_unit *unit = &u->units[i];
        if (unit->number == 0) {
            layer = (struct ol_super_layer *)list->items + list->n++;
            layer->layer = unit->layer;
            to = ol_list_new(&layer->units, layout->layers[unit->i_layer].n_units,
                             sizeof *to, arena);
        }
        const struct ol_named_component who =
            ol_describe_component(parts, unit->i_layer, unit->number);
        to[unit->number] = (struct ol_super_unit){.kind = who.kind,
                                                  .expert = who.expert,
                                                  .n_tokens = unit->n_tokens,
                                                  .gate_mean = gate_mean(unit),
                                                  .input = or_nan(unit, unit->input),
                                                  .output = or_nan(unit, unit->output)};
    }
}

static void describe(const struct ol_parts *parts, const struct ol_units *u,
                     struct ol_super_block *to, struct ol_arena *arena)
{
    const struct ol_super_criterion *c = &ol_super_default;
    struct ol_super_experts s;
    ol_units_super(parts, u, c, &s);
    to->criterion = ol_arena_calloc(arena, 1, sizeof *to->criterion);
    *to->criterion =
        (struct ol_super_limits){c->percentile, c->min_share, c->first_layers};
    to->limit = s.limit;
    to->max_output = s.max_output;
    to->median_output = s.median_output;
    struct ol_super_expert *experts =
        ol_list_new(&to->experts, s.n, sizeof *experts, arena);
    for (int64_t i = 0; i < s.n; i++)
        experts[i] = describe_expert(parts, s.experts[i], &s);
    /* The rule is meaningful where it can leave the largest output out: above the
     * percentile of at most 200 outputs is always one, the largest, however small. */
    to->noise = ol_arena_calloc(arena, 1, sizeof *to->noise);
    *to->noise = (struct ol_super_noise){.n_experts = s.n_outputs,
                                         .n_above = s.n_above,
                                         .expected = s.expected,
                                         .probability = s.probability,
                                         .meaningful = s.n_above > 1};
    to->robust = ol_arena_calloc(arena, 1, sizeof *to->robust);
    describe_robust(parts, &s, to->robust, arena);
    describe_layers(parts, u, &to->layers, arena);
    ol_units_super_clear(&s);
}

/* Nothing where no expert was recorded. */
static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    struct ol_units u;
    bool any = false;
    ol_units_read(a->parts, &u);
    for (int64_t i = 0; i < u.n; i++)
        any |= u.units[i].routed;
    if (any)
        describe(a->parts, &u, block, arena);
    ol_units_clear(&u);
    return any;
}

const struct ol_statistic ol_super_experts_statistic = {.name = "super_experts",
                                                        .results = results};
