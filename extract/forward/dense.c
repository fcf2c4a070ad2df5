/* A dense MLP: hidden += down(glu(gate(normed), up(normed))), some rows at a time. */
#include "extract/forward/pass.h"

/* gate and up of rows x, or up alone in gate's place; where the two are one matrix, so is
 * their product at first. */
static int multiply(struct ol_pass *p, int layer, struct ol_tensor x,
                    struct ol_tensor gate, struct ol_tensor up, struct ol_error *err)
{
    const struct ol_weight none = {0};
    const struct ol_matmul each[] = {
        {x, ol_pass_weight(p, OL_ROLE_GATE, layer), none, .out = gate},
        {x, ol_pass_weight(p, OL_ROLE_UP, layer), none, .out = up}};
    if (p->spec->glu.alone) {
        const struct ol_matmul alone = {x, ol_pass_weight(p, OL_ROLE_UP, layer),
                                        ol_pass_weight(p, OL_ROLE_UP_BIAS, layer),
                                        .out = gate};
        return p->op->matmul(p->b, &alone, 1, err);
    }
    if (p->spec->names[OL_ROLE_GATE_UP] == NULL)
        return p->op->matmul(p->b, each, 2, err);
    const struct ol_tensor both = {p->dense_both.data, p->dense_both.dtype, x.n_rows,
                                   2 * gate.n_cols};
    const struct ol_matmul one = {x, ol_pass_weight(p, OL_ROLE_GATE_UP, layer), none,
                                  .out = both};
    const struct ol_columns first = {both, 0, 0}, second = {both, gate.n_cols, 0};
    const struct ol_columns to_gate = {gate, 0, 0}, to_up = {up, 0, 0};
    if (p->op->matmul(p->b, &one, 1, err) != 0 ||
        p->op->copy_columns(p->b, first, to_gate, gate.n_cols, 1, err) != 0)
        return -1;
    return p->op->copy_columns(p->b, second, to_up, up.n_cols, 1, err);
}

static int dense_rows(struct ol_pass *p, int layer, int64_t first, int64_t n,
                      struct ol_error *err)
{
    const int64_t d_ff = ol_spec_d_ff(p->spec, layer);
    const struct ol_tensor x = ol_tensor_rows(p->normed, first, n),
                           gate = {p->dense_gate.data, p->dense_gate.dtype, n, d_ff},
                           up = {p->dense_up.data, p->dense_up.dtype, n, d_ff},
                           down = ol_tensor_rows(p->dense_down, 0, n);
    const struct ol_matmul out = {gate, ol_pass_weight(p, OL_ROLE_DOWN, layer),
                                  ol_pass_weight(p, OL_ROLE_DOWN_BIAS, layer),
                                  .out = down};
    const int component = 0;
    const int64_t start = 0, baseline = p->arm_starts[1] - first,
                  end = baseline < 0   ? 0
                        : baseline < n ? baseline
                                       : n;
    const struct ol_component_rows all = {.n = 1,
                                          .components = &component,
                                          .firsts = &start,
                                          .ends = &end,
                                          .rows = p->all_rows + first};
    struct ol_view view = {.layer = layer, .components = &all, .x = gate};
    if (multiply(p, layer, x, gate, up, err) != 0 ||
        p->op->glu(p->b, &p->spec->glu, gate, up, err) != 0)
        return -1;
    view.point = OL_POINT_DOWN_INPUT;
    if (ol_tap(p->taps, &view, err) != 0 || p->op->matmul(p->b, &out, 1, err) != 0)
        return -1;
    view.point = OL_POINT_DOWN_OUTPUT;
    view.x = down;
    if (ol_pass_norm_after(p, OL_ROLE_MLP_POST_NORM, layer, down, err) != 0 ||
        ol_tap(p->taps, &view, err) != 0)
        return -1;
    return ol_pass_join(p, first, down, err);
}

int ol_pass_dense_mlp(struct ol_pass *p, int layer, struct ol_error *err)
{
    if (ol_pass_wait(p, OL_ROLE_GATE, OL_ROLE_DOWN, layer, err) != 0)
        return -1;
    const double cost = ol_cost_mlp(p->spec, layer, &p->tokens);
    const int64_t most = p->dense_gate.n_rows;
    for (int64_t first = 0, n; first < p->n_rows; first += n) {
        n = p->n_rows - first < most ? p->n_rows - first : most;
        if (dense_rows(p, layer, first, n, err) != 0)
            return -1;
        ol_pass_progress(p, layer, cost * (double)n / (double)p->n_rows);
    }
    return 0;
}
