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
 *       [a layer that has an input of its own adds what it takes of it; layer_inputs.c]
 *     nll = head(norm(hidden))                                     only if asked for
 *
 * Where the residual stream is several, hidden is a mixture of them that is made before
 * each norm, and what is added to it here joins them all (ol_pass_take, ol_pass_join).
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

#include "extract/forward/pass.h"

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
    if (ol_pass_take(p, OL_ROLE_ATTN_CONNECTION, block, err) != 0 ||
        ol_pass_see(p, OL_POINT_RESIDUAL_ATTN, block, p->hidden, err) != 0 ||
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

/* While tokens are mixed: what the router needs, then the experts that it is expected to
 * choose. */
static int send_mlp(struct ol_pass *p, int layer, struct ol_error *err)
{
    if (ol_pass_send(p, OL_ROLE_GATE, OL_ROLE_ROUTER, layer, err) != 0)
        return -1;
    return p->spec->layers[layer].moe ? ol_experts_send_expected(p->experts, layer, err)
                                      : 0;
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
    return send_mlp(p, layer, err);
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
        if (mix_block(p, &block, err) != 0 || send_mlp(p, layer, err) != 0)
            return -1;
        ol_pass_progress(p, layer, cost * (double)block.n / (double)p->n_rows);
    }
    if (ol_taps_settle(p->taps, err) != 0)
        return -1;
    return ol_pass_intervene(p, err);
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
        if (ol_pass_take(p, OL_ROLE_MLP_CONNECTION, &block, err) != 0 ||
            ol_pass_see(p, OL_POINT_RESIDUAL_MLP, &block, p->hidden, err) != 0 ||
            ol_pass_norm(p, OL_ROLE_MLP_NORM, &block, err) != 0 ||
            ol_pass_see(p, OL_POINT_LN_MLP, &block, p->normed, err) != 0)
            return -1;
    return 0;
}

/* Whatever the MLP is. */
static int run_mlp(struct ol_pass *p, int layer, struct ol_error *err)
{
    if (p->spec->layers[layer].no_mlp)
        return 0;
    return (p->spec->layers[layer].moe ? ol_pass_moe_mlp : ol_pass_dense_mlp)(p, layer,
                                                                              err);
}

static int mlp(struct ol_pass *p, int layer, struct ol_error *err)
{
    const bool moe = p->spec->layers[layer].moe;
    if (moe && ol_pass_route(p, layer, err) != 0)
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
    if (run_mlp(p, layer, err) != 0 || ol_pass_take_input(p, layer, err) != 0 ||
        ol_pass_scale_layer(p, layer, err) != 0 || ol_pass_intervene(p, err) != 0)
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

/* x is the mean where there are several streams. */
static int see_output(struct ol_pass *p, const struct ol_block *baseline,
                      struct ol_error *err)
{
    struct ol_view view = ol_pass_view(p, OL_POINT_RESIDUAL_OUT, baseline);
    view.x = ol_tensor_rows(p->hidden, baseline->first, baseline->n);
    view.stream = ol_tensor_rows(ol_pass_states(p), baseline->first, baseline->n);
    return ol_pass_goes_on(p, baseline->layer) ? ol_tap(p->taps, &view, err) : 0;
}

static int through_layer(struct ol_pass *p, int layer, struct ol_error *err)
{
    const struct ol_block baseline = ol_pass_arm(p, layer, 0);
    if (ol_taps_begin_layer(p->taps, layer, err) != 0 || mix(p, layer, err) != 0 ||
        mlp_norm(p, layer, err) != 0 || mlp(p, layer, err) != 0 ||
        ol_taps_settle(p->taps, err) != 0 || see_heads(p, &baseline, err) != 0 ||
        see_output(p, &baseline, err) != 0)
        return -1;
    return ol_taps_end_layer(p->taps, layer, ol_pass_states(p), err);
}

static int one_layer(struct ol_pass *p, int layer, struct ol_error *err)
{
    ol_pass_prefetch_next(p, layer, false);
    const int status = through_layer(p, layer, err);
    ol_pass_release(p, layer);
    return status;
}

int ol_forward_run(const struct ol_forward_input *in, struct ol_error *err)
{
    struct ol_pass p;
    int status = -1;
    if (ol_pass_init(&p, in, err) != 0 || ol_pass_embed(&p, err) != 0)
        goto out;
    for (int layer = in->done + 1; layer <= in->last_layer; layer++)
        if ((in->meet != NULL && in->meet(in->arg, err) != 0) ||
            one_layer(&p, layer, err) != 0)
            goto out;
    if ((in->likelihood && ol_pass_head(&p, err) != 0) ||
        ol_taps_settle(in->taps, err) != 0)
        goto out;
    status = 0;
out:
    ol_pass_clear(&p);
    return status;
}
