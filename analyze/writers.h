/* Who writes into dimensions of the stream: what attention and each unit of the MLP added
 * to chosen features, summed over the (token, layer) pairs where the feature is among the
 * token's largest values (writes of ol-activations.5). */
#ifndef OL_ANALYZE_WRITERS_H
#define OL_ANALYZE_WRITERS_H

#include "analyze/parts.h"
#include "common/tally.h"

struct ol_writer_sum {
    int i_layer, unit; /* unit: OL_UNIT_ATTENTION or a number in the layer */
    int64_t n;         /* writes that are known */
    double sum;
    double share; /* |sum| of the |sums| of all the feature's writers; NaN: all are 0 */
};

struct ol_written {
    int feature;
    int64_t n_values;       /* (token, layer) pairs */
    double max_magnitude;   /* NaN where there is none */
    struct ol_tally tokens; /* values by token id */
    int n_writers;
    struct ol_writer_sum *writers; /* [n_writers], by falling share, then in the order of
                                      the model with attention before the MLP */
};

/* Mean magnitudes of what a layer's attention and its MLP as a whole wrote into the
 * tokens' largest dimension; NaN: not known of any token. */
struct ol_writers_layer {
    int i_layer;
    double attention, mlp;
};

struct ol_writers {
    int n_features;
    struct ol_written *features; /* [n_features], in the order asked for */
    int n_layers;
    struct ol_writers_layer *layers; /* [n_layers] */
    int64_t n_writes, n_unknown;     /* into the features; not known or not finite */
};

/* features [n], distinct. Layers without such tables are left out. Clear it. */
void ol_writers_find(const struct ol_parts *parts, const int *features, int n,
                     struct ol_writers *w);
void ol_writers_clear(struct ol_writers *w);

#endif
