/* The block "expert_flips" of the results (ol-results.5). */
#ifndef OL_RESULTS_EXPERT_FLIPS_H
#define OL_RESULTS_EXPERT_FLIPS_H

#include "common/results/field.h"

/* clang-format off */
#define OL_FLIP_METHOD_FIELDS(F)                                                      \
    F(TEXT, format, 0, "")                                                            \
    F(SHARE, choices, OL_NULL, "of (token, slot), mean over layers: expert gone")     \
    F(SHARE, slots, OL_NULL, "of (token, slot): another expert in that slot")         \
    F(SHARE, sets, OL_NULL, "of tokens: another set of experts")                      \
    F(COUNT, first_layer, OL_NULL, "the first with another set; null: none")          \
    F(COUNT, begin_layer, OL_NULL, "the first with min_share of sets; null: none")    \
    F(COUNT, worst_layer, OL_NULL, "that of the largest share of sets; null: none")   \
    F(SHARE, worst, OL_NULL, "which is")
OL_STRUCT(ol_flip_method, OL_FLIP_METHOD_FIELDS, "")

#define OL_FLIP_LAYER_FIELDS(F)                                    \
    F(COUNT, layer, 0, "")                                         \
    F(ORDINAL, top_k, 0, "")                                       \
    F(SHARES(1), choices, OL_NULLS OL_PER("methods"), "by method") \
    F(SHARES(1), slots, OL_NULLS OL_PER("methods"), "by method")   \
    F(SHARES(1), sets, OL_NULLS OL_PER("methods"), "by method")
OL_STRUCT(ol_flip_layer, OL_FLIP_LAYER_FIELDS, "")

#define OL_EXPERT_FLIPS_FIELDS(F)                                        \
    F(COUNT, sample_tokens, 0, "rows that were rounded")                 \
    F(COUNT, sample_first, 0, "of which first tokens of their sequence") \
    F(SHARE, min_share, 0, "of sets, where errors begin")                \
    F(LIST(ol_flip_method), methods, 0, "")                              \
    F(LIST(ol_flip_layer), layers, 0, "")
OL_STRUCT(ol_expert_flips, OL_EXPERT_FLIPS_FIELDS,
          "How choices of routers change when their inputs are rounded")
/* clang-format on */

#endif
