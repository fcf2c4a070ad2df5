/* The block "choices" of the results (ol-results.5). */
#ifndef OL_RESULTS_CHOICES_H
#define OL_RESULTS_CHOICES_H

#include "common/results/field.h"

/* clang-format off */
#define OL_CHOICE_TOKEN_FIELDS(F)   \
    F(COUNT, sequence, 0, "")       \
    F(COUNT, position, 0, "")       \
    F(COUNT, token_id, OL_NULL, "") \
    F(ORDINAL, weight, 0, "tokens that it stands for, in proportion")
OL_STRUCT(ol_choice_token, OL_CHOICE_TOKEN_FIELDS, "")

#define OL_CHOICE_LAYER_FIELDS(F)                                            \
    F(COUNT, layer, 0, "")                                                   \
    F(ORDINAL, top_k, 0, "")                                                 \
    F(COUNTS(1), experts, OL_NULLS OL_PER("tokens x top_k"),                 \
      "slot by slot of one token after another; null: none was chosen")
OL_STRUCT(ol_choice_layer, OL_CHOICE_LAYER_FIELDS, "")

#define OL_CHOICES_FIELDS(F)                                        \
    F(ORDINAL, n_experts, 0, "")                                    \
    F(INT, seed, 0, "of the sample")                                \
    F(LIST(ol_choice_token), tokens, 0, "in the order of the text") \
    F(LIST(ol_choice_layer), layers, 0, "")
OL_STRUCT(ol_choices, OL_CHOICES_FIELDS,
          "What the routers chose for a sample of tokens: what two runs are compared by")
/* clang-format on */

#endif
