/* Which experts a layer needs: expected, chosen by its router, asked for. */
#include "extract/forward/experts_private.h"

#include <stdlib.h>

enum {
    /* Rows of an expert, on average, from which on each is expected to have some: of 32
     * random choices none is an expert's in one of e^32 cases, and routers are trained
     * to be nearly as even. But the layer routed last, if there is one, must have been:
     * one expert of so many without rows is let pass. */
    EXPECTED_ROWS = 32,
    FEW_OF = 16,
};

void ol_experts_expect(struct ol_experts *x, int layer)
{
    const struct ol_router_spec *router = &x->c.spec->router;
    if (x->uneven || ol_stream_spares(x->c.weights.stream) ||
        x->c.n_rows * router->top_k < (int64_t)EXPECTED_ROWS * router->n_experts)
        return;
    x->expected[layer] = true;
    for (int e = 0; e < router->n_experts; e++)
        ol_layer_weights_prefetch(&x->c.weights, OL_ROLE_EXPERT_GATE,
                                  OL_ROLE_EXPERT_DOWN_BIAS, layer, e);
}

bool ol_experts_expected(const struct ol_experts *x, int layer)
{
    return x->expected[layer];
}

/* In the order in which they are computed, where they are one group: all that goes into
 * experts, then what comes out. */
int ol_experts_send_expected(struct ol_experts *x, int layer, struct ol_error *err)
{
    const struct ol_layer_weights *w = &x->c.weights;
    const int n = x->c.spec->router.n_experts;
    if (x->sent_layer != layer)
        x->n_sent = 0;
    x->sent_layer = layer;
    for (; x->expected[layer] && x->n_sent < 2 * n; x->n_sent++) {
        const bool out = x->n_sent >= n;
        const enum ol_role first = out ? OL_ROLE_EXPERT_DOWN : OL_ROLE_EXPERT_GATE,
                           last = out ? OL_ROLE_EXPERT_DOWN : OL_ROLE_EXPERT_UP;
        const int expert = x->n_sent % n;
        if (!ol_layer_weights_ready(w, first, last, layer, expert))
            return 0;
        if (ol_layer_weights_send(w, x->c.backend, first, last, layer, expert, err) != 0)
            return -1;
    }
    return 0;
}

/* A router may weigh some experts more than others, whatever their scores. */
static void multiply_gains(struct ol_experts *x, int layer)
{
    const struct ol_weight w =
        ol_weights_get(x->c.weights.weights, OL_ROLE_ROUTER_GAINS, layer, 0);
    const struct ol_router_spec *router = &x->c.spec->router;
    if (w.data == NULL)
        return;
    float *gains = ol_xcalloc((size_t)router->n_experts, sizeof *gains);
    ol_weight_numbers(&w, gains);
    for (int e = 0; x->c.backend->dtype == OL_DTYPE_BF16 && e < router->n_experts; e++)
        gains[e] = ol_bf16_round(gains[e]);
    for (int64_t i = 0; i < x->c.n_rows * router->top_k; i++)
        x->weights[i] *= gains[x->ids[i]];
    free(gains);
}

/* The experts that a table gives to each row's token. */
static int take_given(struct ol_experts *x, int layer, struct ol_error *err)
{
    const struct ol_router_spec *router = &x->c.spec->router;
    const struct ol_weight table =
        ol_weights_get(x->c.weights.weights, OL_ROLE_ROUTER_TABLE, layer, 0);
    int64_t experts[OL_MAX_TOP_K];
    for (int64_t row = 0; row < x->c.n_rows; row++) {
        uint16_t *ids = x->ids + row * router->top_k;
        ol_weight_integers(&table, x->c.ids[row], experts);
        for (int k = 0; k < router->top_k; k++) {
            bool known = experts[k] >= 0 && experts[k] < router->n_experts;
            for (int i = 0; i < k; i++)
                known = known && experts[i] != experts[k];
            if (!known)
                return ol_fail(err,
                               "layer %d: the table of experts (tid2eid) gives expert "
                               "%lld to token %d, expected %d different ones below %d",
                               layer, (long long)experts[k], x->c.ids[row], router->top_k,
                               router->n_experts);
            ids[k] = (uint16_t)experts[k];
        }
    }
    return 0;
}

/* The rows as float: products of these do not round the weight. */
static int widen(struct ol_experts *x, struct ol_tensor *rows, struct ol_error *err)
{
    const struct ol_tensor to = ol_tensor_rows(x->as_float, 0, rows->n_rows);
    const int64_t firsts[] = {0, rows->n_rows};
    if (x->op->zero(x->c.backend, to, err) != 0 ||
        x->op->scatter_add(x->c.backend, *rows, firsts, 1, x->all_rows, NULL, to, err) !=
            0)
        return -1;
    *rows = to;
    return 0;
}

int ol_experts_route(struct ol_experts *x, int layer, struct ol_tensor input,
                     struct ol_error *err)
{
    struct ol_router_spec spec = x->c.spec->router;
    spec.given = x->c.spec->layers[layer].given;
    if (spec.given && take_given(x, layer, err) != 0)
        return -1;
    const struct ol_weight router =
        ol_weights_get(x->c.weights.weights, OL_ROLE_ROUTER, layer, 0);
    const struct ol_weight bias =
        ol_weights_get(x->c.weights.weights, OL_ROLE_ROUTER_BIAS, layer, 0);
    const struct ol_weight correction =
        ol_weights_get(x->c.weights.weights, OL_ROLE_ROUTER_CORRECTION, layer, 0);
    const bool as_float = x->as_float.data != NULL && router.dtype == OL_DTYPE_F32;
    const int64_t step = as_float ? x->as_float.n_rows : input.n_rows;
    /* What was left before comes with the choice: the host has to wait here anyway. In
     * parts it comes too as one, but its pairs are sorted afterwards. */
    const bool at_once = step >= input.n_rows;
    for (int64_t first = 0, n; first < input.n_rows; first += n) {
        const int top_k = x->c.spec->router.top_k;
        n = input.n_rows - first < step ? input.n_rows - first : step;
        struct ol_tensor rows = ol_tensor_rows(input, first, n);
        if ((as_float && widen(x, &rows, err) != 0) ||
            x->op->route(x->c.backend, &spec, rows, router, bias, correction,
                         x->ids + first * top_k, x->weights + first * top_k,
                         at_once ? &x->permutation : NULL, err) != 0)
            return -1;
    }
    if (x->op->results_wait(x->c.backend, x->c.backend->n_results, err) != 0)
        return -1;
    x->permuted = at_once;
    multiply_gains(x, layer);
    return 0;
}

const uint16_t *ol_experts_ids(const struct ol_experts *x)
{
    return x->ids;
}

float *ol_experts_weights(const struct ol_experts *x)
{
    return x->weights;
}

int ol_experts_prefetch(struct ol_experts *x, int layer, struct ol_error *err)
{
    const struct ol_permutation *p = &x->permutation;
    if (!x->permuted &&
        x->op->permute(x->c.backend, x->ids, x->c.n_rows, x->c.spec->router.top_k,
                       &x->permutation, err) != 0)
        return -1;
    int n_unchosen = 0;
    for (int e = 0; e < p->n_experts; e++)
        if (p->offsets[e + 1] > p->offsets[e])
            ol_layer_weights_prefetch(&x->c.weights, OL_ROLE_EXPERT_GATE,
                                      OL_ROLE_EXPERT_DOWN_BIAS, layer, e);
        else
            n_unchosen++;
    x->uneven = n_unchosen * FEW_OF > p->n_experts;
    return 0;
}

void ol_experts_give_back_unchosen(const struct ol_experts *x, int layer)
{
    const struct ol_permutation *p = &x->permutation;
    for (int e = 0; x->expected[layer] && e < p->n_experts; e++)
        if (p->offsets[e + 1] == p->offsets[e])
            ol_layer_weights_release(&x->c.weights, x->c.backend, OL_ROLE_EXPERT_GATE,
                                     OL_ROLE_EXPERT_DOWN_BIAS, layer, e);
}
