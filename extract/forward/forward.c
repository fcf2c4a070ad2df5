/* The model, top to bottom.
 *
 *     hidden  = embedding[ids]
 *     per layer:
 *       normed  = norm(hidden)                                     -> ln_attn
 *       hidden += mixer(normed)                   attention, or what stands in its place
 *       normed  = norm(hidden)                                     -> ln_mlp
 *       dense:  hidden += down(glu(gate(normed), up(normed)))
 *       MoE:    experts, weights = route(normed)                   -> router tables
 *               hidden += sum over chosen experts of weight * expert(normed)
 *                         [+ the shared expert's output]
 *     nll = head(norm(hidden))                                     only if asked for
 *
 * Layers of a few families (Nemotron-H) are a mixer alone, or an MLP alone; some have
 * norms in other places: norm(mixer(...)) and norm(down(...)) join the stream, with a
 * norm before the mixer and the MLP too (Gemma) or none (OLMo 2).
 *
 * Rows are the tokens of all sequences, one after another. hidden, normed and the sum of
 * the experts' outputs hold all rows; everything else is made for a bounded number of
 * them at a time, so memory does not grow with the layers, and with the tokens only by
 * those three. Weights are queued a layer ahead, waited for where they are used and given
 * back at the layer's end (pass.c). */
#include "extract/forward/forward.h"

#include <math.h>
#include <stdlib.h>

#include "extract/forward/pass.h"

/* The stream has changed in all rows: what arms make of theirs. */
static int intervene(struct ol_pass *p, struct ol_error *err)
{
    for (int arm = 1; arm <= p->in->arms->n; arm++) {
        const struct ol_block rows = ol_pass_arm(p, 0, arm);
        const struct ol_arm_stream stream = {
            p->b, ol_tensor_rows(p->hidden, 0, p->arm_starts[1]),
            ol_tensor_rows(p->hidden, rows.first, rows.n)};
        if (ol_arm_change_stream(p->in->arms->arms[arm - 1], &stream, err) != 0)
            return -1;
    }
    return 0;
}

/* ---- mixing of tokens ---- */

static int mix_block(struct ol_pass *p, const struct ol_block *block,
                     struct ol_error *err)
{
    const struct ol_tensor out = ol_tensor_rows(p->mixed, 0, block->n);
    const struct ol_mixer_block rows = {
        .view = ol_pass_view(p, OL_POINT_ATTENTION, block),
        .layer = block->layer,
        .first = block->first,
        .lengths = p->in->lengths + block->first_sequence,
        .n_sequences = block->n_sequences,
        .n_rows = block->n,
        .x = ol_tensor_rows(p->normed, block->first, block->n),
        .out = out,
    };
    if (ol_pass_see(p, OL_POINT_RESIDUAL_ATTN, block, p->hidden, err) != 0 ||
        ol_pass_norm(p, OL_ROLE_ATTN_NORM, block, err) != 0 ||
        ol_pass_see(p, OL_POINT_LN_ATTN, block, p->normed, err) != 0 ||
        ol_mixer_run(p->mixers[ol_mixer_sort(p->spec, block->layer)], &rows, err) != 0 ||
        ol_pass_norm_after(p, OL_ROLE_ATTN_POST_NORM, block->layer, out, err) != 0 ||
        ol_pass_join(p, block->first, out, err) != 0)
        return -1;
    struct ol_view view = rows.view;
    view.x = out;
    view.stream = ol_tensor_rows(p->hidden, block->first, block->n);
    return ol_tap(p->taps, &view, err);
}

/* Of a layer without a mixer: what it adds to the stream is nothing. */
static int mix_nothing(struct ol_pass *p, int layer, struct ol_error *err)
{
    struct ol_block block = {.layer = layer};
    while (ol_taps_want(p->taps, layer, OL_POINT_ATTENTION) &&
           ol_pass_next_block(p, &block)) {
        struct ol_view view = ol_pass_view(p, OL_POINT_ATTENTION, &block);
        view.x = ol_tensor_rows(p->mixed, 0, block.n);
        view.stream = ol_tensor_rows(p->hidden, block.first, block.n);
        if (p->op->zero(p->b, view.x, err) != 0 || ol_tap(p->taps, &view, err) != 0)
            return -1;
    }
    return ol_pass_send(p, OL_ROLE_GATE, OL_ROLE_ROUTER, layer, err);
}

static int mix(struct ol_pass *p, int layer, struct ol_error *err)
{
    if (!ol_spec_mixes(p->spec, layer))
        return mix_nothing(p, layer, err);
    if (ol_pass_wait(p, p->first_role, OL_ROLE_MLP_NORM - 1, layer, err) != 0)
        return -1;
    const double cost = ol_cost_mixer(p->spec, layer, &p->tokens);
    struct ol_block block = {.layer = layer};
    while (ol_pass_next_block(p, &block)) {
        if (mix_block(p, &block, err) != 0)
            return -1;
        ol_pass_progress(p, layer, cost * (double)block.n / (double)p->n_rows);
    }
    if (ol_pass_send(p, OL_ROLE_GATE, OL_ROLE_ROUTER, layer, err) != 0 ||
        ol_taps_settle(p->taps, err) != 0)
        return -1;
    return intervene(p, err);
}

/* ---- MLP ---- */

static int mlp_norm(struct ol_pass *p, int layer, struct ol_error *err)
{
    if (p->spec->layers[layer].no_mlp)
        return 0;
    if (ol_pass_wait(p, OL_ROLE_MLP_NORM, OL_ROLE_MLP_POST_NORM, layer, err) != 0)
        return -1;
    struct ol_block block = {.layer = layer};
    while (ol_pass_next_block(p, &block))
        if (ol_pass_see(p, OL_POINT_RESIDUAL_MLP, &block, p->hidden, err) != 0 ||
            ol_pass_norm(p, OL_ROLE_MLP_NORM, &block, err) != 0 ||
            ol_pass_see(p, OL_POINT_LN_MLP, &block, p->normed, err) != 0)
            return -1;
    return 0;
}

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

static int route(struct ol_pass *p, int layer, struct ol_error *err)
{
    const struct ol_block baseline = ol_pass_arm(p, layer, 0);
    struct ol_tensor input;
    if (ol_pass_wait(p, OL_ROLE_ROUTER, OL_ROLE_ROUTER_CORRECTION, layer, err) != 0 ||
        router_input(p, layer, &input, err) != 0 ||
        ol_experts_route(p->experts, layer, input, err) != 0)
        return -1;
    ol_pass_progress(p, layer, ol_cost_router(p->spec, layer, &p->tokens));
    struct ol_view view = ol_pass_view(p, OL_POINT_ROUTER, &baseline);
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

static int moe_mlp(struct ol_pass *p, int layer, struct ol_error *err)
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

static int scale_stream(struct ol_pass *p, int layer, struct ol_error *err)
{
    if (p->spec->names[OL_ROLE_LAYER_SCALE] == NULL)
        return 0;
    float factor;
    const struct ol_weight w = ol_pass_weight(p, OL_ROLE_LAYER_SCALE, layer);
    ol_weight_numbers(&w, &factor);
    return ol_pass_scale(p, p->hidden, ol_pass_rounded(p, (double)factor), err);
}

/* Whatever the MLP is. */
static int run_mlp(struct ol_pass *p, int layer, struct ol_error *err)
{
    if (p->spec->layers[layer].no_mlp)
        return 0;
    return (p->spec->layers[layer].moe ? moe_mlp : ol_pass_dense_mlp)(p, layer, err);
}

static int mlp(struct ol_pass *p, int layer, struct ol_error *err)
{
    const bool moe = p->spec->layers[layer].moe;
    if (moe && route(p, layer, err) != 0)
        return -1;
    if (!ol_pass_goes_on(p, layer))
        return 0;
    if (moe && ol_experts_prefetch(p->experts, layer, err) != 0)
        return -1;
    ol_pass_prefetch_next(p, layer, true);
    /* All passes have queued what they need before any gives it back: each weight is read
     * once. */
    if (p->in->meet != NULL && p->in->meet(p->in->arg, err) != 0)
        return -1;
    if (run_mlp(p, layer, err) != 0 || scale_stream(p, layer, err) != 0 ||
        intervene(p, err) != 0)
        return -1;
    return ol_pass_send(p, p->first_role, OL_ROLE_MLP_NORM, layer + 1, err);
}

/* ---- layers and head ---- */

/* What was seen of the heads: the backend has long done it. */
static int see_heads(struct ol_pass *p, const struct ol_block *baseline,
                     struct ol_error *err)
{
    const int layer = baseline->layer;
    return ol_spec_attends(p->spec, layer)
               ? ol_mixer_see_heads(p->mixers[ol_mixer_sort(p->spec, layer)],
                                    ol_pass_view(p, OL_POINT_RECEIVED, baseline), err)
               : 0;
}

static int through_layer(struct ol_pass *p, int layer, struct ol_error *err)
{
    const struct ol_block baseline = ol_pass_arm(p, layer, 0);
    if (ol_taps_begin_layer(p->taps, layer, err) != 0 || mix(p, layer, err) != 0 ||
        mlp_norm(p, layer, err) != 0 || mlp(p, layer, err) != 0 ||
        ol_taps_settle(p->taps, err) != 0 || see_heads(p, &baseline, err) != 0 ||
        (ol_pass_goes_on(p, layer) &&
         ol_pass_see(p, OL_POINT_RESIDUAL_OUT, &baseline, p->hidden, err) != 0))
        return -1;
    return ol_taps_end_layer(p->taps, layer, p->hidden, err);
}

static int one_layer(struct ol_pass *p, int layer, struct ol_error *err)
{
    ol_pass_prefetch_next(p, layer, false);
    const int status = through_layer(p, layer, err);
    ol_pass_release(p, layer);
    return status;
}

/* Rows of the embedding are looked up where they are: most of it is never touched. What
 * the first layer needs is queued behind them. */
static int look_up(const struct ol_pass *p, struct ol_error *err)
{
    struct ol_stream *s = p->stored.stream;
    const struct ol_weight table = ol_pass_weight(p, OL_ROLE_EMBEDDING, 0);
    const bool first = p->in->done < 0;
    if (first)
        ol_stream_expect_rows(s, &table, p->in->ids, p->n_rows);
    ol_pass_prefetch(p, p->in->done + 1);
    if (!first)
        return 0;
    return ol_stream_look_up(s, &table, p->in->ids, p->n_rows, err) == 0
               ? ol_weights_see(p->stored.weights, OL_ROLE_EMBEDDING, 0, 0, err)
               : -1;
}

/* Each token's position has an embedding too. `normed` is still free. */
static int add_positions(struct ol_pass *p, struct ol_error *err)
{
    if (p->spec->n_positions == 0)
        return 0;
    int32_t *positions = ol_xmalloc((size_t)p->n_rows * sizeof *positions);
    for (int64_t s = 0, row = 0; s < p->in->n_sequences; row += p->in->lengths[s++])
        for (int32_t i = 0; i < p->in->lengths[s]; i++)
            positions[row + i] = i;
    int status = p->op->embed(p->b, positions, ol_pass_weight(p, OL_ROLE_POSITIONS, 0),
                              p->normed, err);
    if (status == 0)
        status = p->op->add(p->b, p->hidden, p->normed, err);
    free(positions);
    return status;
}

/* The stream before the first layer that is left to do. */
static int start_stream(struct ol_pass *p, struct ol_error *err)
{
    if (p->in->done >= 0)
        return p->op->upload(p->b, p->hidden, p->in->states, err);
    if (p->op->embed(p->b, p->in->ids, ol_pass_weight(p, OL_ROLE_EMBEDDING, 0), p->hidden,
                     err) != 0 ||
        (p->spec->embedding_scale > 0 &&
         ol_pass_scale(p, p->hidden, ol_pass_rounded(p, p->spec->embedding_scale), err) !=
             0) ||
        add_positions(p, err) != 0)
        return -1;
    return intervene(p, err);
}

int ol_forward_run(const struct ol_forward_input *in, struct ol_error *err)
{
    struct ol_pass p;
    int status = -1;
    if (ol_pass_init(&p, in, err) != 0 || look_up(&p, err) != 0 ||
        start_stream(&p, err) != 0)
        goto out;
    for (int layer = in->done + 1; layer <= in->last_layer; layer++)
        if ((in->meet != NULL && in->meet(in->arg, err) != 0) ||
            one_layer(&p, layer, err) != 0)
            goto out;
    if (in->likelihood && ol_pass_head(&p, err) != 0)
        goto out;
    status = 0;
out:
    ol_pass_clear(&p);
    return status;
}
