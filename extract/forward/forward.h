/* The forward pass of any model that a spec describes, layer-major: all tokens pass one
 * layer before any passes the next, so that each weight is read once. */
#ifndef OL_FORWARD_H
#define OL_FORWARD_H

#include "extract/backend.h"
#include "extract/forward/arms.h"
#include "extract/forward/tap.h"
#include "extract/weights/stream.h"

/* How large the buffers are that a pass makes for itself. */
struct ol_forward_buffers {
    int64_t block_rows;   /* rows of the mixers' buffers: whole sequences */
    int64_t dense_rows;   /* rows of a dense MLP's buffers */
    int64_t group_rows;   /* (row, expert) pairs that pass the experts at a time */
    int64_t weight_bytes; /* of the checkpoint, read ahead of their use */
    /* That a backend leaves on its device at a time (backend.h), for a pass of its own.
     */
    int64_t result_bytes;
};

struct ol_forward_input {
    /* All borrowed. */
    const struct ol_spec *spec;
    const struct ol_weights *weights;
    struct ol_backend *backend;
    struct ol_stream *stream;
    struct ol_taps *taps;
    const struct ol_arms *arms; /* arms->n 0: none */
    const struct ol_forward_buffers *buffers;
    /* Those of the arms among them, which follow those of the baseline. */
    int64_t n_sequences;
    const int32_t *lengths; /* [n_sequences], each >= 1 */
    /* Ids of all sequences one after another, without padding, all below vocab_size. */
    const int32_t *ids;
    /* How far it goes: to that layer, with what comes after its router or without it; or
     * on to the likelihoods. */
    int last_layer;
    bool last_whole, likelihood;
    /* Go on after layer `done` (-1: from the embedding) with `states`, the stream after
     * it: [rows, d_model] in the backend's dtype. */
    int done;
    const void *states;
    int user; /* of the stream */
    /* Passes on other devices use the same weights: wait until all are here. NULL: there
     * is none. */
    int (*meet)(void *arg, struct ol_error *err);
    /* Called as work is done, with the operations (cost.h) that it was. */
    void (*progress)(void *arg, int layer, double operations);
    void *arg;
};

/* Bytes of what layers get besides the stream, for that many rows, in buffers of
 * block_rows, `size` bytes to a value. */
int64_t ol_forward_input_bytes(const struct ol_spec *spec, int64_t n_rows,
                               int64_t block_rows, int64_t size);

/* Operations of the whole run and of the part up to and with layer `done`. */
void ol_forward_cost(const struct ol_forward_input *in, double *total, double *skipped);

/* Run it. Returns when the taps were told of everything. */
int ol_forward_run(const struct ol_forward_input *in, struct ol_error *err);

#endif
