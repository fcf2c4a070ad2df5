/* The block "residual_streams" of the results (ol-results.5). */
#ifndef OL_RESULTS_RESIDUAL_STREAMS_H
#define OL_RESULTS_RESIDUAL_STREAMS_H

#include "common/results/shared.h"

/* clang-format off */
#define OL_STREAM_VALUES_FIELDS(F)                                                  \
    F(COUNT, stream, 0, "")                                                         \
    F(SIZE, rms, OL_NULL, "")                                                       \
    F(SIZE, largest, OL_NULL, "magnitude")                                          \
    F(SIZE, jump, OL_NULL, "largest over that after the recorded layer before")     \
    F(REAL, maximum, OL_NULL, "")                                                   \
    F(COUNT, maximum_feature, OL_NULL, "")                                          \
    F(COUNT, maximum_sequence, OL_NULL, "")                                         \
    F(COUNT, maximum_position, OL_NULL, "")                                         \
    F(REAL, minimum, OL_NULL, "")                                                   \
    F(COUNT, minimum_feature, OL_NULL, "")                                          \
    F(COUNT, minimum_sequence, OL_NULL, "")                                         \
    F(COUNT, minimum_position, OL_NULL, "")
OL_STRUCT(ol_stream_values, OL_STREAM_VALUES_FIELDS, "")

#define OL_STREAMS_LAYER_FIELDS(F)                                                   \
    F(COUNT, layer, 0, "after which")                                               \
    F(SIZE, rms, OL_NULL, "over all streams")                                       \
    F(SIZE, largest, OL_NULL, "magnitude, over all streams")                        \
    F(LIST(ol_stream_values), streams, 0, "")
OL_STRUCT(ol_streams_layer, OL_STREAMS_LAYER_FIELDS, "")

#define OL_STREAM_PEAK_FIELDS(F)                                                    \
    F(COUNT, stream, 0, "")                                                         \
    F(REAL, value, OL_NULL, "of its largest magnitude; null: infinite, or no number") \
    F(COUNT, layer, OL_NULL, "after which")                                         \
    F(COUNT, feature, OL_NULL, "")                                                  \
    F(MEMBERS(ol_token_place), at, 0, "")                                           \
    F(SIZE, jump, OL_NULL, "its largest")                                           \
    F(COUNT, jump_since, OL_NULL, "layer")                                          \
    F(COUNT, jump_layer, OL_NULL, "")
OL_STRUCT(ol_stream_peak, OL_STREAM_PEAK_FIELDS, "One stream, over all layers")

#define OL_RESIDUAL_STREAMS_FIELDS(F)                                               \
    F(COUNT, n_streams, 0, "")                                                      \
    F(LIST(ol_stream_peak), streams, 0, "the largest first")                        \
    F(LIST(ol_streams_layer), layers, 0, "")
OL_STRUCT(ol_residual_streams, OL_RESIDUAL_STREAMS_FIELDS,
          "Each of several residual streams after each layer")
/* clang-format on */

#endif
