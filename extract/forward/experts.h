/* The routed experts of a MoE layer: rows are sorted by expert, each expert multiplies
 * all its rows at once, and the weighted outputs are summed per row. Experts without rows
 * are not read, but where the layer before lets expect that there are none. */
#ifndef OL_EXPERTS_H
#define OL_EXPERTS_H

#include "extract/backend.h"
#include "extract/forward/tap.h"
#include "extract/weights/layer_weights.h"

struct ol_experts;

struct ol_experts_context {
    /* All borrowed. */
    const struct ol_spec *spec; /* with experts */
    struct ol_backend *backend;
    struct ol_layer_weights weights;
    const int32_t *ids;      /* [n_rows] tokens */
    int64_t n_rows;          /* of all sequences, */
    int64_t n_baseline_rows; /* of which the first are shown, others are of arms */
    int64_t group_rows;      /* pairs that pass the experts at a time: all, or at least
                                OL_PRODUCT_ROWS */
    int64_t weight_bytes; /* of experts that are waited for together; at least one is */
    struct ol_taps *taps;
    /* Called as work is done, with the share of ol_experts_run that it was. */
    void (*progress)(void *arg, int layer, double share);
    void *arg;
};

/* Bytes of the buffers that depend on group_rows, for n_rows rows and activations of
 * `size` bytes. */
int64_t ol_experts_buffer_bytes(const struct ol_spec *spec, int64_t group_rows,
                                int64_t n_rows, int64_t size);

/* The most that a backend leaves of the choice for so many rows, until it is waited for.
 */
int64_t ol_experts_result_bytes(const struct ol_spec *spec, int64_t n_rows);

/* Buffers for all layers. NULL on failure. */
struct ol_experts *ol_experts_new(const struct ol_experts_context *context,
                                  struct ol_error *err);
void ol_experts_free(struct ol_experts *x); /* NULL is fine */

/* Queue the weights of all experts of a layer that is to be routed later, so that the
 * disk has work while what comes before the experts is computed; where rows are so few
 * that some experts may well stay without one, or unless the layer routed last left
 * hardly one without, nothing. What is not chosen then is given back by ol_experts_run.
 */
void ol_experts_expect(struct ol_experts *x, int layer);

/* Whether it queued them. */
bool ol_experts_expected(const struct ol_experts *x, int layer);

/* Have the backend send the weights of experts that are expected, as far as they are
 * here: while it computes what comes before them. Goes on where it stopped. */
int ol_experts_send_expected(struct ol_experts *x, int layer, struct ol_error *err);

/* Choose the experts of every row of x [n_rows, d_model]; the router's weight must be
 * resident. Then: the choices ids [n_rows, top_k] and weights [n_rows, top_k], borrowed,
 * valid until the next call; weights may be changed before _run. */
int ol_experts_route(struct ol_experts *x, int layer, struct ol_tensor input,
                     struct ol_error *err);
const uint16_t *ol_experts_ids(const struct ol_experts *x);
float *ol_experts_weights(const struct ol_experts *x);

/* Queue the weights of the experts chosen by the last ol_experts_route. */
int ol_experts_prefetch(struct ol_experts *x, int layer, struct ol_error *err);

/* What goes into experts: the same, unless routed ones have a norm of their own. */
struct ol_experts_input {
    struct ol_tensor routed, shared; /* [n_rows, d_model] */
};

/* *sum [n_rows, d_model] float, borrowed until the next call: the sum over chosen
 * experts, in rising order, of weight * expert(input), and the shared expert's output;
 * each behind its norm, where the model has one; where experts have a latent, theirs
 * behind the way up from it. After _route and _prefetch. */
int ol_experts_run(struct ol_experts *x, int layer, const struct ol_experts_input *input,
                   struct ol_tensor *sum, struct ol_error *err);

#endif
