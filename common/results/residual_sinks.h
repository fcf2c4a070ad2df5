/* The block "residual_sinks" of the results (ol-results.5). */
#ifndef OL_RESULTS_RESIDUAL_SINKS_H
#define OL_RESULTS_RESIDUAL_SINKS_H

#include "common/results/field.h"

/* clang-format off */
#define OL_SINK_AFTER_FIELDS(F)                                                         \
    F(COUNT, layer, 0, "")                                                              \
    F(SHARE, share, OL_NULL, "of the other tokens: known to be large")                  \
    F(SHARE, share_at_most, OL_NULL, "of them: large, or not known")                    \
    F(SHARE, first_share, OL_NULL, "of the first tokens: known to be large")            \
    F(REAL, mean, OL_NULL, "but for first tokens with it among their largest")          \
    F(SIZE, rms, OL_NULL, "over the same tokens")                                       \
    F(SIZE, ratio, OL_NULL, "of rms to the layer's median")                             \
    F(COUNT, n_massive, 0, "tokens where it is massive")
OL_STRUCT(ol_sink_after, OL_SINK_AFTER_FIELDS, "A dimension after a layer")

#define OL_SINK_DIMENSION_FIELDS(F)                                                     \
    F(COUNT, feature, 0, "")                                                            \
    F(WORD("sink|massive|both"), kind, 0, "")                                           \
    F(COUNT, n_layers, 0, "after which it is a sink")                                   \
    F(COUNT, first_layer, OL_NULL, "")                                                  \
    F(COUNT, last_layer, OL_NULL, "")                                                   \
    F(COUNT, layer, OL_NULL, "of the largest ratio where it is a sink; else of any")    \
    F(REAL, ratio, OL_NULL, "there")                                                    \
    F(REAL, mean, OL_NULL, "there")                                                     \
    F(SHARE, share, OL_NULL, "there")                                                   \
    F(SHARE, first_share, OL_NULL, "there")                                             \
    F(COUNT, massive_tokens, 0, "with a massive value after any layer")                 \
    F(REAL, max_magnitude, OL_NULL, "null: infinite")                                   \
    F(LIST(ol_sink_after), layers, 0, "")
OL_STRUCT(ol_sink_dimension, OL_SINK_DIMENSION_FIELDS, "")

#define OL_RESIDUAL_SINKS_FIELDS(F)                                                     \
    F(REAL, min_ratio, 0, "of a large value to the layer's median")                     \
    F(REAL, min_share, 0, "of the other tokens")                                        \
    F(COUNT, n_first, 0, "first tokens of their sequences")                             \
    F(COUNT, n_others, 0, "other tokens")                                               \
    F(COUNT, n_sinks, 0, "")                                                            \
    F(COUNT, n_massive, 0, "")                                                          \
    F(COUNT, n_both, 0, "")                                                             \
    F(LIST(ol_sink_dimension), features, 0, "")
OL_STRUCT(ol_residual_sinks, OL_RESIDUAL_SINKS_FIELDS,
          "Dimensions of the stream that are large on most tokens, and massive ones")
/* clang-format on */

#endif
