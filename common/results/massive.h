/* The block "massive" of the results (ol-results.5). */
#ifndef OL_RESULTS_MASSIVE_H
#define OL_RESULTS_MASSIVE_H

#include "common/results/field.h"
#include "common/results/shared.h"

/* clang-format off */
#define OL_MASSIVE_LIMITS_FIELDS(F) \
    F(REAL, min_magnitude, 0, "")   \
    F(REAL, min_ratio, 0, "")       \
    F(REAL, near_ratio, 0, "")
OL_STRUCT(ol_massive_limits, OL_MASSIVE_LIMITS_FIELDS, "")

#define OL_MASSIVE_AFTER_FIELDS(F)                                              \
    F(COUNT, layer, 0, "")                                                      \
    F(REAL, median_magnitude, OL_NULL, "")                                      \
    F(REAL, max_magnitude, OL_NULL, "")                                         \
    F(COUNT, feature, OL_NULL, "")                                              \
    F(MEMBERS(ol_token_place), at, 0, "")                                       \
    F(COUNT, n_values, 0, "")                                                   \
    F(COUNT, n_tokens, 0, "")                                                   \
    F(REALS(1), mean_top, OL_NULLS, "of the tokens' largest to fourth largest") \
    F(REALS(1), mean_top_published, OL_NULLS, "of the sequences'")
OL_STRUCT(ol_massive_after, OL_MASSIVE_AFTER_FIELDS, "")

#define OL_MASSIVE_LIFE_FIELDS(F)                      \
    F(COUNT, layer, 0, "")                             \
    F(REAL, max_magnitude, OL_NULL, "over all tokens") \
    F(REAL, ratio, OL_NULL, "")                        \
    F(COUNT, n_massive, 0, "")                         \
    F(COUNT, n_above, 0, "")                           \
    F(COUNT, n_unknown, 0, "")
OL_STRUCT(ol_massive_life, OL_MASSIVE_LIFE_FIELDS, "")

#define OL_MASSIVE_VALUES_FIELDS(F)                                 \
    F(COUNT, feature, 0, "")                                        \
    F(REAL, max_magnitude, OL_NULL, "null: infinite")               \
    F(COUNT, max_layer, OL_NULL, "")                                \
    F(REAL, max_ratio, OL_NULL, "of a value to its layer's median") \
    F(COUNT, n_values, 0, "")                                       \
    F(COUNT, n_tokens, 0, "")                                       \
    F(COUNT, at_first_token, 0, "of the tokens: at position 0")     \
    F(COUNT, n_layers, 0, "")                                       \
    F(COUNT, first_layer, 0, "")                                    \
    F(COUNT, last_layer, 0, "")
OL_STRUCT(ol_massive_values, OL_MASSIVE_VALUES_FIELDS, "")

#define OL_MASSIVE_DIMENSION_FIELDS(F)                                 \
    F(MEMBERS(ol_massive_values), values, 0, "")                       \
    F(COUNT, above_until, OL_NULL,                                     \
      "last layer after which one of its tokens is known to be above " \
      "min_magnitude")                                                 \
    F(COUNT, above_until_at_most, OL_NULL,                             \
      "last layer after which one of them may be")                     \
    F(LIST(ol_massive_life), layers, 0, "of massive dimensions")
OL_STRUCT(ol_massive_dimension, OL_MASSIVE_DIMENSION_FIELDS, "")

#define OL_MASSIVE_MISS_FIELDS(F)                \
    F(MEMBERS(ol_massive_values), values, 0, "") \
    F(LIST(ol_counted_token), tokens, 0, "")
OL_STRUCT(ol_massive_miss, OL_MASSIVE_MISS_FIELDS, "")

#define OL_MASSIVE_ID_FIELDS(F)              \
    F(MEMBERS(ol_named_token), token, 0, "") \
    F(COUNT, at_first, 0, "")                \
    F(COUNT, elsewhere, 0, "")               \
    F(COUNT, text_at_first, 0, "")           \
    F(COUNT, text_elsewhere, 0, "")
OL_STRUCT(ol_massive_id, OL_MASSIVE_ID_FIELDS, "")

#define OL_MASSIVE_BLOCK_FIELDS(F)                                                \
    F(OBJECT(ol_massive_limits), criterion, 0, "")                                \
    F(LIST(ol_massive_after), layers, 0, "")                                      \
    F(LIST(ol_massive_dimension), features, 0, "")                                \
    F(LIST(ol_massive_miss), near, 0, "near_ratio to min_ratio times the median") \
    F(LIST(ol_massive_id), tokens, 0, "")                                         \
    F(COUNT, onset_layer, OL_NULL, "")                                            \
    F(COUNT, offset_layer, OL_NULL, "")
OL_STRUCT(ol_massive_block, OL_MASSIVE_BLOCK_FIELDS,
          "Massive activations of the residual stream, through their whole life")
/* clang-format on */

#endif
