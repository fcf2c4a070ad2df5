/* The forward pass of any model that a spec describes, layer-major: all tokens pass one
 * layer before any passes the next, so that each weight is read once. */
#ifndef OL_FORWARD_H
#define OL_FORWARD_H

#include "extract/backend.h"
#include "extract/run/memory.h"
#include "extract/run/progress.h"
#include "extract/weights/stream.h"
#include "extract/run/writer.h"

struct ol_team;

struct ol_forward_input {
    /* All borrowed. */
    const struct ol_spec *spec;
    const struct ol_weights *weights;
    struct ol_backend *backend;
    struct ol_stream *stream;
    struct ol_writer *writer; /* takes what is recorded */
    const struct ol_memory_plan *memory;
    int64_t n_sequences;
    const int32_t *lengths; /* [n_sequences], each >= 1 */
    /* Ids of all sequences one after another, without padding, all below vocab_size. */
    const int32_t *ids;
    bool keep_states;  /* hand the stream to the writer after every layer */
    bool perplexity;   /* run to the logits and record their nll */
    bool imatrix;      /* sum up the squares of products' inputs */
    bool summary;      /* find out who writes into the stream of recorded layers */
    int last_recorded; /* the last layer that the writer wants */
    /* Go on after layer `done` (-1: from the embedding) with `states`, the stream after
     * it: [rows, d_model] in the backend's dtype. */
    int done;
    const void *states;
    /* One of the parts of a run (team.h): which, and how many rows precede it. */
    struct ol_team *team;
    int part;
    int64_t first_row;
};

/* Operations (cost.h) of the whole run and of the part up to and with layer `done`. */
void ol_forward_cost(const struct ol_forward_input *in, double *total, double *skipped);

/* Run it, or one part of it, whose sequences and states are meant then. Returns when
 * everything was handed to the writer. */
int ol_forward_run(const struct ol_forward_input *in, struct ol_progress *progress,
                   struct ol_error *err);

#endif
