/* The block "generators" of the results (ol-results.5). */
#ifndef OL_RESULTS_GENERATORS_H
#define OL_RESULTS_GENERATORS_H

#include "common/results/field.h"
#include "common/results/shared.h"

/* clang-format off */
#define OL_GENERATOR_COLUMN_FIELDS(F) \
    F(COUNT, column, 0, "")           \
    F(SIZE, largest, OL_NULL, "magnitude over all tokens; null: not finite")
OL_STRUCT(ol_generator_column, OL_GENERATOR_COLUMN_FIELDS, "")

#define OL_GENERATOR_FIELDS(F)                                                        \
    F(MEMBERS(ol_named_component), who, 0, "")                                        \
    F(ORDINAL, n_tokens, 0, "")                                                       \
    F(SIZE, largest, OL_NULL, "magnitude; null: not finite")                          \
    F(REAL, share_of_median, OL_NULL, "largest, of the median of all units' largest") \
    F(REAL, maximum, OL_NULL, "")                                                     \
    F(REAL, minimum, OL_NULL, "")                                                     \
    F(MEMBERS(ol_token_place), at, 0, "where the largest is")                         \
    F(SIZE, rms, OL_NULL, "")                                                         \
    F(REAL, kurtosis, OL_NULL, "of all values together")                              \
    F(REAL, kurtosis_token_median, OL_NULL,                                           \
      "median over the sampled rows of the kurtosis over columns")                    \
    F(LIST(ol_generator_column), columns, OL_AT_MOST(4), "of the largest magnitudes")
OL_STRUCT(ol_generator, OL_GENERATOR_FIELDS, "What goes into a unit's down projection")

#define OL_GENERATOR_LAYER_FIELDS(F)                              \
    F(COUNT, layer, 0, "")                                        \
    F(SIZES(1), largest, OL_NULLS, "[unit]; null without tokens") \
    F(REALS(1), kurtosis, OL_NULLS, "[unit]")
OL_STRUCT(ol_generator_layer, OL_GENERATOR_LAYER_FIELDS, "")

#define OL_GENERATORS_FIELDS(F)                                                       \
    F(ORDINAL, n_units, 0, "experts, shared experts and dense MLPs that have tokens") \
    F(SIZE, median_largest, OL_NULL, "of all of them")                                \
    F(REAL, median_kurtosis, OL_NULL, "")                                             \
    F(LIST(ol_generator_layer), layers, 0, "")                                        \
    F(LIST(ol_generator), units, OL_AT_MOST(32), "by falling largest")
OL_STRUCT(ol_generators, OL_GENERATORS_FIELDS,
          "What goes into the down projections, where massive activations are made")
/* clang-format on */

#endif
