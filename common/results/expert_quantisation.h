/* The block "expert_quantisation" of the results (ol-results.5). */
#ifndef OL_RESULTS_EXPERT_QUANTISATION_H
#define OL_RESULTS_EXPERT_QUANTISATION_H

#include "common/results/field.h"

/* clang-format off */
#define OL_QUANTISED_EXPERTS_FIELDS(F)                                            \
    F(COUNT, layer, 0, "")                                                        \
    F(COUNTS(1), n_tokens, 0 OL_PER("n_experts"), "of each expert in the sample") \
    F(SIZES(2), error, OL_NULLS OL_PER("methods x n_experts"), "[method][expert]; null without tokens")
OL_STRUCT(ol_quantised_experts, OL_QUANTISED_EXPERTS_FIELDS, "")

#define OL_EXPERT_RANK_FIELDS(F) \
    F(TEXT, method, 0, "")       \
    F(COUNT, layer, 0, "")       \
    F(COUNT, expert, 0, "")      \
    F(ORDINAL, n_tokens, 0, "")  \
    F(SIZE, error, 0, "")
OL_STRUCT(ol_expert_rank, OL_EXPERT_RANK_FIELDS, "")

#define OL_EXPERT_QUANTISATION_FIELDS(F)         \
    F(ORDINAL, most_tokens, 0, "")               \
    F(ORDINAL, n_experts, 0, "")                 \
    F(TEXTS, methods, 0, "")                     \
    F(LIST(ol_quantised_experts), layers, 0, "") \
    F(LIST(ol_expert_rank), ranking, 0, "by method, the largest error first")
OL_STRUCT(ol_expert_quantisation, OL_EXPERT_QUANTISATION_FIELDS,
          "What number formats would do to the input of each routed expert")
/* clang-format on */

#endif
