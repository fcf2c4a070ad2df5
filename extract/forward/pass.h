/* A forward pass on its way: what it holds, and how its weights travel. Only the files of
 * this folder include it. */
#ifndef OL_PASS_H
#define OL_PASS_H

#include "extract/forward/experts.h"
#include "extract/forward/forward.h"
#include "extract/forward/mixer/mixer.h"
#include "extract/model/cost.h"
#include "extract/weights/layer_weights.h"

struct ol_pass {
    const struct ol_forward_input *in;
    const struct ol_spec *spec;
    struct ol_backend *b;
    const struct ol_backend_operations *op;
    struct ol_taps *taps;
    struct ol_cost_tokens tokens;
    int64_t n_rows, longest;
    enum ol_role first_role; /* of a layer: an indexer's, where keys are chosen */
    int64_t *arm_starts; /* [arms + 2]: the baseline's first row, each arm's, the end */
    struct ol_layer_weights stored;
    struct ol_mixer *mixers[OL_MIXER_SORTS]; /* NULL: no layer is of that sort */
    struct ol_experts *experts;              /* NULL in a dense model */
    int32_t *all_rows;                       /* [n_rows]: 0, 1, 2, ... */
    float *factors;                          /* [n_rows]: room for ol_pass_scale() */

    /* The backend's. */
    struct ol_tensor hidden, normed; /* [n_rows, d_model] */
    /* Where the residual stream is several: these, [n_rows, n * d_model], and how what a
     * layer's part gives is to join them, float [n_rows, n + n * n]. hidden is what the
     * part took, and when it has joined the streams their mean. */
    struct ol_tensor streams, mixing;
    struct ol_tensor
        apart; /* [n_rows, d_model]: what a router or experts have for themselves */
    struct ol_tensor mixed;                /* [block_rows, d_model] */
    struct ol_tensor dense_gate, dense_up; /* [dense_rows, d_ff] */
    struct ol_tensor dense_both;           /* [dense_rows, 2 * d_ff] or none */
    struct ol_tensor dense_down;           /* [dense_rows, d_model] */

    /* What layers get besides the stream (layer_inputs.c). */
    struct ol_tensor inputs;                  /* [n_layers * n_input_ids, d_input] */
    struct ol_tensor input_gate, input_taken; /* [block_rows, d_input] */
    int64_t n_input_ids;
    int32_t *input_rows; /* [n_rows]: which of these ids a row has */
};

/* Everything that a pass holds; clear it also when this fails. */
int ol_pass_init(struct ol_pass *p, const struct ol_forward_input *in,
                 struct ol_error *err);
void ol_pass_clear(struct ol_pass *p);

/* Rows of whole sequences. */
struct ol_block {
    int layer, arm; /* arm 0: the baseline */
    int64_t first_sequence, n_sequences;
    int64_t first, n; /* rows */
};

/* The next block after this one, starting from {layer}: at least one sequence, at most
 * block_rows rows, all of one arm. False: there is none. */
bool ol_pass_next_block(const struct ol_pass *p, struct ol_block *block);

/* All rows of an arm. */
struct ol_block ol_pass_arm(const struct ol_pass *p, int layer, int arm);

/* How a tap sees rows of a block: x and stream are left to be filled in. */
struct ol_view ol_pass_view(const struct ol_pass *p, enum ol_point point,
                            const struct ol_block *block);

/* ---- weights: queued in the order of their use, waited for, given back ---- */

struct ol_weight ol_pass_weight(const struct ol_pass *p, enum ol_role role, int layer);
int ol_pass_wait(const struct ol_pass *p, enum ol_role first, enum ol_role last,
                 int layer, struct ol_error *err);
/* While the backend computes what it was told, weights that it will be told to use next
 * are on their way to it. */
int ol_pass_send(const struct ol_pass *p, enum ol_role first, enum ol_role last,
                 int layer, struct ol_error *err);
/* Queue those of a layer, or of the head after the last, ahead of their use. */
void ol_pass_prefetch(const struct ol_pass *p, int layer);
/* The next layer's, as soon as all that this one needs is queued: at its beginning where
 * it is known then (routed = false), else after it was routed. */
void ol_pass_prefetch_next(const struct ol_pass *p, int layer, bool routed);
void ol_pass_release(const struct ol_pass *p, int layer);

/* Whether what comes after the router of that layer is computed. */
bool ol_pass_goes_on(const struct ol_pass *p, int layer);

/* ---- the stream ---- */

/* Show rows of a block: the block's own, of a tensor of all. */
int ol_pass_see(struct ol_pass *p, enum ol_point point, const struct ol_block *block,
                struct ol_tensor x, struct ol_error *err);

/* The only place where the stream changes: rows first .. first + x.n_rows - 1 of it, by x
 * of the activations' type, or by a float sum of all experts. */
int ol_pass_join(struct ol_pass *p, int64_t first, struct ol_tensor x,
                 struct ol_error *err);

/* Of several streams: what a layer's part, or the head, takes of rows of them becomes
 * hidden. role: of its connection. Nothing where there is one. */
int ol_pass_take(struct ol_pass *p, enum ol_role role, const struct ol_block *block,
                 struct ol_error *err);

/* All that a run needs to go on: the residual stream of all rows. */
struct ol_tensor ol_pass_states(const struct ol_pass *p);

/* normed = norm(hidden), with the weight of that role; hidden as it is where the model
 * has no such norm. */
int ol_pass_norm(struct ol_pass *p, enum ol_role role, const struct ol_block *block,
                 struct ol_error *err);

/* x = norm(x), where the model has a norm of that role: before x joins the stream. */
int ol_pass_norm_after(struct ol_pass *p, enum ol_role role, int layer,
                       struct ol_tensor x, struct ol_error *err);

/* x = round(factor * x), the factor in float. */
int ol_pass_scale(struct ol_pass *p, struct ol_tensor x, double factor,
                  struct ol_error *err);
/* As loading a model in the activations' type rounds. */
double ol_pass_rounded(const struct ol_pass *p, double x);

/* The stream by its layer's scale, where the model has one. */
int ol_pass_scale_layer(struct ol_pass *p, int layer, struct ol_error *err);

/* The stream has changed in all rows: what arms make of theirs. */
int ol_pass_intervene(struct ol_pass *p, struct ol_error *err);

/* x = the embeddings of x.n_rows ids as they become the stream. */
int ol_pass_embed_ids(struct ol_pass *p, const int32_t *ids, struct ol_tensor x,
                      struct ol_error *err);

/* ---- pieces of the pass that have a file each ---- */

/* The stream before the first layer that is left to do (embed.c). */
int ol_pass_embed(struct ol_pass *p, struct ol_error *err);
/* What layers get besides the stream; and what a layer takes of its own joins the stream
 * (layer_inputs.c). Nothing where there is no such thing. */
int ol_pass_make_inputs(struct ol_pass *p, struct ol_error *err);
int ol_pass_take_input(struct ol_pass *p, int layer, struct ol_error *err);
/* A layer's MLP joins the stream (dense.c; moe.c, after its router has chosen). */
int ol_pass_dense_mlp(struct ol_pass *p, int layer, struct ol_error *err);
int ol_pass_route(struct ol_pass *p, int layer, struct ol_error *err);
int ol_pass_moe_mlp(struct ol_pass *p, int layer, struct ol_error *err);
/* The likelihoods after the last layer are shown (head.c). */
int ol_pass_head(struct ol_pass *p, struct ol_error *err);

/* The share of a layer's work that is done. */
void ol_pass_progress(const struct ol_pass *p, int layer, double operations);

#endif
