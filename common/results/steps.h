/* The block "steps" of the results (ol-results.5). */
#ifndef OL_RESULTS_STEPS_H
#define OL_RESULTS_STEPS_H

#include "common/results/attribution.h"

/* clang-format off */
#define OL_STEP_UNIT_FIELDS(F)                                                      \
    F(MEMBERS(ol_named_component), who, 0, "")                                      \
    F(REAL, output, OL_NULL, "its largest, which is in this dimension")             \
    F(MEMBERS(ol_token_place), at, 0, "")
OL_STRUCT(ol_step_unit, OL_STEP_UNIT_FIELDS,
          "A unit whose largest output is in the dimension, on a token of it")

#define OL_STEP_FIELDS(F)                                                           \
    F(COUNT, layer, 0, "")                                                          \
    F(TEXT, attention, OL_NULL, "the layer's kind: full, linear, mamba, none, ...") \
    F(WORD("up|down"), direction, 0, "")                                            \
    F(REAL, sum, OL_NULL, "along the sign; with n_bounded: at least")               \
    F(REAL, share, OL_NULL, "of magnitude")                                         \
    F(COUNT, n_tokens, 0, "for which it is known")                                  \
    F(COUNT, n_bounded, 0, "for which its least is known")                          \
    F(LIST(ol_stream_writer), by, 0, "in the step's direction, the largest first")  \
    F(LIST(ol_step_unit), units, 0, "where writes are not known")                   \
    F(REAL, unknown, OL_NULL, "sum less all known writes of the layer")
OL_STRUCT(ol_step, OL_STEP_FIELDS, "A layer that raises or lowers a massive dimension")

#define OL_STEP_LAYER_FIELDS(F)                                                     \
    F(COUNT, layer, 0, "")                                                          \
    F(REAL, value, OL_NULL, "mean after it, along the sign, of the tokens known")   \
    F(COUNT, n_known, 0, "")                                                        \
    F(REAL, most_of_others, OL_NULL, "mean of the most that |x| may be on others")  \
    F(REAL, change, OL_NULL, "mean, of n_changed tokens")                           \
    F(COUNT, n_changed, 0, "")
OL_STRUCT(ol_step_layer, OL_STEP_LAYER_FIELDS, "")

#define OL_STEP_FEATURE_FIELDS(F)                                                   \
    F(COUNT, feature, 0, "")                                                        \
    F(WORD("+|-|both"), sign, OL_NULL, "")                                          \
    F(REAL, max_magnitude, OL_NULL, "null: infinite")                               \
    F(COUNT, n_tokens, 0, "")                                                       \
    F(COUNT, at_first_token, 0, "")                                                 \
    F(COUNT, n_values, 0, "peaks in the sums")                                      \
    F(SIZE, magnitude, OL_NULL, "sum of |x| at the peaks")                          \
    F(COUNT, first_layer, OL_NULL, "after which it is massive")                     \
    F(COUNT, last_layer, OL_NULL, "")                                               \
    F(COUNT, up_layer, OL_NULL, "of the largest step up")                           \
    F(COUNT, down_layer, OL_NULL, "of the largest step down")                       \
    F(REAL, left, OL_NULL, "share of magnitude after the last layer, as known")     \
    F(REAL, left_at_most, OL_NULL, "and with the most that others may have")        \
    F(LIST(ol_step), steps, 0, "in the order of layers")                            \
    F(LIST(ol_step_layer), layers, 0, "")
OL_STRUCT(ol_step_feature, OL_STEP_FEATURE_FIELDS, "")

#define OL_STEPS_FIELDS(F)                                                          \
    F(REAL, min_share, 0, "of magnitude: a step")                                   \
    F(COUNT, n_features, 0, "massive dimensions")                                   \
    F(LIST(ol_step_feature), features, 0, "the largest first")
OL_STRUCT(ol_steps, OL_STEPS_FIELDS,
          "Where massive dimensions rise and fall, and by which component")
/* clang-format on */

#endif
