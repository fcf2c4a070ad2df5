#include "extract/forward/pass.h"

#include <assert.h>
#include <stdlib.h>

/* Of a layer's tensors that every token uses, in the order of roles. */
#define LAST_OF_LAYER OL_ROLE_SHARED_SWITCH

/* ---- blocks ---- */

bool ol_pass_next_block(const struct ol_pass *p, struct ol_block *block)
{
    block->first_sequence += block->n_sequences;
    block->first += block->n;
    block->n_sequences = block->n = 0;
    if (block->first == p->arm_starts[block->arm + 1])
        block->arm++;
    while (block->first + block->n < p->arm_starts[block->arm + 1]) {
        const int32_t length = p->in->lengths[block->first_sequence + block->n_sequences];
        if (block->n_sequences > 0 && block->n + length > p->in->buffers->block_rows)
            break;
        block->n += length;
        block->n_sequences++;
    }
    return block->n_sequences > 0;
}

struct ol_block ol_pass_arm(const struct ol_pass *p, int layer, int arm)
{
    const int64_t n = p->in->n_sequences / (p->in->arms->n + 1);
    return (struct ol_block){
        .layer = layer,
        .arm = arm,
        .first_sequence = arm * n,
        .n_sequences = n,
        .first = p->arm_starts[arm],
        .n = p->arm_starts[arm + 1] - p->arm_starts[arm],
    };
}

struct ol_view ol_pass_view(const struct ol_pass *p, enum ol_point point,
                            const struct ol_block *block)
{
    return (struct ol_view){
        .point = point,
        .layer = block->layer,
        .arm = block->arm,
        .first = block->first - p->arm_starts[block->arm],
        .first_sequence = block->first_sequence -
                          block->arm * (p->in->n_sequences / (p->in->arms->n + 1)),
        .lengths = p->in->lengths + block->first_sequence,
    };
}

/* ---- weights ---- */

struct ol_weight ol_pass_weight(const struct ol_pass *p, enum ol_role role, int layer)
{
    return ol_weights_get(p->stored.weights, role, layer, 0);
}

int ol_pass_wait(const struct ol_pass *p, enum ol_role first, enum ol_role last,
                 int layer, struct ol_error *err)
{
    return ol_layer_weights_wait(&p->stored, first, last, layer, 0, err);
}

int ol_pass_send(const struct ol_pass *p, enum ol_role first, enum ol_role last,
                 int layer, struct ol_error *err)
{
    return layer < p->spec->n_layers
               ? ol_layer_weights_send(&p->stored, p->b, first, last, layer, 0, err)
               : 0;
}

bool ol_pass_goes_on(const struct ol_pass *p, int layer)
{
    return layer < p->in->last_layer || p->in->last_whole || p->in->likelihood;
}

void ol_pass_prefetch(const struct ol_pass *p, int layer)
{
    if (layer <= p->in->last_layer) {
        ol_layer_weights_prefetch(&p->stored, p->first_role, LAST_OF_LAYER, layer, 0);
        if (p->spec->layers[layer].moe && ol_pass_goes_on(p, layer))
            ol_experts_expect(p->experts, layer);
    } else if (p->in->likelihood) {
        ol_layer_weights_prefetch(&p->stored, OL_ROLE_FINAL_NORM, OL_ROLE_LM_HEAD, 0, 0);
    }
}

void ol_pass_prefetch_next(const struct ol_pass *p, int layer, bool routed)
{
    const bool known =
        !p->spec->layers[layer].moe || ol_experts_expected(p->experts, layer);
    if (known != routed)
        ol_pass_prefetch(p, layer + 1);
}

void ol_pass_release(const struct ol_pass *p, int layer)
{
    ol_layer_weights_release(&p->stored, p->b, p->first_role, LAST_OF_LAYER, layer, 0);
}

void ol_pass_progress(const struct ol_pass *p, int layer, double operations)
{
    if (p->in->progress != NULL)
        p->in->progress(p->in->arg, layer, operations);
}

/* ---- the stream ---- */

int ol_pass_see(struct ol_pass *p, enum ol_point point, const struct ol_block *block,
                struct ol_tensor x, struct ol_error *err)
{
    struct ol_view view = ol_pass_view(p, point, block);
    view.x = ol_tensor_rows(x, block->first, block->n);
    return ol_tap(p->taps, &view, err);
}

int ol_pass_join(struct ol_pass *p, int64_t first, struct ol_tensor x,
                 struct ol_error *err)
{
    const struct ol_tensor hidden = ol_tensor_rows(p->hidden, first, x.n_rows);
    if (p->streams.data != NULL)
        return p->op->expand(p->b, ol_tensor_rows(p->streams, first, x.n_rows), x,
                             ol_tensor_rows(p->mixing, first, x.n_rows), hidden, err);
    return x.dtype == hidden.dtype ? p->op->add(p->b, hidden, x, err)
                                   : p->op->add_sum(p->b, hidden, x, err);
}

int ol_pass_take(struct ol_pass *p, enum ol_role role, const struct ol_block *block,
                 struct ol_error *err)
{
    const struct ol_connection_spec *spec = &p->spec->connection;
    if (p->streams.data == NULL)
        return 0;
    const struct ol_connection c = {
        .n_streams = spec->n_streams,
        .n_iterations = spec->n_iterations,
        .norm_eps = p->spec->norm_eps,
        .eps = spec->eps,
        .fn = ol_pass_weight(p, role, block->layer),
        .base = ol_pass_weight(p, role + 1, block->layer),
        .scale = ol_pass_weight(p, role + 2, block->layer),
    };
    const struct ol_tensor none = {0},
                           mixing = ol_tensor_rows(p->mixing, block->first, block->n);
    return p->op->collapse(p->b, &c, ol_tensor_rows(p->streams, block->first, block->n),
                           ol_tensor_rows(p->hidden, block->first, block->n),
                           role == OL_ROLE_HEAD_CONNECTION ? none : mixing, err);
}

struct ol_tensor ol_pass_states(const struct ol_pass *p)
{
    return p->streams.data != NULL ? p->streams : p->hidden;
}

static enum ol_role bias_of(enum ol_role norm)
{
    return norm == OL_ROLE_ATTN_NORM  ? OL_ROLE_ATTN_NORM_BIAS
           : norm == OL_ROLE_MLP_NORM ? OL_ROLE_MLP_NORM_BIAS
                                      : OL_ROLE_FINAL_NORM_BIAS;
}

int ol_pass_norm(struct ol_pass *p, enum ol_role role, const struct ol_block *block,
                 struct ol_error *err)
{
    const struct ol_tensor x = ol_tensor_rows(p->hidden, block->first, block->n),
                           out = ol_tensor_rows(p->normed, block->first, block->n);
    const struct ol_columns from = {x, 0, 0}, to = {out, 0, 0};
    if (p->spec->norm == OL_NORM_LAYER)
        return p->op->layer_norm(
            p->b, p->spec->norm_eps, x, ol_pass_weight(p, role, block->layer),
            ol_pass_weight(p, bias_of(role), block->layer), out, err);
    return p->spec->names[role] == NULL
               ? p->op->copy_columns(p->b, from, to, x.n_cols, 1, err)
               : p->op->norm(p->b, p->spec->norm, p->spec->norm_eps, x,
                             ol_pass_weight(p, role, block->layer), out, err);
}

int ol_pass_norm_after(struct ol_pass *p, enum ol_role role, int layer,
                       struct ol_tensor x, struct ol_error *err)
{
    return p->spec->names[role] == NULL
               ? 0
               : p->op->norm(p->b, p->spec->norm, p->spec->norm_eps, x,
                             ol_pass_weight(p, role, layer), x, err);
}

double ol_pass_rounded(const struct ol_pass *p, double x)
{
    return p->b->dtype == OL_DTYPE_BF16 ? (double)ol_bf16_round((float)x) : x;
}

int ol_pass_scale(struct ol_pass *p, struct ol_tensor x, double factor,
                  struct ol_error *err)
{
    for (int64_t i = 0; i < x.n_rows; i++)
        p->factors[i] = (float)factor;
    return p->op->scale_rows(p->b, x, p->factors, err);
}

int ol_pass_scale_layer(struct ol_pass *p, int layer, struct ol_error *err)
{
    if (p->spec->names[OL_ROLE_LAYER_SCALE] == NULL)
        return 0;
    float factor;
    const struct ol_weight w = ol_pass_weight(p, OL_ROLE_LAYER_SCALE, layer);
    ol_weight_numbers(&w, &factor);
    return ol_pass_scale(p, p->hidden, ol_pass_rounded(p, (double)factor), err);
}

int ol_pass_intervene(struct ol_pass *p, struct ol_error *err)
{
    for (int arm = 1; arm <= p->in->arms->n; arm++) {
        const struct ol_block rows = ol_pass_arm(p, 0, arm);
        const struct ol_tensor all = ol_pass_states(p);
        const int64_t d = p->hidden.n_cols;
        /* Of several streams every one is changed, as a row of its own. */
        const struct ol_arm_stream stream = {
            p->b, ol_tensor_split(ol_tensor_rows(all, 0, p->arm_starts[1]), d),
            ol_tensor_split(ol_tensor_rows(all, rows.first, rows.n), d)};
        if (ol_arm_change_stream(p->in->arms->arms[arm - 1], &stream, err) != 0)
            return -1;
    }
    return 0;
}

int ol_pass_embed_ids(struct ol_pass *p, const int32_t *ids, struct ol_tensor x,
                      struct ol_error *err)
{
    const double scale = p->spec->embedding_scale;
    if (p->op->embed(p->b, ids, ol_pass_weight(p, OL_ROLE_EMBEDDING, 0), x, err) != 0)
        return -1;
    return scale > 0 ? ol_pass_scale(p, x, ol_pass_rounded(p, scale), err) : 0;
}

/* ---- begin and end ---- */

static int make_tensors(struct ol_pass *p, struct ol_error *err)
{
    const int64_t d = p->spec->d_model, d_ff = ol_spec_widest_d_ff(p->spec);
    const int64_t dense_rows = d_ff > 0 ? p->in->buffers->dense_rows : 0;
    const int n = p->spec->connection.n_streams;
    const struct {
        struct ol_tensor *tensor;
        int64_t n_rows, n_cols;
    } wanted[] = {
        {&p->hidden, p->n_rows, d},
        {&p->streams, n > 0 ? p->n_rows : 0, n * d},
        {&p->normed, p->n_rows, d},
        {&p->apart, ol_spec_has_apart(p->spec) ? p->n_rows : 0, d},
        {&p->mixed, p->in->buffers->block_rows, d},
        {&p->dense_gate, dense_rows, d_ff},
        {&p->dense_up, dense_rows, d_ff},
        {&p->dense_both, p->spec->names[OL_ROLE_GATE_UP] != NULL ? dense_rows : 0,
         2 * d_ff},
        {&p->dense_down, dense_rows, d},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (wanted[i].n_rows > 0 &&
            p->op->tensor_new(p->b, p->b->dtype, wanted[i].n_rows, wanted[i].n_cols,
                              wanted[i].tensor, err) != 0)
            return -1;
    return n == 0 ? 0
                  : p->op->tensor_new(p->b, OL_DTYPE_F32, p->n_rows, n + n * n,
                                      &p->mixing, err);
}

static int make_mixers(struct ol_pass *p, struct ol_error *err)
{
    struct ol_mixer_context context = {
        .spec = p->spec,
        .backend = p->b,
        .weights = p->stored,
        .taps = p->taps,
        .block_rows = p->in->buffers->block_rows,
        .longest = p->longest,
        .n_rows = p->arm_starts[1],
        .all_rows = p->n_rows,
    };
    for (int l = 0; l < p->spec->n_layers; l++) {
        if (!ol_spec_mixes(p->spec, l))
            continue;
        struct ol_mixer **mixer = &p->mixers[ol_mixer_sort(p->spec, l)];
        context.layer = l;
        if (*mixer == NULL)
            *mixer = ol_mixer_new(&context, err);
        if (*mixer == NULL)
            return -1;
    }
    return 0;
}

static void experts_progress(void *arg, int layer, double share)
{
    const struct ol_pass *p = arg;
    ol_pass_progress(p, layer, share * ol_cost_mlp(p->spec, layer, &p->tokens));
}

static int make_experts(struct ol_pass *p, struct ol_error *err)
{
    const struct ol_experts_context context = {
        .spec = p->spec,
        .backend = p->b,
        .weights = p->stored,
        .taps = p->taps,
        .ids = p->in->ids,
        .n_rows = p->n_rows,
        .n_baseline_rows = p->arm_starts[1],
        .group_rows = p->in->buffers->group_rows,
        .weight_bytes = p->in->buffers->weight_bytes / 2,
        .progress = experts_progress,
        .arg = p,
    };
    if (p->spec->router.n_experts == 0)
        return 0;
    p->experts = ol_experts_new(&context, err);
    return p->experts != NULL ? 0 : -1;
}

int ol_pass_init(struct ol_pass *p, const struct ol_forward_input *in,
                 struct ol_error *err)
{
    *p = (struct ol_pass){
        .in = in,
        .spec = in->spec,
        .b = in->backend,
        .op = in->backend->op,
        .taps = in->taps,
        .tokens = {in->n_sequences, in->lengths},
        .stored = {in->weights, in->stream, in->user},
    };
    const int64_t n_arms = in->arms->n + 1, of_arm = in->n_sequences / n_arms;
    p->arm_starts = ol_xcalloc((size_t)n_arms + 2, sizeof *p->arm_starts);
    for (int64_t i = 0; i < in->n_sequences; i++) {
        assert(in->lengths[i] >= 1);
        p->n_rows += in->lengths[i];
        p->arm_starts[i / of_arm + 1] = p->n_rows;
        if (in->lengths[i] > p->longest)
            p->longest = in->lengths[i];
        p->first_role =
            ol_spec_chooses(p->spec, p->longest) ? OL_ROLE_INDEX_Q : OL_ROLE_ATTN_NORM;
    }
    if (p->op->results_room != NULL)
        p->op->results_room(p->b, in->buffers->result_bytes);
    p->factors = ol_xcalloc((size_t)p->n_rows, sizeof *p->factors);
    p->all_rows = ol_xcalloc((size_t)p->n_rows, sizeof *p->all_rows);
    for (int64_t i = 0; i < p->n_rows; i++)
        p->all_rows[i] = (int32_t)i;
    if (make_tensors(p, err) != 0 || make_experts(p, err) != 0)
        return -1;
    return make_mixers(p, err);
}

void ol_pass_clear(struct ol_pass *p)
{
    struct ol_tensor *const tensors[] = {
        &p->streams, &p->mixing,     &p->hidden,     &p->normed,     &p->apart,
        &p->mixed,   &p->dense_gate, &p->dense_up,   &p->dense_both, &p->dense_down,
        &p->inputs,  &p->input_gate, &p->input_taken};
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        p->op->tensor_free(p->b, tensors[i]);
    ol_experts_free(p->experts);
    for (int i = 0; i < OL_MIXER_SORTS; i++)
        ol_mixer_free(p->mixers[i]);
    free(p->arm_starts);
    free(p->all_rows);
    free(p->factors);
    free(p->input_rows);
}

void ol_forward_cost(const struct ol_forward_input *in, double *total, double *skipped)
{
    const struct ol_pass p = {.in = in, .tokens = {in->n_sequences, in->lengths}};
    *total = *skipped = 0;
    for (int l = 0; l <= in->last_layer; l++) {
        *total += ol_cost_mixer(in->spec, l, &p.tokens) +
                  ol_cost_router(in->spec, l, &p.tokens);
        if (ol_pass_goes_on(&p, l))
            *total += ol_cost_mlp(in->spec, l, &p.tokens);
        if (l == in->done)
            *skipped = *total;
    }
    if (in->likelihood)
        *total += ol_cost_head(in->spec, &p.tokens);
}
