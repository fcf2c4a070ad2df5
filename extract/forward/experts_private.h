/* What the experts of a pass hold. Only experts.c and the files beside it that begin with
 * its name include this. */
#ifndef OL_EXPERTS_PRIVATE_H
#define OL_EXPERTS_PRIVATE_H

#include "extract/forward/expert_groups.h"
#include "extract/forward/experts.h"

struct ol_experts {
    struct ol_experts_context c;
    const struct ol_backend_operations *op;
    uint16_t *ids;  /* [n_rows, top_k] */
    float *weights; /* [n_rows, top_k] */
    struct ol_permutation permutation;
    bool permuted; /* with the choice */

    struct ol_tensor sum;      /* [n_rows, d_model] float */
    struct ol_tensor gathered; /* [group_rows, d_model or d_latent] */
    struct ol_tensor gate, up; /* [group_rows, d_expert]; no up without a gate */
    struct ol_tensor down;     /* [group_rows, d_model] */
    /* Where experts have a latent, they have these for down and sum, and what they see.
     */
    struct ol_tensor latent_down; /* [group_rows, d_latent] */
    struct ol_tensor latent_sum;  /* [n_rows, d_latent] float */
    struct ol_tensor latent;      /* [n_rows, d_latent] */
    struct ol_tensor as_float;    /* rows for a router whose weight is float */
    /* Of the shared expert, for some rows at a time. */
    struct ol_tensor shared_gate, shared_up, shared_switch;
    int32_t *all_rows; /* [n_rows]: 0, 1, 2, ... */
    float *scales;     /* [group_rows]: weights in the permutation's order */
    bool uneven;       /* the layer routed last left more than few experts without rows */
    uint8_t *expected; /* [n_layers] */
    int sent_layer, n_sent;     /* of experts that are expected, and not known yet */
    struct ol_matmul *products; /* [2 * n_experts] */

    struct ol_expert_group group; /* that passes the buffers */
};

/* Give back the weights of those that were expected in vain (experts_choice.c). */
void ol_experts_give_back_unchosen(const struct ol_experts *x, int layer);

#endif
