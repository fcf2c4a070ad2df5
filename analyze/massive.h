/* Massive activations (arXiv 2402.17762; 2503.22329): few values of the stream that are
 * thousands of times as large as most. Found among each token's largest values after each
 * layer (top_features and writes of ol-activations.5). */
#ifndef OL_ANALYZE_MASSIVE_H
#define OL_ANALYZE_MASSIVE_H

#include "analyze/parts.h"
#include "common/tally.h"

struct ol_massive_criterion {
    double min_magnitude; /* more than that, */
    double min_ratio;     /* and at least so many times the layer's median magnitude */
};
extern const struct ol_massive_criterion ol_massive_default;

/* The stream after a layer. */
struct ol_massive_layer {
    int i_layer, number;
    double median; /* of the magnitudes of the finite values; NaN: there is none */
    /* The largest magnitude among all tokens' and where it is first; feature -1: none. */
    double max;
    int feature;
    int64_t sequence, position;
    int64_t n_values, n_tokens; /* massive values, and tokens with one */
    /* Finite magnitudes of the tokens' first .. fourth largest. */
    double sums[OL_TOP_FEATURES];
    int64_t n_summed[OL_TOP_FEATURES];
};

struct ol_massive_feature {
    int feature;
    int64_t n_values, at_first_token;
    int n_layers, first_layer, last_layer; /* numbers in the model */
    double max;
};

struct ol_massive {
    struct ol_massive_criterion criterion;
    int n_layers;
    struct ol_massive_layer *layers; /* [n_layers] */
    int n_features;
    struct ol_massive_feature *features; /* [n_features] with a massive value, by falling
                                            maximum, then by number */
    struct ol_tally tokens;              /* massive values by token id */
};

/* Whether a layer has the tables that this reads. */
bool ol_massive_recorded(const struct ol_activation_layer *layer);

/* False, with *m cleared: no layer has. */
bool ol_massive_find(const struct ol_parts *parts,
                     const struct ol_massive_criterion *criterion, struct ol_massive *m);
/* marks[sequence][position] = 1 where a token has a massive value after any layer; others
 * are left as they are. */
void ol_massive_mark(const struct ol_parts *parts, const struct ol_massive *m,
                     uint8_t **marks);
void ol_massive_clear(struct ol_massive *m);

#endif
