/* Arms of an ablation: the sequences of a run once more, as further rows of every batch,
 * so that each weight is read once for all, and in each arm something is changed on the
 * way: values of the stream, choices of the router. */
#ifndef OL_ARMS_H
#define OL_ARMS_H

#include "extract/backend.h"
#include "extract/model/spec.h"

struct ol_arm; /* intervention.h makes them */

/* None: {0}. */
struct ol_arms {
    int n;
    struct ol_arm **arms; /* [n] */
    /* Sequences of the baseline, which come first; those of every arm follow in the same
     * order. */
    int64_t n_sequences;
};

/* The stream after something has joined it. */
struct ol_arm_stream {
    struct ol_backend *backend;
    struct ol_tensor baseline; /* all its rows */
    struct ol_tensor rows;     /* the arm's, which may be changed */
};

/* What the router of a layer chose for the arm's rows: ids and weights [n_rows, top_k],
 * of which the weights may be changed. */
struct ol_arm_choices {
    int layer, top_k;
    int64_t n_rows;
    const uint16_t *ids;
    float *weights;
};

/* As it was asked for; borrowed. */
const char *ol_arm_text(const struct ol_arm *arm);
/* How many tokens its sequences lack at their beginning. */
int ol_arm_left_out(const struct ol_arm *arm);

int ol_arm_change_stream(const struct ol_arm *arm, const struct ol_arm_stream *s,
                         struct ol_error *err);
void ol_arm_change_choices(const struct ol_arm *arm, const struct ol_arm_choices *c);

#endif
