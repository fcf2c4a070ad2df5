/* The block "head_outputs" of the results (ol-results.5). */
#ifndef OL_RESULTS_HEAD_OUTPUTS_H
#define OL_RESULTS_HEAD_OUTPUTS_H

#include "common/results/shared.h"

/* clang-format off */
#define OL_HEAD_OUTPUT_FIELDS(F)                                                 \
    F(COUNT, head, 0, "")                                                        \
    F(SIZE, rms, OL_NULL, "")                                                    \
    F(SIZE, largest, OL_NULL, "magnitude")                                       \
    F(REAL, maximum, OL_NULL, "")                                                \
    F(REAL, minimum, OL_NULL, "")
OL_STRUCT(ol_head_output, OL_HEAD_OUTPUT_FIELDS, "")

#define OL_HEAD_OUTPUT_LAYER_FIELDS(F)                        \
    F(COUNT, layer, 0, "")                                    \
    F(TEXT, attention, 0, "full, sliding, chunked, linear, mamba") \
    F(COUNT, width, 0, "values of a head and token")          \
    F(SIZE, rms, OL_NULL, "over all heads")                   \
    F(SIZE, largest, OL_NULL, "magnitude, over all heads")    \
    F(LIST(ol_head_output), heads, 0, "")
OL_STRUCT(ol_head_output_layer, OL_HEAD_OUTPUT_LAYER_FIELDS, "")

#define OL_HEAD_EXTREME_FIELDS(F)                                     \
    F(COUNT, layer, 0, "")                                            \
    F(COUNT, head, 0, "")                                             \
    F(REAL, value, OL_NULL, "of the largest magnitude; null: infinite") \
    F(REAL, share_of_median, OL_NULL, "its magnitude, of median_largest") \
    F(REAL, over_rms, OL_NULL, "its magnitude over the head's rms")   \
    F(MEMBERS(ol_token_place), at, 0, "")
OL_STRUCT(ol_head_extreme, OL_HEAD_EXTREME_FIELDS, "")

#define OL_HEAD_OUTPUTS_FIELDS(F)                                          \
    F(COUNT, n_heads, 0, "(layer, head) pairs")                            \
    F(SIZE, median_rms, OL_NULL, "over them")                              \
    F(SIZE, median_largest, OL_NULL, "over them")                          \
    F(LIST(ol_head_output_layer), layers, 0, "")                           \
    F(LIST(ol_head_extreme), extremes, OL_AT_MOST(32), "the largest first")
OL_STRUCT(ol_head_outputs, OL_HEAD_OUTPUTS_FIELDS,
          "What heads of mixers put out, before the output projection")
/* clang-format on */

#endif
