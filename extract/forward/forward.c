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
 * Rows are the tokens of all sequences, one after another. hidden, normed and the sum of
 * the experts' outputs hold all rows; everything else is made for a bounded number of
 * them at a time, so memory does not grow with the layers, and with the tokens only by
 * those three. */
#include "extract/forward/forward.h"

#include <assert.h>
#include <stdlib.h>

#include "extract/model/cost.h"
#include "extract/forward/experts.h"
#include "extract/weights/layer_weights.h"
#include "extract/forward/mixer/mixer.h"
#include "extract/observe/recorder.h"
#include "extract/run/team.h"
#include "extract/observe/writes.h"

/* Buffers of a gated MLP: [rows, width], [rows, width], [rows, d_model]. */
struct mlp {
    struct ol_tensor gate, up, down;
};

struct forward {
    const struct ol_forward_input *in;
    const struct ol_spec *spec;
    struct ol_backend *b;
    const struct ol_backend_operations *op;
    struct ol_progress *progress;
    struct ol_cost_tokens tokens;
    int64_t n_rows, longest;
    struct ol_layer_weights stored;
    struct ol_mixer *mixer;        /* of layers with attention */
    struct ol_mixer *linear_mixer; /* of the others; NULL when there are none */
    struct ol_experts *experts;    /* NULL in a dense model */
    struct ol_writes *writes;      /* NULL: nobody asks */
    struct ol_inputs *inputs;      /* NULL: nobody asks */
    int32_t *all_rows;             /* [n_rows]: 0, 1, 2, ... */
    struct ol_recorder recorder;

    /* The backend's, freed in end(). */
    struct ol_tensor hidden, normed; /* [n_rows, d_model] */
    struct ol_tensor mixed;          /* [block_rows, d_model] */
    struct mlp dense;                /* [block_rows, ...] */
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- weights: queued in the order of their use, waited for, given back ---- */

static struct ol_weight weight(const struct forward *f, enum ol_role role, int layer)
{
    return ol_weights_get(f->stored.weights, role, layer, 0);
}

/* The tensors of a layer that every token uses, in the order of roles. */
#define FIRST_OF_LAYER OL_ROLE_ATTN_NORM
#define LAST_OF_LAYER  OL_ROLE_SHARED_SWITCH

/* While the backend computes what it was told, weights that it will be told to use next
 * are on their way to it. */
static int send(const struct forward *f, enum ol_role first, enum ol_role last, int layer,
                struct ol_error *err)
{
    return layer < f->spec->n_layers
               ? ol_layer_weights_send(&f->stored, f->b, first, last, layer, 0, err)
               : 0;
}

/* ---- blocks ---- */

/* The next block of whole sequences: at least one, at most block_rows rows. */
struct block {
    int64_t first_sequence, n_sequences;
    int64_t first, n; /* rows */
};

static bool next_block(const struct forward *f, struct block *block)
{
    block->first_sequence += block->n_sequences;
    block->first += block->n;
    block->n_sequences = block->n = 0;
    while (block->first_sequence + block->n_sequences < f->in->n_sequences) {
        const int32_t length = f->in->lengths[block->first_sequence + block->n_sequences];
        if (block->n_sequences > 0 && block->n + length > f->in->memory->block_rows)
            break;
        block->n += length;
        block->n_sequences++;
    }
    return block->n_sequences > 0;
}

/* Gather the summary of a site from a block. */
static int sum_up(struct forward *f, int layer, enum ol_summary_site site,
                  const struct block *block, struct ol_tensor rows, struct ol_error *err)
{
    return ol_recorder_sum_up(&f->recorder, layer, site, block->first,
                              f->in->lengths + block->first_sequence, rows, err);
}

/* The stream after the layer. */
static int sum_up_output(struct forward *f, int layer, struct ol_error *err)
{
    struct block block = {0};
    while (next_block(f, &block))
        if (sum_up(f, layer, OL_SUMMARY_OUTPUT, &block,
                   ol_tensor_rows(f->hidden, block.first, block.n), err) != 0)
            return -1;
    return 0;
}

/* Who is told of that layer's writes; NULL: nobody. */
static struct ol_writes *watcher(const struct forward *f, int layer)
{
    return ol_writer_wants_layer(f->in->writer, layer) ? f->writes : NULL;
}

/* ---- mixing of tokens ---- */

static int mix_block(struct forward *f, int layer, const struct block *block,
                     struct ol_error *err)
{
    const int64_t n = block->n;
    const bool linear = f->spec->layers[layer].attention == OL_ATTENTION_LINEAR;
    const struct ol_tensor hidden = ol_tensor_rows(f->hidden, block->first, n);
    const struct ol_tensor normed = ol_tensor_rows(f->normed, block->first, n);
    const struct ol_mixer_block part = {
        .layer = layer,
        .lengths = f->in->lengths + block->first_sequence,
        .n_sequences = block->n_sequences,
        .n_rows = n,
        .x = normed,
        .out = ol_tensor_rows(f->mixed, 0, n),
    };
    if (ol_recorder_site_now(&f->recorder, layer, OL_SITE_RESIDUAL_ATTN, block->first,
                             hidden, err) != 0 ||
        f->op->norm(f->b, f->spec->norm, f->spec->norm_eps, hidden,
                    weight(f, OL_ROLE_ATTN_NORM, layer), normed, err) != 0 ||
        ol_recorder_site(&f->recorder, layer, OL_SITE_LN_ATTN, block->first, normed,
                         err) != 0 ||
        sum_up(f, layer, OL_SUMMARY_LN_ATTN, block, normed, err) != 0 ||
        ol_mixer_run(linear ? f->linear_mixer : f->mixer, &part, err) != 0 ||
        f->op->add(f->b, hidden, part.out, err) != 0)
        return -1;
    return ol_writes_attention(watcher(f, layer), block->first, hidden, part.out, err);
}

static int mix(struct forward *f, int layer, struct ol_error *err)
{
    if (ol_layer_weights_wait(&f->stored, FIRST_OF_LAYER, OL_ROLE_MLP_NORM - 1, layer, 0,
                              err) != 0)
        return -1;
    const double cost = ol_cost_mixer(f->spec, layer, &f->tokens);
    struct block block = {0};
    while (next_block(f, &block)) {
        if (mix_block(f, layer, &block, err) != 0)
            return -1;
        ol_progress_step(f->progress, layer, cost * (double)block.n / (double)f->n_rows);
    }
    if (send(f, OL_ROLE_GATE, OL_ROLE_ROUTER, layer, err) != 0)
        return -1;
    return ol_recorder_finish(&f->recorder, err);
}

/* normed = norm(hidden) before the MLP. */
static int mlp_norm(struct forward *f, int layer, struct ol_error *err)
{
    if (ol_layer_weights_wait(&f->stored, OL_ROLE_MLP_NORM, OL_ROLE_MLP_NORM, layer, 0,
                              err) != 0)
        return -1;
    struct block block = {0};
    while (next_block(f, &block)) {
        const struct ol_tensor hidden = ol_tensor_rows(f->hidden, block.first, block.n);
        const struct ol_tensor normed = ol_tensor_rows(f->normed, block.first, block.n);
        if (ol_recorder_site_now(&f->recorder, layer, OL_SITE_RESIDUAL_MLP, block.first,
                                 hidden, err) != 0 ||
            f->op->norm(f->b, f->spec->norm, f->spec->norm_eps, hidden,
                        weight(f, OL_ROLE_MLP_NORM, layer), normed, err) != 0 ||
            ol_recorder_site(&f->recorder, layer, OL_SITE_LN_MLP, block.first, normed,
                             err) != 0 ||
            sum_up(f, layer, OL_SUMMARY_LN_MLP, &block, normed, err) != 0)
            return -1;
    }
    return 0;
}

/* ---- dense MLP ---- */

static int dense_rows(struct forward *f, int layer, int64_t first, int64_t n,
                      struct ol_error *err)
{
    const struct ol_tensor x = ol_tensor_rows(f->normed, first, n);
    const struct ol_tensor gate = ol_tensor_rows(f->dense.gate, 0, n),
                           up = ol_tensor_rows(f->dense.up, 0, n);
    const struct ol_weight none = {0};
    const struct ol_matmul in[] = {
        {x, weight(f, OL_ROLE_GATE, layer), none, gate},
        {x, weight(f, OL_ROLE_UP, layer), none, up},
    };
    const struct ol_matmul out = {gate, weight(f, OL_ROLE_DOWN, layer), none,
                                  ol_tensor_rows(f->dense.down, 0, n)};
    const int unit = 0;
    const int64_t firsts[] = {0, n};
    const struct ol_writes_group group = {
        .n = 1, .units = &unit, .firsts = firsts, .rows = f->all_rows + first};
    struct ol_writes *writes = watcher(f, layer);
    if (f->op->matmul(f->b, in, 2, err) != 0 ||
        f->op->glu(f->b, &f->spec->glu, gate, up, err) != 0 ||
        ol_writes_inputs(writes, &group, gate, err) != 0 ||
        ol_inputs_add(f->inputs, OL_INPUT_MLP_DOWN, 0, gate, err) != 0 ||
        f->op->matmul(f->b, &out, 1, err) != 0 ||
        ol_writes_outputs(writes, &group, out.out, err) != 0)
        return -1;
    return f->op->add(f->b, ol_tensor_rows(f->hidden, first, n), out.out, err);
}

static int dense_mlp(struct forward *f, int layer, struct ol_error *err)
{
    if (ol_layer_weights_wait(&f->stored, OL_ROLE_GATE, OL_ROLE_DOWN, layer, 0, err) != 0)
        return -1;
    const double cost = ol_cost_mlp(f->spec, layer, &f->tokens);
    for (int64_t first = 0; first < f->n_rows; first += f->dense.gate.n_rows) {
        const int64_t n = least(f->dense.gate.n_rows, f->n_rows - first);
        if (dense_rows(f, layer, first, n, err) != 0)
            return -1;
        ol_progress_step(f->progress, layer, cost * (double)n / (double)f->n_rows);
    }
    return 0;
}

/* ---- layers ---- */

/* Whether anything after the MLP's norm of that layer is wanted. */
static bool goes_on(const struct ol_forward_input *in, int layer)
{
    return in->perplexity || in->summary || layer < in->last_recorded;
}

static int last_layer(const struct ol_forward_input *in)
{
    return in->perplexity ? in->spec->n_layers - 1 : in->last_recorded;
}

static int route(struct forward *f, int layer, struct ol_error *err)
{
    if (ol_layer_weights_wait(&f->stored, OL_ROLE_ROUTER, OL_ROLE_ROUTER_CORRECTION,
                              layer, 0, err) != 0 ||
        ol_experts_route(f->experts, layer, f->normed, err) != 0)
        return -1;
    ol_progress_step(f->progress, layer, ol_cost_router(f->spec, layer, &f->tokens));
    return ol_recorder_router(&f->recorder, layer, ol_experts_ids(f->experts),
                              ol_experts_weights(f->experts), f->spec->router.top_k, err);
}

/* Weights of a layer, or of the head after the last, ahead of their use. */
static void prefetch_layer(const struct forward *f, int layer)
{
    if (layer <= last_layer(f->in)) {
        ol_layer_weights_prefetch(&f->stored, FIRST_OF_LAYER, LAST_OF_LAYER, layer, 0);
        if (f->spec->layers[layer].moe && goes_on(f->in, layer))
            ol_experts_expect(f->experts, layer);
    } else if (f->in->perplexity) {
        ol_layer_weights_prefetch(&f->stored, OL_ROLE_FINAL_NORM, OL_ROLE_LM_HEAD, 0, 0);
    }
}

/* Whether all that a layer needs is queued before it is routed, so that the disk can go
 * on to the next while this one's attention is computed. */
static bool knows_weights(const struct forward *f, int layer)
{
    return !f->spec->layers[layer].moe || ol_experts_expected(f->experts, layer);
}

static int layer_mlp(struct forward *f, int layer, struct ol_error *err)
{
    const bool moe = f->spec->layers[layer].moe;
    if (moe && route(f, layer, err) != 0)
        return -1;
    if (!goes_on(f->in, layer))
        return 0;
    if (moe && ol_experts_prefetch(f->experts, layer, err) != 0)
        return -1;
    if (!knows_weights(f, layer))
        prefetch_layer(f, layer + 1);
    /* All parts have queued what they need before any gives it back: each weight is read
     * once. */
    if (ol_team_meet(f->in->team, err) != 0)
        return -1;
    if (moe)
        return ol_experts_run(f->experts, layer, f->normed, f->hidden,
                              watcher(f, layer) != NULL, err);
    return dense_mlp(f, layer, err);
}

static int one_layer(struct forward *f, int layer, struct ol_error *err)
{
    struct ol_writes *writes = watcher(f, layer);
    ol_writes_begin(writes, layer);
    const struct ol_writer_rows at = ol_recorder_rows(&f->recorder, layer, 0, f->n_rows);
    ol_inputs_begin(f->inputs, layer, writes != NULL);
    if (knows_weights(f, layer))
        prefetch_layer(f, layer + 1);
    const int status =
        mix(f, layer, err) != 0 || mlp_norm(f, layer, err) != 0 ||
                layer_mlp(f, layer, err) != 0 ||
                send(f, FIRST_OF_LAYER, OL_ROLE_MLP_NORM, layer + 1, err) != 0 ||
                ol_recorder_finish(&f->recorder, err) != 0 ||
                ol_writes_end(writes, f->hidden, f->in->writer, err) != 0 ||
                ol_inputs_end(f->inputs, &at, f->in->writer, err) != 0 ||
                sum_up_output(f, layer, err) != 0
            ? -1
            : 0;
    ol_layer_weights_release(&f->stored, FIRST_OF_LAYER, LAST_OF_LAYER, layer, 0);
    return status;
}

static int head(struct forward *f, struct ol_error *err)
{
    const int64_t n = f->n_rows;
    int32_t *targets = ol_xmalloc((size_t)n * sizeof *targets);
    float *shifted = ol_xmalloc((size_t)n * sizeof *shifted);
    float *nll = ol_xmalloc((size_t)n * sizeof *nll);
    int status = -1;
    for (int64_t s = 0, row = 0; s < f->in->n_sequences; row += f->in->lengths[s++]) {
        const int64_t last = row + f->in->lengths[s] - 1;
        for (int64_t i = row; i < last; i++)
            targets[i] = f->in->ids[i + 1];
        targets[last] = -1;
    }
    if (ol_layer_weights_wait(&f->stored, OL_ROLE_FINAL_NORM, OL_ROLE_LM_HEAD, 0, 0,
                              err) != 0 ||
        f->op->norm(f->b, f->spec->norm, f->spec->norm_eps, f->hidden,
                    weight(f, OL_ROLE_FINAL_NORM, 0), f->normed, err) != 0 ||
        f->op->nll(f->b, f->normed, weight(f, OL_ROLE_LM_HEAD, 0), targets, shifted,
                   err) != 0)
        goto out;
    ol_progress_step(f->progress, f->spec->n_layers, ol_cost_head(f->spec, &f->tokens));
    /* A row predicts the token after it; the last row's NaN becomes the first token's. */
    for (int64_t s = 0, row = 0; s < f->in->n_sequences; row += f->in->lengths[s++]) {
        const int32_t length = f->in->lengths[s];
        nll[row] = shifted[row + length - 1];
        memcpy(nll + row + 1, shifted + row, (size_t)(length - 1) * sizeof *nll);
    }
    const struct ol_writer_rows at =
        ol_recorder_rows(&f->recorder, f->spec->n_layers, 0, n);
    status = ol_writer_take_nll(f->in->writer, &at, nll, err);
    nll = NULL;
out:
    free(nll);
    free(shifted);
    free(targets);
    return status;
}

/* ---- begin and end ---- */

static int new_mlp(struct forward *f, struct mlp *m, int64_t n_rows, int width,
                   struct ol_error *err)
{
    const enum ol_dtype type = f->b->dtype;
    if (f->op->tensor_new(f->b, type, n_rows, width, &m->gate, err) != 0 ||
        f->op->tensor_new(f->b, type, n_rows, width, &m->up, err) != 0)
        return -1;
    return f->op->tensor_new(f->b, type, n_rows, f->spec->d_model, &m->down, err);
}

static void experts_progress(void *arg, int layer, double share)
{
    const struct forward *f = arg;
    ol_progress_step(f->progress, layer, share * ol_cost_mlp(f->spec, layer, &f->tokens));
}

static int new_mixers(struct forward *f, struct ol_error *err)
{
    const struct ol_mixer_context context = {
        .spec = f->spec,
        .backend = f->b,
        .weights = f->stored,
        .inputs = f->inputs,
        .block_rows = f->in->memory->block_rows,
        .longest = f->longest,
    };
    for (int l = 0; l < f->spec->n_layers; l++) {
        const bool linear = f->spec->layers[l].attention == OL_ATTENTION_LINEAR;
        struct ol_mixer **mixer = linear ? &f->linear_mixer : &f->mixer;
        if (*mixer == NULL)
            *mixer = ol_mixer_new(ol_mixer_kind_of(f->spec, l), &context, err);
        if (*mixer == NULL)
            return -1;
    }
    return 0;
}

static int begin(struct forward *f, struct ol_error *err)
{
    const struct ol_spec *spec = f->spec;
    for (int64_t i = 0; i < f->in->n_sequences; i++) {
        assert(f->in->lengths[i] >= 1);
        f->n_rows += f->in->lengths[i];
        if (f->in->lengths[i] > f->longest)
            f->longest = f->in->lengths[i];
    }
    f->recorder = (struct ol_recorder){
        .backend = f->b,
        .writer = f->in->writer,
        .part = f->in->part,
        .first_row = f->in->first_row,
        .n_rows = f->n_rows,
    };
    const struct {
        struct ol_tensor *tensor;
        int64_t n_rows;
    } wanted[] = {{&f->hidden, f->n_rows},
                  {&f->normed, f->n_rows},
                  {&f->mixed, f->in->memory->block_rows}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (f->op->tensor_new(f->b, f->b->dtype, wanted[i].n_rows, spec->d_model,
                              wanted[i].tensor, err) != 0)
            return -1;
    f->all_rows = ol_xcalloc((size_t)f->n_rows, sizeof *f->all_rows);
    for (int64_t i = 0; i < f->n_rows; i++)
        f->all_rows[i] = (int32_t)i;
    const struct ol_writer_rows at = ol_recorder_rows(&f->recorder, 0, 0, f->n_rows);
    if (f->in->summary)
        f->writes = ol_writes_new(spec, f->b, &at);
    if (f->in->imatrix)
        f->inputs = ol_inputs_new(spec, f->b);
    if (spec->d_ff > 0 &&
        new_mlp(f, &f->dense, f->in->memory->dense_rows, spec->d_ff, err) != 0)
        return -1;
    if (spec->router.n_experts > 0) {
        const struct ol_experts_context context = {
            .spec = spec,
            .backend = f->b,
            .weights = f->stored,
            .n_rows = f->n_rows,
            .group_rows = f->in->memory->group_rows,
            .weight_bytes = f->in->memory->weight_bytes / 2,
            .writes = f->writes,
            .inputs = f->inputs,
            .progress = experts_progress,
            .arg = f,
        };
        f->experts = ol_experts_new(&context, err);
        if (f->experts == NULL)
            return -1;
    }
    return new_mixers(f, err);
}

static void end(struct forward *f)
{
    struct ol_tensor *const tensors[] = {
        &f->hidden, &f->normed, &f->mixed, &f->dense.gate, &f->dense.up, &f->dense.down,
    };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        f->op->tensor_free(f->b, tensors[i]);
    ol_experts_free(f->experts);
    ol_writes_free(f->writes);
    ol_inputs_free(f->inputs);
    free(f->all_rows);
    ol_mixer_free(f->mixer);
    ol_mixer_free(f->linear_mixer);
}

/* The stream before layer done + 1. */
static int start_stream(struct forward *f, struct ol_error *err)
{
    if (f->in->done >= 0)
        return f->op->upload(f->b, f->hidden, f->in->states, err);
    /* Rows are looked up where they are: most of the table is never touched. */
    return f->op->embed(f->b, f->in->ids, weight(f, OL_ROLE_EMBEDDING, 0), f->hidden,
                        err);
}

void ol_forward_cost(const struct ol_forward_input *in, double *total, double *skipped)
{
    const struct ol_cost_tokens tokens = {in->n_sequences, in->lengths};
    *total = *skipped = 0;
    const int last = last_layer(in);
    for (int l = 0; l <= last; l++) {
        *total +=
            ol_cost_mixer(in->spec, l, &tokens) + ol_cost_router(in->spec, l, &tokens);
        if (goes_on(in, l))
            *total += ol_cost_mlp(in->spec, l, &tokens);
        if (l == in->done)
            *skipped = *total;
    }
    if (in->perplexity)
        *total += ol_cost_head(in->spec, &tokens);
}

int ol_forward_run(const struct ol_forward_input *in, struct ol_progress *progress,
                   struct ol_error *err)
{
    struct forward f = {
        .in = in,
        .spec = in->spec,
        .b = in->backend,
        .op = in->backend->op,
        .progress = progress,
        .tokens = {in->n_sequences, in->lengths},
        .stored = {in->weights, in->stream, in->part},
    };
    int status = -1;
    if (begin(&f, err) != 0)
        goto out;
    prefetch_layer(&f, in->done + 1);
    if (start_stream(&f, err) != 0)
        goto out;
    for (int layer = in->done + 1; layer <= last_layer(in); layer++)
        if (ol_team_meet(in->team, err) != 0 || one_layer(&f, layer, err) != 0 ||
            (in->keep_states &&
             ol_recorder_states(&f.recorder, layer, f.hidden, err) != 0))
            goto out;
    if (in->perplexity && head(&f, err) != 0)
        goto out;
    status = 0;
out:
    end(&f);
    return status;
}
