/* Routed experts that add nothing: the router chooses as it would, and the outputs of
 * these experts are left out of the sum. The weights of the others stay what they are. */
#include "extract/intervene/intervention.h"

#include <stdlib.h>

enum { MOST_EXPERTS = OL_ARM_MOST_ITEMS };

struct experts {
    int n;
    int layers[MOST_EXPERTS];
    uint16_t ids[MOST_EXPERTS];
};

static int parse_one(struct experts *x, const char **at, const struct ol_spec *spec,
                     struct ol_error *err)
{
    int64_t layer, expert;
    if (x->n == MOST_EXPERTS)
        return ol_fail(err, "at most %d experts", MOST_EXPERTS);
    if (ol_intervention_number(at, spec->n_layers, "layer", &layer, err) != 0)
        return -1;
    if (!spec->layers[layer].moe)
        return ol_fail(err, "layer %lld has no routed experts", (long long)layer);
    if (*(*at)++ != '.')
        return ol_fail(err, "expected LAYER.EXPERT at '%s'", *at - 1);
    if (ol_intervention_number(at, spec->router.n_experts, "expert", &expert, err) != 0)
        return -1;
    x->layers[x->n] = (int)layer;
    x->ids[x->n++] = (uint16_t)expert;
    return 0;
}

static void *parse(const char *text, const struct ol_spec *spec, struct ol_error *err)
{
    struct experts *x = ol_xcalloc(1, sizeof *x);
    for (const char *at = text; parse_one(x, &at, spec, err) == 0; at++) {
        if (*at == '\0')
            return x;
        if (*at != ',') {
            ol_fail(err, "expected a comma at '%s'", at);
            break;
        }
    }
    free(x);
    return NULL;
}

static void drop(const void *self, const struct ol_arm_choices *c)
{
    const struct experts *x = self;
    for (int e = 0; e < x->n; e++)
        for (int64_t i = 0; x->layers[e] == c->layer && i < c->n_rows * c->top_k; i++)
            if (c->ids[i] == x->ids[e])
                c->weights[i] = 0;
}

const struct ol_intervention ol_intervene_drop = {
    .name = "drop",
    .form = "LAYER.EXPERT[,...]",
    .parse = parse,
    .free = free,
    .change_choices = drop,
};
