/* Super experts (arXiv 2507.23279): experts whose down projection puts out extreme values
 * and by that makes massive activations; by the published rule and by a robust one, and
 * every unit's largest values. */
#include <math.h>

#include "analyze/describe.h"
#include "analyze/statistics.h"
#include "analyze/units.h"

static double or_nan(const struct ol_unit *unit, double value)
{
    return unit->n_tokens > 0 ? value : (double)NAN;
}

static struct ol_json *begin_unit(const struct ol_parts *parts,
                                  const struct ol_unit *unit, bool with_layer)
{
    struct ol_json *entry = ol_json_new_object();
    if (with_layer)
        ol_json_set(entry, "layer", ol_json_new_int(unit->layer));
    ol_describe_unit(entry, parts, unit->i_layer, unit->number);
    return entry;
}

static struct ol_json *gate_mean(const struct ol_unit *unit)
{
    return ol_json_new_real(unit->gate_sum / (double)unit->n_tokens);
}

static struct ol_json *describe_expert(const struct ol_parts *parts,
                                       const struct ol_unit *unit,
                                       const struct ol_super_experts *s)
{
    struct ol_json *entry = begin_unit(parts, unit, true);
    ol_json_set(entry, "output", ol_json_new_real(unit->output));
    ol_json_set(entry, "feature", ol_describe_index(unit->feature));
    ol_describe_place(entry, parts, unit->sequence, unit->position);
    ol_json_set(entry, "input", ol_json_new_real(unit->input));
    ol_json_set(entry, "input_column", ol_describe_index(unit->input_column));
    ol_json_set(entry, "n_tokens", ol_json_new_int(unit->n_tokens));
    ol_json_set(entry, "gate_mean", gate_mean(unit));
    ol_json_set(entry, "share_of_max",
                ol_json_new_real(fabs(unit->output) / s->max_output));
    ol_json_set(entry, "share_of_median",
                ol_json_new_real(fabs(unit->output) / s->median_output));
    ol_json_set(entry, "z", ol_json_new_real(ol_units_z(s, unit)));
    return entry;
}

static struct ol_json *describe_robust(const struct ol_parts *parts,
                                       const struct ol_super_experts *s)
{
    struct ol_json *robust = ol_json_new_object(), *list = ol_json_new_array();
    for (int64_t i = 0; i < s->n_robust; i++) {
        struct ol_json *entry = begin_unit(parts, s->robust[i], true);
        ol_json_set(entry, "output", ol_json_new_real(s->robust[i]->output));
        ol_json_set(entry, "share_of_median",
                    ol_json_new_real(fabs(s->robust[i]->output) / s->median_output));
        ol_json_set(entry, "z", ol_json_new_real(ol_units_z(s, s->robust[i])));
        ol_json_append(list, entry);
    }
    ol_json_set(robust, "min_z", ol_json_new_real(ol_super_default.min_z));
    ol_json_set(robust, "median", ol_json_new_real(s->median));
    ol_json_set(robust, "mad", ol_json_new_real(s->mad));
    ol_json_set(robust, "experts", list);
    return robust;
}

/* The rule is meaningful where it can leave the largest output out: above the percentile
 * of at most 200 outputs is always one, the largest, however small. */
static struct ol_json *describe_noise(const struct ol_super_experts *s)
{
    struct ol_json *noise = ol_json_new_object();
    ol_json_set(noise, "n_experts", ol_json_new_int(s->n_outputs));
    ol_json_set(noise, "n_above", ol_json_new_int(s->n_above));
    ol_json_set(noise, "expected", ol_json_new_real(s->expected));
    ol_json_set(noise, "probability", ol_json_new_real(s->probability));
    ol_json_set(noise, "meaningful", ol_json_new_bool(s->n_above > 1));
    return noise;
}

static struct ol_json *describe_layers(const struct ol_parts *parts,
                                       const struct ol_units *u)
{
    struct ol_json *layers = ol_json_new_array(), *list = NULL;
    for (int64_t i = 0; i < u->n; i++) {
        const struct ol_unit *unit = &u->units[i];
        if (unit->number == 0) {
            struct ol_json *layer = ol_json_new_object();
            list = ol_json_new_array();
            ol_json_set(layer, "layer", ol_json_new_int(unit->layer));
            ol_json_set(layer, "units", list);
            ol_json_append(layers, layer);
        }
        struct ol_json *entry = begin_unit(parts, unit, false);
        ol_json_set(entry, "n_tokens", ol_json_new_int(unit->n_tokens));
        ol_json_set(entry, "gate_mean", gate_mean(unit));
        ol_json_set(entry, "input", ol_json_new_real(or_nan(unit, unit->input)));
        ol_json_set(entry, "output", ol_json_new_real(or_nan(unit, unit->output)));
        ol_json_append(list, entry);
    }
    return layers;
}

static struct ol_json *describe(const struct ol_parts *parts, const struct ol_units *u)
{
    const struct ol_super_criterion *c = &ol_super_default;
    struct ol_json *block = ol_json_new_object(), *criterion = ol_json_new_object(),
                   *experts = ol_json_new_array();
    struct ol_super_experts s;
    ol_units_super(parts, u, c, &s);
    ol_json_set(criterion, "percentile", ol_json_new_real(c->percentile));
    ol_json_set(criterion, "min_share", ol_json_new_real(c->min_share));
    ol_json_set(criterion, "first_layers", ol_json_new_real(c->first_layers));
    for (int64_t i = 0; i < s.n; i++)
        ol_json_append(experts, describe_expert(parts, s.experts[i], &s));
    ol_json_set(block, "criterion", criterion);
    ol_json_set(block, "limit", ol_json_new_real(s.limit));
    ol_json_set(block, "max_output", ol_json_new_real(s.max_output));
    ol_json_set(block, "experts", experts);
    ol_json_set(block, "median_output", ol_json_new_real(s.median_output));
    ol_json_set(block, "noise", describe_noise(&s));
    ol_json_set(block, "robust", describe_robust(parts, &s));
    ol_json_set(block, "layers", describe_layers(parts, u));
    ol_units_super_clear(&s);
    return block;
}

/* Null where no expert was recorded. */
static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    (void)state;
    struct ol_units u;
    struct ol_json *block = NULL;
    ol_units_read(a->parts, &u);
    for (int64_t i = 0; i < u.n && block == NULL; i++)
        if (u.units[i].routed)
            block = describe(a->parts, &u);
    ol_units_clear(&u);
    return block != NULL ? block : ol_json_new_null();
}

const struct ol_statistic ol_super_experts_statistic = {.name = "super_experts",
                                                        .results = results};
