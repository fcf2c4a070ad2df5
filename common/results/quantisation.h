/* The block "quantisation" of the results (ol-results.5). */
#ifndef OL_RESULTS_QUANTISATION_H
#define OL_RESULTS_QUANTISATION_H

#include "common/results/field.h"
#include "common/results/shared.h"

/* clang-format off */
#define OL_QUANTISED_SITE_FIELDS(F)                                            \
    F(COUNT, layer, 0, "")                                                     \
    F(SITE, site, 0, "")                                                       \
    F(REALS(1), error, OL_NULLS OL_PER("methods"), "by method")                \
    F(REALS(1), error_without_dims, OL_NULLS OL_PER("methods"), "by method")   \
    F(REALS(1), error_without_tokens, OL_NULLS OL_PER("methods"), "by method") \
    F(REALS(1), token_median, OL_NULLS OL_PER("methods"), "by method")         \
    F(SHARES(1), zeroed, OL_NULLS OL_PER("methods"), "by method")
OL_STRUCT(ol_quantised_site, OL_QUANTISED_SITE_FIELDS, "")

#define OL_QUANTISED_RANK_FIELDS(F) \
    F(COUNT, layer, 0, "")          \
    F(SITE, site, 0, "")            \
    F(TEXT, method, 0, "")          \
    F(REAL, error, OL_NULL, "")
OL_STRUCT(ol_quantised_rank, OL_QUANTISED_RANK_FIELDS, "")

#define OL_DOWN_INPUT_FIELDS(F)                                                           \
    F(MEMBERS(ol_named_component), who, 0, "")                                            \
    F(ORDINAL, n_tokens, 0, "")                                                           \
    F(SIZE, largest, OL_NULL, "")                                                         \
    F(COUNT, column, OL_NULL, "")                                                         \
    F(REAL, share_of_median, OL_NULL, "")                                                 \
    F(SIZE, rms, OL_NULL, "")                                                             \
    F(COUNT, energy_column, OL_NULL, "")                                                  \
    F(SHARE, energy_share, OL_NULL, "")                                                   \
    F(COUNT, sampled, OL_NULL | OL_OLD, "rows that error is of; null: none are recorded") \
    F(REALS(1), error, OL_NULL | OL_NULLS | OL_OLD OL_PER("methods"), "by method")
OL_STRUCT(ol_down_input, OL_DOWN_INPUT_FIELDS, "What goes into a unit's down projection")

#define OL_QUANTISATION_FIELDS(F)                                                   \
    F(COUNT, sample_tokens, OL_NULL, "null without tensors")                        \
    F(COUNT, sample_first, OL_NULL, "")                                             \
    F(INT, seed, 0, "")                                                             \
    F(COUNT, k_dims, 0, "")                                                         \
    F(COUNT, k_tokens, OL_NULL, "")                                                 \
    F(WORD("massive|worst"), kept_tokens, OL_NULL, "which k_tokens are kept apart") \
    F(COUNT, int8_divisor, 0, "")                                                   \
    F(TEXTS, methods, 0, "")                                                        \
    F(LIST(ol_quantised_site), sites, 0, "none without tensors")                    \
    F(LIST(ol_quantised_rank), ranking, 0, "")                                      \
    F(LIST(ol_down_input), down, OL_NULL | OL_AT_MOST(32),                          \
      "inputs of down projections, the largest first; null without "                \
      "summaries")
OL_STRUCT(ol_quantisation, OL_QUANTISATION_FIELDS,
          "What number formats would do to each site")
/* clang-format on */

#endif
