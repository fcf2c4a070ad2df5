/* Massive activations (arXiv 2402.17762; 2503.22329): few values of the stream that are
 * thousands of times as large as most. Found among each token's largest values after each
 * layer (stream.h). */
#ifndef OL_ANALYZE_MASSIVE_H
#define OL_ANALYZE_MASSIVE_H

#include "analyze/stream.h"
#include "common/tally.h"

struct ol_massive_criterion {
    double min_magnitude; /* more than that, */
    double min_ratio;     /* and at least so many times the layer's median magnitude; */
    double near_ratio;    /* a near miss: at least that, and less than min_ratio */
};
extern const struct ol_massive_criterion ol_massive_default;

/* The stream after a layer. */
struct ol_massive_layer {
    int number;
    double median; /* of the magnitudes of the finite values; NaN: there is none */
    /* The largest magnitude among all tokens' and where it is first; feature -1: none. */
    double max;
    int feature;
    int64_t sequence, position;
    int64_t n_values, n_tokens; /* massive values, and tokens with one */
    /* Finite magnitudes: of the tokens' first .. fourth largest, and of the sequences'.
     */
    double token_sums[OL_TOP_FEATURES], sequence_sums[OL_TOP_FEATURES];
    int64_t n_in_token_sums[OL_TOP_FEATURES], n_in_sequence_sums[OL_TOP_FEATURES];
};

/* One dimension after one layer. */
struct ol_massive_at {
    double max;        /* magnitude over all tokens; NaN: no number is known */
    int64_t n_massive; /* tokens with a massive value here */
    /* Of the tokens with one after any layer: above min_magnitude, and those of which
     * that is not known, because it is not among their largest, which all are above. */
    int64_t n_above, n_unknown;
};

/* A dimension with massive values, or one with near misses. */
struct ol_massive_feature {
    int feature;
    int64_t n_values, n_tokens;            /* and tokens with one */
    int64_t at_first_token;                /* of the tokens: at position 0 */
    int n_layers, first_layer, last_layer; /* with one; numbers in the model */
    /* The dimension's largest magnitude over all layers and tokens, whatever it is beside
     * the median, and the first layer that has it; of near misses the largest of these.
     */
    double max;
    int max_layer;
    double max_ratio; /* of a massive value, or a near miss, to its layer's median */
    /* Last layer with n_above > 0, and with n_above or n_unknown > 0 where the
     * dimension's maximum is above min_magnitude; -1: none. */
    int above_until, above_until_at_most;
    struct ol_massive_at *layers; /* [n_layers of the whole], NULL for near misses */
    struct ol_tally tokens;       /* its tokens by id */
};

/* Tokens of one id. */
struct ol_massive_token {
    int32_t id;
    int64_t at_first, elsewhere; /* with a massive value: at position 0 or not */
    int64_t text_at_first, text_elsewhere; /* in the text */
};

struct ol_massive {
    struct ol_massive_criterion criterion;
    struct ol_stream stream;
    struct ol_massive_layer *layers; /* [stream.n_layers] */
    double *maxima; /* [stream.n_layers][d_model]: of magnitudes over all tokens; NaN */
    int n_features;
    struct ol_massive_feature *features; /* [n_features], by falling maximum, then by
                                            number */
    int n_near;
    struct ol_massive_feature *near; /* [n_near], in the same order */
    size_t n_ids;
    struct ol_massive_token *tokens; /* [n_ids]: ids with a massive value, most tokens
                                        first, then by id */
};

/* NaN is not massive, infinity is. */
bool ol_massive_is(const struct ol_massive *m, int l, double magnitude);

/* False, with *m cleared: no layer has the tables. */
bool ol_massive_find(const struct ol_parts *parts,
                     const struct ol_massive_criterion *criterion, struct ol_massive *m);

/* A dimension's largest magnitude over all layers and tokens, and (NULL: not asked for)
 * the first of the stream's layers that has it; NaN and -1: no number is known. */
double ol_massive_maximum(const struct ol_massive *m, int feature, int *l);

/* marks[sequence][position] = 1 where a token has a massive value after any layer; others
 * are left as they are. */
void ol_massive_mark(const struct ol_massive *m, uint8_t **marks);
void ol_massive_clear(struct ol_massive *m);

#endif
