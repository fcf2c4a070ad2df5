/* The block "tokens" of the results (ol-results.5). */
#ifndef OL_RESULTS_TOKENS_H
#define OL_RESULTS_TOKENS_H

#include "common/results/field.h"
#include "common/results/shared.h"

/* clang-format off */
#define OL_TOKEN_LIFT_FIELDS(F)      \
    F(SHARE, share, OL_NULL, "")     \
    F(SHARE, base_rate, OL_NULL, "") \
    F(SIZE, lift, OL_NULL, "")
OL_STRUCT(ol_token_lift, OL_TOKEN_LIFT_FIELDS, "")

#define OL_TOKEN_SHARE_FIELDS(F)  \
    F(COUNT, n, 0, "occurrences") \
    F(COUNT, n_tokens, 0, "")     \
    F(MEMBERS(ol_token_lift), lift, 0, "")
OL_STRUCT(ol_token_share, OL_TOKEN_SHARE_FIELDS, "")

#define OL_TOKEN_PIECE_FIELDS(F)             \
    F(MEMBERS(ol_named_token), token, 0, "") \
    F(COUNT, n_tokens, 0, "")                \
    F(COUNT, n_outliers, 0, "")              \
    F(SIZE, per_token, OL_NULL, "")          \
    F(MEMBERS(ol_token_lift), lift, 0, "")
OL_STRUCT(ol_token_piece, OL_TOKEN_PIECE_FIELDS, "")

#define OL_TOKEN_COUNTS_FIELDS(F) \
    F(COUNT, pairs, 0, "")        \
    F(COUNT, unique, 0, "")       \
    F(COUNT, pooled, 0, "")       \
    F(COUNT, n_tokens, 0, "")
OL_STRUCT(ol_token_counts, OL_TOKEN_COUNTS_FIELDS, "")

#define OL_TOKENS_FIELDS(F)                                \
    F(COUNT, n_tokens, 0, "")                              \
    F(COUNT, n_positions, 0, "")                           \
    F(COUNT, n_outliers, 0, "")                            \
    F(OBJECT(ol_token_share), first_token, 0, "")          \
    F(OBJECT(ol_token_share), delimiters, OL_NULL, "")     \
    F(COUNT, min_tokens, 0, "")                            \
    F(LIST(ol_token_piece), pieces, 0, "")                 \
    F(OBJECT(ol_token_counts), without_first, OL_NULL, "") \
    F(OBJECT(ol_token_counts), without_massive, OL_NULL, "")
OL_STRUCT(ol_tokens, OL_TOKENS_FIELDS,
          "On which tokens outlier features have occurrences, beside how often these "
          "are in the text")
/* clang-format on */

#endif
