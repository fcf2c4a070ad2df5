/* The points that the forward pass goes by, and the observers that look on. The
 * arithmetic names a point; who wants to see it is decided once, before the run. */
#ifndef OL_TAP_H
#define OL_TAP_H

#include "extract/backend.h"

/* In the order of a layer. */
enum ol_point {
    OL_POINT_RESIDUAL_ATTN, /* the stream before the norm before attention */
    OL_POINT_LN_ATTN,       /* that norm's output */
    OL_POINT_QUERY_LATENT,  /* what goes into q_b, where queries have a latent */
    OL_POINT_QUERIES,       /* queries without their rotated part, where keys have one */
    OL_POINT_KEY_LATENT,    /* what goes into kv_b */
    OL_POINT_VALUES,        /* the key latent as every head attends to it: pieces of it */
    OL_POINT_HEADS,         /* what goes into the output projection of the mixer */
    OL_POINT_OUT_LATENT,    /* what goes into its second one, where there are two */
    /* Of the heads of all rows, when the layer is done (mixer.h): */
    OL_POINT_TO_SINK,   /* the share of each query that goes to a learned sink */
    OL_POINT_GATES,     /* the mean of the gate of each head's output */
    OL_POINT_RECEIVED,  /* the mean share that each key has of the queries that see it */
    OL_POINT_ATTENTION, /* what the mixer adds to the stream */
    OL_POINT_RESIDUAL_MLP, /* the stream before the norm before the MLP */
    OL_POINT_LN_MLP,       /* that norm's output */
    OL_POINT_ROUTER_INPUT, /* what a router chooses by, before it does */
    OL_POINT_ROUTER,       /* the experts chosen, and their weights */
    OL_POINT_EXPERT_INPUT, /* what goes into gate and up of routed experts */
    OL_POINT_DOWN_INPUT,   /* what goes into down of components of the MLP */
    OL_POINT_DOWN_OUTPUT,  /* what comes out of it */
    OL_POINT_EXPERTS_SUM,  /* of routed experts, before it goes up from their latent */
    OL_POINT_LAYER_GATE,   /* what goes into the gate of the layer's own input */
    OL_POINT_LAYER_OUT,    /* and into the way from there into the stream */
    OL_POINT_RESIDUAL_OUT, /* the stream after the layer */
    OL_POINT_LIKELIHOOD,   /* of tokens; after all layers */
    OL_N_POINTS,
};

/* Some columns of an input that consists of n pieces (one per head) of equal width: width
 * columns of each from first on. In the tensor, whose width is that of n pieces too, they
 * stand at the beginning of each piece; what is behind them is left out. */
struct ol_pieces {
    int n;
    int64_t first, width;
};

/* What is seen at a point. All borrowed, and valid during the call, but x of
 * RESIDUAL_ATTN, LN_ATTN, RESIDUAL_MLP and LN_MLP until ol_taps_settle(). */
struct ol_view {
    enum ol_point point;
    int layer; /* n_layers at LIKELIHOOD */
    /* Of an ablation (arms.h), counted from 1, which are seen at LN_ATTN, LN_MLP and
     * LIKELIHOOD alone; 0: the baseline. */
    int arm;
    /* Rows `first` to first + x.n_rows - 1, counted from the first of this pass and arm:
     * whole sequences of lengths[0], lengths[1], ... tokens. */
    int64_t first, first_sequence;
    const int32_t *lengths;
    const struct ol_component_rows *components; /* EXPERT_INPUT, DOWN_*: whose rows */
    const struct ol_pieces *pieces;             /* VALUES */
    struct ol_tensor x;                         /* none at ROUTER and LIKELIHOOD */
    /* ATTENTION: after x was added; RESIDUAL_OUT: x, or all streams of it, side by side
     */
    struct ol_tensor stream;
    const uint16_t *ids; /* ROUTER: [n_rows, top_k] */
    const float *values; /* ROUTER: weights [n_rows, top_k]; LIKELIHOOD: [n_rows] */
};

struct ol_taps; /* observer.h makes them */

/* Whether anybody wants to see that point of that layer. */
bool ol_taps_want(const struct ol_taps *taps, int layer, enum ol_point point);

/* Tell those who want to see it. */
int ol_tap(struct ol_taps *taps, const struct ol_view *view, struct ol_error *err);

/* What was seen and has to stay until then is about to change. */
int ol_taps_settle(struct ol_taps *taps, struct ol_error *err);

/* A layer begins; it ends with `stream`, as far as that was computed. What observers left
 * on a device (backend.h) begins to come then, and is handed over at the next settle. */
int ol_taps_begin_layer(struct ol_taps *taps, int layer, struct ol_error *err);
int ol_taps_end_layer(struct ol_taps *taps, int layer, struct ol_tensor stream,
                      struct ol_error *err);

#endif
