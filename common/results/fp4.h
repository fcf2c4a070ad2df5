/* The block "fp4" of the results (ol-results.5). */
#ifndef OL_RESULTS_FP4_H
#define OL_RESULTS_FP4_H

#include "common/results/field.h"
#include "common/results/shared.h"

/* clang-format off */
#define OL_KIND_PLACE OL_KIND_WORD("ln_attn|ln_mlp|down")
#define OL_MEMBER_PLACE const char *

#define OL_FP4_METHOD_FIELDS(F)                                                     \
    F(TEXT, format, 0, "")                                                          \
    F(TEXT, rotation, 0, "")                                                        \
    F(ORDINAL, rank, OL_NULL, "by median; null: nothing is known")                  \
    F(SIZE, median, OL_NULL, "of the errors of all places")                         \
    F(SIZE, worst, OL_NULL, "of these errors, the largest")                         \
    F(COUNT, n_best, 0, "places at which no other method has a smaller error")      \
    F(COUNT, n_worse, OL_NULL,                                                      \
      "places at which the rotation makes the format worse; null: there is none")
OL_STRUCT(ol_fp4_method, OL_FP4_METHOD_FIELDS, "A format with a rotation")

#define OL_FP4_PLACE_FIELDS(F)                                                      \
    F(COUNT, layer, 0, "")                                                          \
    F(PLACE, site, 0, "down: what goes into the down projections of all its units") \
    F(TEXT, attention, 0, "the layer's kind: full, sliding, chunked, linear")       \
    F(COUNT, n_rows, 0, "of the sample")                                            \
    F(SIZES(1), error, OL_NULLS OL_PER("methods"), "by method")                     \
    F(SIZES(1), token_median, OL_NULLS OL_PER("methods"), "by method")
OL_STRUCT(ol_fp4_place, OL_FP4_PLACE_FIELDS, "")

#define OL_FP4_RANK_FIELDS(F)                    \
    F(TEXT, format, 0, "") \
    F(TEXT, rotation, 0, "") \
    F(COUNT, layer, 0, "")                       \
    F(PLACE, site, 0, "")                        \
    F(SIZE, error, 0, "")
OL_STRUCT(ol_fp4_rank, OL_FP4_RANK_FIELDS, "")

#define OL_FP4_UNIT_FIELDS(F)                                 \
    F(TEXT, format, 0, "") \
    F(TEXT, rotation, 0, "") \
    F(MEMBERS(ol_named_component), who, 0, "")                \
    F(ORDINAL, n_tokens, 0, "of the run")                     \
    F(SIZE, error, 0, "")
OL_STRUCT(ol_fp4_unit, OL_FP4_UNIT_FIELDS, "What goes into a unit's down projection")

#define OL_FP4_KIND_FIELDS(F)                                                 \
    F(TEXT, attention, 0, "")                                                 \
    F(PLACE, site, 0, "")                                                     \
    F(ORDINAL, n_layers, 0, "")                                               \
    F(SIZES(1), median, OL_NULLS OL_PER("methods"), "of these layers' errors")
OL_STRUCT(ol_fp4_kind, OL_FP4_KIND_FIELDS, "Layers of one kind of attention")

#define OL_FP4_FIELDS(F)                                                         \
    F(COUNT, sample_tokens, OL_NULL, "at ln_attn and ln_mlp; null without tensors") \
    F(LIST(ol_fp4_method), methods, 0, "")                                       \
    F(LIST(ol_fp4_place), places, 0, "")                                         \
    F(LIST(ol_fp4_kind), kinds, 0, "")                                           \
    F(LIST(ol_fp4_rank), ranking, 0, "8 places by each method, the worst first") \
    F(LIST(ol_fp4_unit), units, 0, "8 units by each method, the worst first")
OL_STRUCT(ol_fp4_block, OL_FP4_FIELDS,
          "What four-bit formats with scales by block would do, with and without rotations")
/* clang-format on */

#endif
