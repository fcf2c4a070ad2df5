/* The MLP of a MoE layer:
 *
 *     experts, weights = route(normed)                             -> router tables
 *     hidden += sum over chosen experts of weight * expert(normed)
 *               [+ the shared expert's output]
 *
 * The sum is made in experts.c. */
#include <math.h>

#include "extract/forward/pass.h"

/* The weights of arms' rows may change, the choices not. */
static void change_choices(struct ol_pass *p, int layer)
{
    const int top_k = p->spec->router.top_k;
    for (int arm = 1; arm <= p->in->arms->n; arm++) {
        const struct ol_block rows = ol_pass_arm(p, layer, arm);
        const struct ol_arm_choices choices = {
            .layer = layer,
            .top_k = top_k,
            .n_rows = rows.n,
            .ids = ol_experts_ids(p->experts) + rows.first * top_k,
            .weights = ol_experts_weights(p->experts) + rows.first * top_k,
        };
        ol_arm_change_choices(p->in->arms->arms[arm - 1], &choices);
    }
}

/* apart = norm(hidden), by that role's weight. */
static int norm_apart(struct ol_pass *p, enum ol_norm_kind kind, enum ol_role role,
                      int layer, struct ol_error *err)
{
    return p->op->norm(p->b, kind, p->spec->norm_eps, p->hidden,
                       ol_pass_weight(p, role, layer), p->apart, err);
}

/* What the router sees: what goes into the MLP, or the stream by a norm of its own, whose
 * output is rounded before its weight. */
static int router_input(struct ol_pass *p, int layer, struct ol_tensor *input,
                        struct ol_error *err)
{
    *input = p->normed;
    if (p->spec->names[OL_ROLE_ROUTER_NORM] == NULL)
        return 0;
    *input = p->apart;
    if (norm_apart(p, OL_NORM_RMS, OL_ROLE_ROUTER_NORM, layer, err) != 0)
        return -1;
    return ol_pass_scale(p, p->apart, 1 / sqrt((double)p->spec->d_model), err);
}

int ol_pass_route(struct ol_pass *p, int layer, struct ol_error *err)
{
    const struct ol_block baseline = ol_pass_arm(p, layer, 0);
    struct ol_tensor input;
    struct ol_view view = ol_pass_view(p, OL_POINT_ROUTER_INPUT, &baseline);
    if (ol_pass_wait(p, OL_ROLE_ROUTER, OL_ROLE_ROUTER_CORRECTION, layer, err) != 0 ||
        router_input(p, layer, &input, err) != 0)
        return -1;
    view.x = ol_tensor_rows(input, baseline.first, baseline.n);
    if (ol_tap(p->taps, &view, err) != 0 ||
        ol_experts_route(p->experts, layer, input, err) != 0)
        return -1;
    ol_pass_progress(p, layer, ol_cost_router(p->spec, layer, &p->tokens));
    view = ol_pass_view(p, OL_POINT_ROUTER, &baseline);
    view.ids = ol_experts_ids(p->experts);
    view.values = ol_experts_weights(p->experts);
    change_choices(p, layer);
    return ol_tap(p->taps, &view, err);
}

/* Some rows of the experts' float sum at a time: a norm follows it. */
static int join_normed(struct ol_pass *p, int layer, struct ol_tensor sum,
                       struct ol_error *err)
{
    for (int64_t first = 0, n; first < p->n_rows; first += n) {
        n = p->n_rows - first < p->mixed.n_rows ? p->n_rows - first : p->mixed.n_rows;
        const struct ol_tensor x = ol_tensor_rows(p->mixed, 0, n);
        if (p->op->zero(p->b, x, err) != 0 ||
            p->op->add_sum(p->b, x, ol_tensor_rows(sum, first, n), err) != 0 ||
            ol_pass_norm_after(p, OL_ROLE_MLP_POST_NORM, layer, x, err) != 0 ||
            ol_pass_join(p, first, x, err) != 0)
            return -1;
    }
    return 0;
}

int ol_pass_moe_mlp(struct ol_pass *p, int layer, struct ol_error *err)
{
    const bool apart = p->spec->names[OL_ROLE_EXPERT_NORM] != NULL;
    const struct ol_experts_input input = {apart ? p->apart : p->normed, p->normed};
    struct ol_tensor sum;
    if ((apart && norm_apart(p, p->spec->norm, OL_ROLE_EXPERT_NORM, layer, err) != 0) ||
        ol_experts_run(p->experts, layer, &input, &sum, err) != 0)
        return -1;
    return p->spec->names[OL_ROLE_MLP_POST_NORM] != NULL ? join_normed(p, layer, sum, err)
                                                         : ol_pass_join(p, 0, sum, err);
}
