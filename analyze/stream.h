/* What the summaries hold of the stream: the largest dimensions of each token's after
 * each layer, and what was written into them there (top_features and writes of
 * ol-activations.5). */
#ifndef OL_ANALYZE_STREAM_H
#define OL_ANALYZE_STREAM_H

#include "analyze/parts.h"

/* The writer that is no unit of the MLP. */
enum { OL_UNIT_ATTENTION = -1 };

struct ol_stream_layer {
    int i_layer, number; /* index into the layout's layers; number in the model */
    const struct ol_activation_layer *layer;
    int n_slots;   /* of a token: its routed experts, and what is not routed */
    int64_t width; /* values of a row */
};

struct ol_stream {
    const struct ol_parts *parts;
    int64_t d_model, n_experts;
    int n_layers;
    struct ol_stream_layer *layers; /* [n_layers]: those that have the tables */
};

/* Whether a layer has the tables that this reads. */
bool ol_stream_recorded(const struct ol_activation_layer *layer);

/* n_layers is 0 where there are none. Clear it. */
void ol_stream_open(const struct ol_parts *parts, struct ol_stream *s);
void ol_stream_clear(struct ol_stream *s);

/* Dimensions [OL_TOP_FEATURES] of a token after the l-th of the layers, and their rows
 * [OL_TOP_FEATURES][width]: value, what attention added, what each slot of the MLP added.
 * NaN: not known. A dimension of d_model or more is none. */
const uint16_t *ol_stream_features(const struct ol_stream *s, int l, int64_t sequence,
                                   int64_t position);
const float *ol_stream_rows(const struct ol_stream *s, int l, int64_t sequence,
                            int64_t position);

/* One dimension's row; NULL: it is not among the token's largest there. */
const float *ol_stream_row(const struct ol_stream *s, int l, int64_t sequence,
                           int64_t position, int feature);

/* Which unit of the MLP is in a slot, of a token; -1: an expert that the layer has not.
 */
int ol_stream_unit(const struct ol_stream *s, int l, int64_t sequence, int64_t position,
                   int slot);

/* What all slots of the MLP added together; NaN: of one it is not known. */
double ol_stream_mlp(const struct ol_stream *s, int l, const float *row);

/* Whether no layer is missing between the l-th and the one before it, of which there is
 * none when l is 0: then whether it is the model's first. */
bool ol_stream_follows(const struct ol_stream *s, int l);

#endif
