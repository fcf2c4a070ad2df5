/* (token, slot) pairs in the order of the permutation, and the groups that pass the
 * buffers one after another; an expert may span several groups:
 *
 *     expert   0 0 0 1 1 1 1 1 1 4 4 5 ...      (2 and 3 have no rows)
 *     group    [   0     ] [   1     ] [ ...
 */
#include "extract/forward/experts.h"

#include <stdlib.h>

enum {
    /* Rows that pass the shared expert at a time: enough for full tiles of a product. */
    SHARED_ROWS = 2048,
    /* Rows of an expert, on average, from which on each is expected to have some: of 32
     * random choices none is an expert's in one of e^32 cases, and routers are trained
     * to be nearly as even. But the layer routed last must have been: one expert of so
     * many without rows is let pass. */
    EXPECTED_ROWS = 32,
    FEW_OF = 16,
    /* Of experts that are waited for together, where they come by a line: the others come
     * while these are computed. */
    STREAMED_MIB = 64,
};

struct ol_experts {
    struct ol_experts_context c;
    const struct ol_backend_operations *op;
    int64_t group_rows;
    int most_experts; /* of a group */
    uint16_t *ids;    /* [n_rows, top_k] */
    float *weights;   /* [n_rows, top_k] */
    struct ol_permutation permutation;

    struct ol_tensor sum;      /* [n_rows, d_model] float */
    struct ol_tensor gathered; /* [group_rows, d_model or d_latent] */
    struct ol_tensor gate, up; /* [group_rows, d_expert]; no up without a gate */
    struct ol_tensor down;     /* [group_rows, d_model] */
    /* Where experts have a latent, they have these for down and sum, and what they see.
     */
    struct ol_tensor latent_down; /* [group_rows, d_latent] */
    struct ol_tensor latent_sum;  /* [n_rows, d_latent] float */
    struct ol_tensor latent;      /* [n_rows, d_latent] */
    /* Of the shared expert, for SHARED_ROWS rows at a time. */
    struct ol_tensor shared_gate, shared_up, shared_switch;
    int32_t *all_rows; /* [n_rows]: 0, 1, 2, ... */
    float *scales;     /* [group_rows]: weights in the permutation's order */
    bool even; /* the layer routed last left few experts without rows; first: unknown */
    uint8_t *expected;          /* [n_layers] */
    struct ol_matmul *products; /* [2 * n_experts] */

    /* The group: `n` experts with rows, pairs begin .. end - 1. The first and the last
     * may have further pairs in the groups before and after. */
    struct group {
        int64_t begin, end;
        int n;
        int *experts;    /* [n_experts] */
        int64_t *firsts; /* [n_experts + 1]: an expert's first pair, from begin, */
        int64_t *ends;   /* [n_experts]: and behind its last of the baseline's */
    } group;
};

static int64_t shared_rows_of(const struct ol_spec *spec, int64_t group_rows,
                              int64_t n_rows)
{
    const int64_t rows = n_rows < SHARED_ROWS ? n_rows : SHARED_ROWS;
    return spec->d_shared == 0 ? 0 : rows < group_rows ? rows : group_rows;
}

int64_t ol_experts_buffer_bytes(const struct ol_spec *spec, int64_t group_rows,
                                int64_t n_rows, int64_t size)
{
    const int64_t shared_rows = shared_rows_of(spec, group_rows, n_rows);
    const int64_t io = ol_spec_expert_io(spec), latent = spec->d_latent;
    const int64_t ups = spec->glu.alone ? 1 : 2;
    const int64_t down = latent > 0 ? shared_rows : group_rows;
    return size * (group_rows * (io + ups * spec->d_expert + latent) +
                   down * (int64_t)spec->d_model + n_rows * latent +
                   shared_rows * (ups * (int64_t)spec->d_shared + 1)) +
           n_rows * latent * (int64_t)sizeof(float);
}

static int allocate(struct ol_experts *x, struct ol_error *err)
{
    const struct ol_spec *spec = x->c.spec;
    struct ol_backend *b = x->c.backend;
    const int64_t shared_rows = shared_rows_of(spec, x->group_rows, x->c.n_rows);
    const int64_t n_rows = x->c.n_rows, group = x->group_rows;
    const bool latent = spec->d_latent > 0, alone = spec->glu.alone;
    const struct {
        struct ol_tensor *tensor;
        enum ol_dtype dtype;
        int64_t n_rows, n_cols;
    } wanted[] = {
        {&x->sum, OL_DTYPE_F32, x->c.n_rows, spec->d_model},
        {&x->gathered, b->dtype, group, ol_spec_expert_io(spec)},
        {&x->gate, b->dtype, group, spec->d_expert},
        {&x->up, b->dtype, alone ? 0 : group, spec->d_expert},
        {&x->down, b->dtype, latent ? shared_rows : group, spec->d_model},
        {&x->latent_down, b->dtype, latent ? group : 0, spec->d_latent},
        {&x->latent_sum, OL_DTYPE_F32, latent ? n_rows : 0, spec->d_latent},
        {&x->latent, b->dtype, latent ? n_rows : 0, spec->d_latent},
        {&x->shared_gate, b->dtype, shared_rows, spec->d_shared},
        {&x->shared_up, b->dtype, alone ? 0 : shared_rows, spec->d_shared},
        {&x->shared_switch, b->dtype, shared_rows, 1},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (wanted[i].n_rows > 0 &&
            x->op->tensor_new(b, wanted[i].dtype, wanted[i].n_rows, wanted[i].n_cols,
                              wanted[i].tensor, err) != 0)
            return -1;
    return 0;
}

/* How many experts' weights may be waited for together. */
static int most_experts(const struct ol_experts_context *c)
{
    const struct ol_spec *spec = c->spec;
    int layer = 0;
    while (layer < spec->n_layers - 1 && !spec->layers[layer].moe)
        layer++;
    int64_t bytes = 0;
    for (enum ol_role role = OL_ROLE_EXPERT_GATE; role <= OL_ROLE_EXPERT_DOWN_BIAS;
         role++) {
        const struct ol_weight w = ol_weights_get(c->weights.weights, role, layer, 0);
        bytes += ol_weight_bytes(&w);
    }
    int64_t most = c->weight_bytes;
    if (ol_stream_spares(c->weights.stream) && most > (int64_t)STREAMED_MIB << 20)
        most = (int64_t)STREAMED_MIB << 20;
    const int64_t n = bytes > 0 ? most / bytes : 1;
    return n < 1 ? 1 : n < spec->router.n_experts ? (int)n : spec->router.n_experts;
}

struct ol_experts *ol_experts_new(const struct ol_experts_context *context,
                                  struct ol_error *err)
{
    const struct ol_router_spec *router = &context->spec->router;
    const size_t n_experts = (size_t)router->n_experts;
    const size_t n_pairs = (size_t)context->n_rows * (size_t)router->top_k;
    struct ol_experts *x = ol_xcalloc(1, sizeof *x);
    x->c = *context;
    x->op = context->backend->op;
    x->group_rows = context->group_rows;
    x->expected = ol_xcalloc((size_t)context->spec->n_layers, sizeof *x->expected);
    x->most_experts = most_experts(context);
    x->ids = ol_xcalloc(n_pairs, sizeof *x->ids);
    x->weights = ol_xcalloc(n_pairs, sizeof *x->weights);
    x->permutation.n_experts = router->n_experts;
    x->permutation.offsets = ol_xcalloc(n_experts + 1, sizeof *x->permutation.offsets);
    x->permutation.rows = ol_xcalloc(n_pairs, sizeof *x->permutation.rows);
    x->permutation.slots = ol_xcalloc(n_pairs, sizeof *x->permutation.slots);
    x->scales = ol_xcalloc((size_t)x->group_rows, sizeof *x->scales);
    x->all_rows = ol_xcalloc((size_t)context->n_rows, sizeof *x->all_rows);
    for (int64_t i = 0; i < context->n_rows; i++)
        x->all_rows[i] = (int32_t)i;
    x->products = ol_xcalloc(2 * n_experts, sizeof *x->products);
    x->group.experts = ol_xcalloc(n_experts, sizeof *x->group.experts);
    x->group.firsts = ol_xcalloc(n_experts + 1, sizeof *x->group.firsts);
    x->group.ends = ol_xcalloc(n_experts, sizeof *x->group.ends);
    if (allocate(x, err) == 0)
        return x;
    ol_experts_free(x);
    return NULL;
}

void ol_experts_free(struct ol_experts *x)
{
    if (x == NULL)
        return;
    struct ol_tensor *const tensors[] = {
        &x->sum,         &x->gathered,    &x->gate,      &x->up,
        &x->down,        &x->shared_gate, &x->shared_up, &x->shared_switch,
        &x->latent_down, &x->latent_sum,  &x->latent};
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        x->op->tensor_free(x->c.backend, tensors[i]);
    free(x->expected);
    free(x->group.ends);
    free(x->group.firsts);
    free(x->group.experts);
    free(x->products);
    free(x->all_rows);
    free(x->scales);
    free(x->permutation.slots);
    free(x->permutation.rows);
    free(x->permutation.offsets);
    free(x->weights);
    free(x->ids);
    free(x);
}

void ol_experts_expect(struct ol_experts *x, int layer)
{
    const struct ol_router_spec *router = &x->c.spec->router;
    if (!x->even || ol_stream_spares(x->c.weights.stream) ||
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

int ol_experts_route(struct ol_experts *x, int layer, struct ol_tensor input,
                     struct ol_error *err)
{
    const struct ol_weight router =
        ol_weights_get(x->c.weights.weights, OL_ROLE_ROUTER, layer, 0);
    const struct ol_weight bias =
        ol_weights_get(x->c.weights.weights, OL_ROLE_ROUTER_BIAS, layer, 0);
    const struct ol_weight correction =
        ol_weights_get(x->c.weights.weights, OL_ROLE_ROUTER_CORRECTION, layer, 0);
    if (x->op->route(x->c.backend, &x->c.spec->router, input, router, bias, correction,
                     x->ids, x->weights, err) != 0)
        return -1;
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
    if (x->op->permute(x->c.backend, x->ids, x->c.n_rows, x->c.spec->router.top_k,
                       &x->permutation, err) != 0)
        return -1;
    int n_unchosen = 0;
    for (int e = 0; e < p->n_experts; e++)
        if (p->offsets[e + 1] > p->offsets[e])
            ol_layer_weights_prefetch(&x->c.weights, OL_ROLE_EXPERT_GATE,
                                      OL_ROLE_EXPERT_DOWN_BIAS, layer, e);
        else
            n_unchosen++;
    x->even = n_unchosen * FEW_OF <= p->n_experts;
    return 0;
}

/* What was expected in vain. */
static void give_back_unchosen(const struct ol_experts *x, int layer)
{
    const struct ol_permutation *p = &x->permutation;
    for (int e = 0; x->expected[layer] && e < p->n_experts; e++)
        if (p->offsets[e + 1] == p->offsets[e])
            ol_layer_weights_release(&x->c.weights, x->c.backend, OL_ROLE_EXPERT_GATE,
                                     OL_ROLE_EXPERT_DOWN_BIAS, layer, e);
}

/* ---- one group ---- */

/* An expert's rows are cut at multiples of OL_PRODUCT_ROWS alone, so that neither the
 * size of the group nor what else is in it shows in the results. */
static int64_t cut_of(const struct ol_experts *x, int expert, int64_t end)
{
    const int64_t first = x->permutation.offsets[expert];
    const int64_t past = x->permutation.offsets[expert + 1];
    return end >= past ? past : first + (end - first) / OL_PRODUCT_ROWS * OL_PRODUCT_ROWS;
}

static bool next_group(struct ol_experts *x)
{
    const struct ol_permutation *p = &x->permutation;
    struct group *g = &x->group;
    int expert = g->n > 0 ? g->experts[g->n - 1] : 0;
    g->begin = g->end;
    g->n = 0;
    for (; expert < p->n_experts && g->n < x->most_experts; expert++) {
        if (p->offsets[expert + 1] <= g->end)
            continue;
        const int64_t cut = cut_of(x, expert, g->begin + x->group_rows);
        if (cut <= g->end)
            break;
        g->experts[g->n] = expert;
        g->firsts[g->n++] = g->end - g->begin;
        g->end = cut;
        if (cut < p->offsets[expert + 1])
            break;
    }
    g->firsts[g->n] = g->end - g->begin;
    return g->n > 0;
}

/* One product per expert of the group, over its rows of x; returns their number. */
static int multiply(const struct ol_experts *x, int layer, enum ol_role role,
                    enum ol_role bias, struct ol_tensor in, struct ol_tensor out,
                    struct ol_matmul *products)
{
    const struct group *g = &x->group;
    for (int i = 0; i < g->n; i++) {
        const int64_t first = g->firsts[i], n = g->firsts[i + 1] - first;
        products[i] = (struct ol_matmul){
            .x = ol_tensor_rows(in, first, n),
            .weight = ol_weights_get(x->c.weights.weights, role, layer, g->experts[i]),
            .bias = ol_weights_get(x->c.weights.weights, bias, layer, g->experts[i]),
            .out = ol_tensor_rows(out, first, n)};
    }
    return g->n;
}

/* The router's weights of the group's pairs. */
static void find_scales(struct ol_experts *x)
{
    const struct ol_permutation *p = &x->permutation;
    const int top_k = x->c.spec->router.top_k;
    for (int64_t i = x->group.begin; i < x->group.end; i++)
        x->scales[i - x->group.begin] = x->weights[p->rows[i] * top_k + p->slots[i]];
}

/* Expert by expert, so that a row's sum grows in their order. */
static int add_outputs(struct ol_experts *x, struct ol_error *err)
{
    const struct group *g = &x->group;
    const bool scaled = !x->c.spec->router.scales_input;
    const bool latent = x->c.spec->d_latent > 0;
    return x->op->scatter_add(
        x->c.backend,
        ol_tensor_rows(latent ? x->latent_down : x->down, 0, g->end - g->begin),
        g->firsts, g->n, x->permutation.rows + g->begin, scaled ? x->scales : NULL,
        latent ? x->latent_sum : x->sum, err);
}

/* Show what goes into or comes out of components of the MLP. */
static int see(struct ol_experts *x, enum ol_point point, int layer,
               const struct ol_component_rows *components, struct ol_tensor rows,
               struct ol_error *err)
{
    const struct ol_view view = {
        .point = point, .layer = layer, .components = components, .x = rows};
    return ol_tap(x->c.taps, &view, err);
}

/* Rows rise within an expert. */
static void find_ends(struct ol_experts *x)
{
    struct group *g = &x->group;
    const int32_t *rows = x->permutation.rows + g->begin;
    for (int i = 0; i < g->n; i++) {
        g->ends[i] = g->firsts[i + 1];
        while (g->ends[i] > g->firsts[i] && rows[g->ends[i] - 1] >= x->c.n_baseline_rows)
            g->ends[i]--;
    }
}

static struct ol_component_rows group_rows_of(struct ol_experts *x)
{
    const struct group *g = &x->group;
    find_ends(x);
    return (struct ol_component_rows){
        .n = g->n,
        .components = g->experts,
        .firsts = g->firsts,
        .ends = g->ends,
        .rows = x->permutation.rows + g->begin,
        .slots = x->permutation.slots + g->begin,
        .gates = x->scales,
        .scales_outputs = !x->c.spec->router.scales_input,
    };
}

/* ---- weights on their way while the backend computes ---- */

static int send_expert(const struct ol_experts *x, enum ol_role first, enum ol_role last,
                       int layer, int expert, struct ol_error *err)
{
    return ol_layer_weights_send(&x->c.weights, x->c.backend, first, last, layer, expert,
                                 err);
}

static int send_group(const struct ol_experts *x, int layer, struct ol_error *err)
{
    const struct group *g = &x->group;
    for (int i = 0; i < g->n; i++)
        if (send_expert(x, OL_ROLE_EXPERT_DOWN, OL_ROLE_EXPERT_DOWN, layer, g->experts[i],
                        err) != 0)
            return -1;
    return 0;
}

/* What the group after this one begins with; after the last, the shared expert. */
static int send_next_group(const struct ol_experts *x, int layer, struct ol_error *err)
{
    const struct ol_permutation *p = &x->permutation;
    const struct group *g = &x->group;
    int n = 0;
    for (int e = g->experts[g->n - 1]; e < p->n_experts && n < x->most_experts; e++) {
        if (p->offsets[e + 1] <= g->end)
            continue;
        if (p->offsets[e] >= g->end + x->group_rows)
            break;
        if (send_expert(x, OL_ROLE_EXPERT_GATE, OL_ROLE_EXPERT_UP, layer, e, err) != 0)
            return -1;
        n++;
    }
    return n > 0
               ? 0
               : send_expert(x, OL_ROLE_SHARED_GATE, OL_ROLE_SHARED_DOWN, layer, 0, err);
}

/* gate = glu(gate(in), up(in)) of the group's experts. */
static int multiply_in(struct ol_experts *x, int layer, struct ol_tensor in,
                       struct ol_tensor gate, struct ol_tensor up, struct ol_error *err)
{
    const bool alone = x->c.spec->glu.alone;
    int n = alone ? 0
                  : multiply(x, layer, OL_ROLE_EXPERT_GATE, OL_ROLE_EXPERT_GATE_BIAS, in,
                             gate, x->products);
    n += multiply(x, layer, OL_ROLE_EXPERT_UP, OL_ROLE_EXPERT_UP_BIAS, in,
                  alone ? gate : up, x->products + n);
    if (x->op->matmul(x->c.backend, x->products, n, err) != 0)
        return -1;
    return x->op->glu(x->c.backend, &x->c.spec->glu, gate, up, err);
}

static int run_group(struct ol_experts *x, int layer, struct ol_tensor input,
                     struct ol_error *err)
{
    struct ol_backend *b = x->c.backend;
    const struct group *g = &x->group;
    const int64_t n = g->end - g->begin;
    const struct ol_tensor gathered = ol_tensor_rows(x->gathered, 0, n);
    const struct ol_tensor gate = ol_tensor_rows(x->gate, 0, n),
                           up =
                               x->c.spec->glu.alone ? x->up : ol_tensor_rows(x->up, 0, n);
    for (int i = 0; i < g->n; i++)
        if (ol_layer_weights_wait(&x->c.weights, OL_ROLE_EXPERT_GATE,
                                  OL_ROLE_EXPERT_DOWN_BIAS, layer, g->experts[i],
                                  err) != 0)
            return -1;
    find_scales(x);
    const struct ol_component_rows rows = group_rows_of(x);
    if (x->op->gather(b, input, x->permutation.rows + g->begin,
                      x->c.spec->router.scales_input ? x->scales : NULL, gathered,
                      err) != 0 ||
        see(x, OL_POINT_EXPERT_INPUT, layer, &rows, gathered, err) != 0)
        return -1;
    if (multiply_in(x, layer, gathered, gate, up, err) != 0 ||
        see(x, OL_POINT_DOWN_INPUT, layer, &rows, gate, err) != 0 ||
        send_group(x, layer, err) != 0)
        return -1;
    const struct ol_tensor down =
        ol_tensor_rows(x->c.spec->d_latent > 0 ? x->latent_down : x->down, 0, n);
    const int n_products = multiply(x, layer, OL_ROLE_EXPERT_DOWN,
                                    OL_ROLE_EXPERT_DOWN_BIAS, gate, down, x->products);
    if (x->op->matmul(b, x->products, n_products, err) != 0 ||
        send_next_group(x, layer, err) != 0 ||
        see(x, OL_POINT_DOWN_OUTPUT, layer, &rows, down, err) != 0)
        return -1;
    /* Experts rise within a group and from group to group: the sums' order is fixed. */
    return add_outputs(x, err);
}

/* Give back the experts that no later group uses. */
static void release_group(const struct ol_experts *x, int layer)
{
    const struct group *g = &x->group;
    for (int i = 0; i < g->n; i++)
        if (x->permutation.offsets[g->experts[i] + 1] <= g->end)
            ol_layer_weights_release(&x->c.weights, x->c.backend, OL_ROLE_EXPERT_GATE,
                                     OL_ROLE_EXPERT_DOWN_BIAS, layer, g->experts[i]);
}

/* rows = norm(rows), where the model has a norm of that role. */
static int norm_after(struct ol_experts *x, enum ol_role role, int layer,
                      struct ol_tensor rows, struct ol_error *err)
{
    const struct ol_spec *spec = x->c.spec;
    return spec->names[role] == NULL
               ? 0
               : x->op->norm(x->c.backend, spec->norm, spec->norm_eps, rows,
                             ol_weights_get(x->c.weights.weights, role, layer, 0), rows,
                             err);
}

/* The sum of routed experts, some rows at a time, where a norm follows it. */
static int norm_sum(struct ol_experts *x, int layer, struct ol_error *err)
{
    struct ol_backend *b = x->c.backend;
    if (x->c.spec->names[OL_ROLE_EXPERT_POST_NORM] == NULL)
        return 0;
    for (int64_t first = 0, n; first < x->c.n_rows; first += n) {
        const int64_t left = x->c.n_rows - first;
        n = left < x->down.n_rows ? left : x->down.n_rows;
        const int64_t firsts[] = {0, n};
        const struct ol_tensor rounded = ol_tensor_rows(x->down, 0, n),
                               sum = ol_tensor_rows(x->sum, first, n);
        if (x->op->zero(b, rounded, err) != 0 ||
            x->op->add_sum(b, rounded, sum, err) != 0 ||
            norm_after(x, OL_ROLE_EXPERT_POST_NORM, layer, rounded, err) != 0 ||
            x->op->zero(b, sum, err) != 0 ||
            x->op->scatter_add(b, rounded, firsts, 1, x->all_rows, NULL, sum, err) != 0)
            return -1;
    }
    return 0;
}

/* ---- experts with a latent ---- */

/* latent = down(input): what experts see. */
static int enter_latent(struct ol_experts *x, int layer, struct ol_tensor input,
                        struct ol_error *err)
{
    const struct ol_matmul product = {
        .x = input,
        .weight = ol_weights_get(x->c.weights.weights, OL_ROLE_LATENT_DOWN, layer, 0),
        .out = x->latent};
    if (ol_layer_weights_wait(&x->c.weights, OL_ROLE_LATENT_DOWN, OL_ROLE_LATENT_UP,
                              layer, 0, err) != 0 ||
        x->op->zero(x->c.backend, x->latent_sum, err) != 0)
        return -1;
    return x->op->matmul(x->c.backend, &product, 1, err);
}

/* sum = up(their sum, rounded), in float. */
static int leave_latent(struct ol_experts *x, int layer, struct ol_error *err)
{
    const struct ol_matmul product = {
        .x = x->latent,
        .weight = ol_weights_get(x->c.weights.weights, OL_ROLE_LATENT_UP, layer, 0),
        .out = x->sum};
    if (x->op->zero(x->c.backend, x->latent, err) != 0 ||
        x->op->add_sum(x->c.backend, x->latent, x->latent_sum, err) != 0 ||
        see(x, OL_POINT_EXPERTS_SUM, layer, NULL,
            ol_tensor_rows(x->latent, 0, x->c.n_baseline_rows), err) != 0)
        return -1;
    return x->op->matmul(x->c.backend, &product, 1, err);
}

/* ---- the shared expert: the same MLP for every token ---- */

static int run_shared_rows(struct ol_experts *x, int layer, struct ol_tensor input,
                           int64_t first, int64_t n, struct ol_error *err)
{
    struct ol_backend *b = x->c.backend;
    const struct ol_weights *w = x->c.weights.weights;
    const bool alone = x->c.spec->glu.alone;
    const struct ol_tensor in = ol_tensor_rows(input, first, n),
                           gate = ol_tensor_rows(x->shared_gate, 0, n),
                           up = alone ? x->shared_up : ol_tensor_rows(x->shared_up, 0, n),
                           down = ol_tensor_rows(x->down, 0, n),
                           shared_switch = ol_tensor_rows(x->shared_switch, 0, n);
    const struct ol_weight none = {0},
                           scale = ol_weights_get(w, OL_ROLE_SHARED_SWITCH, layer, 0);
    /* The first of them only with a gate, the last only with a switch. */
    const struct ol_matmul into[] = {
        {in, ol_weights_get(w, OL_ROLE_SHARED_GATE, layer, 0), none, gate},
        {in, ol_weights_get(w, OL_ROLE_SHARED_UP, layer, 0), none, alone ? gate : up},
        {in, scale, none, shared_switch},
    };
    const struct ol_matmul out = {gate, ol_weights_get(w, OL_ROLE_SHARED_DOWN, layer, 0),
                                  none, down};
    const bool switched = scale.data != NULL;
    const int64_t firsts[] = {0, n};
    const int64_t baseline = x->c.n_baseline_rows - first, end = baseline < 0   ? 0
                                                                 : baseline < n ? baseline
                                                                                : n;
    const struct ol_component_rows rows = {
        .n = 1,
        .components = &x->permutation.n_experts,
        .firsts = firsts,
        .ends = &end,
        .rows = x->all_rows + first,
    };
    if (x->op->matmul(b, into + alone, 2 - alone + switched, err) != 0 ||
        x->op->glu(b, &x->c.spec->glu, gate, up, err) != 0 ||
        see(x, OL_POINT_DOWN_INPUT, layer, &rows, gate, err) != 0 ||
        x->op->matmul(b, &out, 1, err) != 0 ||
        (switched && x->op->gate(b, OL_GATE_SIGMOID, down, shared_switch, err) != 0) ||
        norm_after(x, OL_ROLE_SHARED_POST_NORM, layer, down, err) != 0 ||
        see(x, OL_POINT_DOWN_OUTPUT, layer, &rows, down, err) != 0)
        return -1;
    return x->op->scatter_add(b, down, firsts, 1, x->all_rows + first, NULL, x->sum, err);
}

static int run_shared(struct ol_experts *x, int layer, struct ol_tensor input,
                      struct ol_error *err)
{
    if (x->c.spec->d_shared == 0)
        return 0;
    if (ol_layer_weights_wait(&x->c.weights, OL_ROLE_SHARED_GATE, OL_ROLE_SHARED_SWITCH,
                              layer, 0, err) != 0)
        return -1;
    const int64_t step = x->shared_gate.n_rows;
    for (int64_t first = 0; first < x->c.n_rows; first += step) {
        const int64_t left = x->c.n_rows - first;
        if (run_shared_rows(x, layer, input, first, left < step ? left : step, err) != 0)
            return -1;
    }
    return 0;
}

int ol_experts_run(struct ol_experts *x, int layer, const struct ol_experts_input *input,
                   struct ol_tensor *sum, struct ol_error *err)
{
    const double n_pairs = (double)x->permutation.offsets[x->permutation.n_experts];
    const bool latent = x->c.spec->d_latent > 0;
    struct group *g = &x->group;
    g->begin = g->end = g->n = 0;
    give_back_unchosen(x, layer);
    if ((latent ? enter_latent(x, layer, input->routed, err)
                : x->op->zero(x->c.backend, x->sum, err)) != 0)
        return -1;
    while (next_group(x)) {
        if (run_group(x, layer, latent ? x->latent : input->routed, err) != 0)
            return -1;
        release_group(x, layer);
        x->c.progress(x->c.arg, layer, (double)(g->end - g->begin) / n_pairs);
    }
    *sum = x->sum;
    if (latent && leave_latent(x, layer, err) != 0)
        return -1;
    return norm_sum(x, layer, err) == 0 ? run_shared(x, layer, input->shared, err) : -1;
}
