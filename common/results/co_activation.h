/* The block "co_activation" of the results (ol-results.5). */
#ifndef OL_RESULTS_CO_ACTIVATION_H
#define OL_RESULTS_CO_ACTIVATION_H

#include "common/results/field.h"

/* clang-format off */
#define OL_COMMITTEE_MEMBER_FIELDS(F)  \
    F(COUNT, expert, 0, "")            \
    F(COUNT, n_tokens, 0, "chosen by") \
    F(SHARE, share, 0, "of the tokens of the layer")
OL_STRUCT(ol_committee_member, OL_COMMITTEE_MEMBER_FIELDS, "")

#define OL_EXPERT_PAIR_FIELDS(F)                                              \
    F(COUNT, a, 0, "an expert")                                               \
    F(COUNT, b, 0, "another, of a larger number")                             \
    F(ORDINAL, n_both, 0, "tokens that chose both")                           \
    F(SHARE, share_a, 0, "of the tokens that chose a, those that chose both") \
    F(SHARE, share_b, 0, "of the tokens that chose b, those that chose both") \
    F(SIZE, lift, 0, "n_both over what independent choices would give")       \
    F(SHARE, excess, 0, "of the tokens: more than independent choices would give")
OL_STRUCT(ol_expert_pair, OL_EXPERT_PAIR_FIELDS, "")

#define OL_CO_LAYER_FIELDS(F)                                                        \
    F(COUNT, layer, 0, "")                                                           \
    F(COUNT, n_tokens, 0, "that chose an expert")                                    \
    F(LIST(ol_committee_member), committee, 0,                                       \
      "experts chosen by at least min_share of the tokens, by falling share")        \
    F(ORDINAL, n_for_half, OL_NULL,                                                  \
      "experts, the most chosen first, that have half of the (token, expert) pairs") \
    F(ORDINAL, n_for_most, OL_NULL, "the same of nine tenths")                       \
    F(SHARES(1), coverage, OL_NULLS,                                                 \
      "[m - 1]: share of the pairs that the m most chosen experts have")             \
    F(SHARES(1), complete, OL_NULLS,                                                 \
      "[m - 1]: share of the tokens whose experts all are among these")              \
    F(LIST(ol_expert_pair), pairs, OL_AT_MOST(16), "by falling excess, none without one")
OL_STRUCT(ol_co_layer, OL_CO_LAYER_FIELDS, "")

#define OL_CO_ACTIVATION_FIELDS(F)                          \
    F(COUNT, n_experts, 0, "")                              \
    F(SHARE, min_share, 0, "of the tokens, of a committee") \
    F(LIST(ol_co_layer), layers, 0, "")
OL_STRUCT(ol_co_activation, OL_CO_ACTIVATION_FIELDS,
          "Which experts are chosen together, and which by nearly all tokens")
/* clang-format on */

#endif
