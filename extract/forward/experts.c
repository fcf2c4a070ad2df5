/* The experts of a layer:
 *
 *     input = latent_down(input)              where experts have a latent
 *     per group of (row, expert) pairs (expert_groups.h):
 *       x    = gather(input)                  the rows of one expert after another's
 *       down = the expert's down(glu(gate(x), up(x)))
 *       sum += the router's weight * down
 *     sum  = latent_up(sum)                   likewise
 *     sum  = norm(sum)                        where the model has one behind experts
 *     sum += sigmoid(switch(input)) * the shared expert's down(glu(gate(input), ...))
 */
#include "extract/forward/experts_private.h"

/* The product of the group's i-th expert, over its rows of x. */
static struct ol_matmul product_of(const struct ol_experts *x, int layer, int i,
                                   enum ol_role role, enum ol_role bias,
                                   struct ol_tensor in, struct ol_tensor out)
{
    const struct ol_expert_group *g = &x->group;
    const int64_t first = g->firsts[i], n = g->firsts[i + 1] - first;
    const int expert = g->experts[i];
    return (struct ol_matmul){
        .x = ol_tensor_rows(in, first, n),
        .weight = ol_weights_get(x->c.weights.weights, role, layer, expert),
        .bias = ol_weights_get(x->c.weights.weights, bias, layer, expert),
        .out = ol_tensor_rows(out, first, n),
        .block_rows = ol_expert_block(&x->permutation, expert)};
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
    const struct ol_expert_group *g = &x->group;
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

static struct ol_component_rows group_rows_of(const struct ol_experts *x)
{
    const struct ol_expert_group *g = &x->group;
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
    const struct ol_expert_group *g = &x->group;
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
    const struct ol_expert_group *g = &x->group;
    int n = 0;
    for (int e = g->experts[g->n - 1]; e < p->n_experts && n < g->most_experts; e++) {
        if (p->offsets[e + 1] <= g->end)
            continue;
        if (p->offsets[e] >= g->end + g->most_rows)
            break;
        if (send_expert(x, OL_ROLE_EXPERT_GATE, OL_ROLE_EXPERT_UP, layer, e, err) != 0)
            return -1;
        n++;
    }
    return n > 0
               ? 0
               : send_expert(x, OL_ROLE_SHARED_GATE, OL_ROLE_SHARED_DOWN, layer, 0, err);
}

/* gate = glu(gate(in), up(in)) of the group's experts, both of an expert side by side:
 * a backend may make them one product. */
static int multiply_in(struct ol_experts *x, int layer, struct ol_tensor in,
                       struct ol_tensor gate, struct ol_tensor up, struct ol_error *err)
{
    const bool alone = x->c.spec->glu.alone;
    int n = 0;
    for (int i = 0; i < x->group.n; i++) {
        if (!alone)
            x->products[n++] = product_of(x, layer, i, OL_ROLE_EXPERT_GATE,
                                          OL_ROLE_EXPERT_GATE_BIAS, in, gate);
        x->products[n++] = product_of(x, layer, i, OL_ROLE_EXPERT_UP,
                                      OL_ROLE_EXPERT_UP_BIAS, in, alone ? gate : up);
    }
    if (x->op->matmul(x->c.backend, x->products, n, err) != 0)
        return -1;
    return x->op->glu(x->c.backend, &x->c.spec->glu, gate, up, err);
}

static int run_group(struct ol_experts *x, int layer, struct ol_tensor input,
                     struct ol_error *err)
{
    struct ol_backend *b = x->c.backend;
    const struct ol_expert_group *g = &x->group;
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
    for (int i = 0; i < g->n; i++)
        x->products[i] = product_of(x, layer, i, OL_ROLE_EXPERT_DOWN,
                                    OL_ROLE_EXPERT_DOWN_BIAS, gate, down);
    if (x->op->matmul(b, x->products, g->n, err) != 0 ||
        send_next_group(x, layer, err) != 0 ||
        see(x, OL_POINT_DOWN_OUTPUT, layer, &rows, down, err) != 0)
        return -1;
    /* Experts rise within a group and from group to group: the sums' order is fixed. */
    return add_outputs(x, err);
}

/* Give back the experts that no later group uses. */
static void release_group(const struct ol_experts *x, int layer)
{
    const struct ol_expert_group *g = &x->group;
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
        {in, ol_weights_get(w, OL_ROLE_SHARED_GATE, layer, 0), none, .out = gate},
        {in, ol_weights_get(w, OL_ROLE_SHARED_UP, layer, 0), none,
         .out = alone ? gate : up},
        {in, scale, none, .out = shared_switch},
    };
    const struct ol_matmul out = {gate, ol_weights_get(w, OL_ROLE_SHARED_DOWN, layer, 0),
                                  none, .out = down};
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
    struct ol_expert_group *g = &x->group;
    ol_expert_group_begin(g);
    ol_experts_give_back_unchosen(x, layer);
    if ((latent ? enter_latent(x, layer, input->routed, err)
                : x->op->zero(x->c.backend, x->sum, err)) != 0)
        return -1;
    while (ol_expert_group_next(g, &x->permutation, x->c.n_baseline_rows)) {
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
