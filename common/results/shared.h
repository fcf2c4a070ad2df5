/* What several blocks have. */
#ifndef OL_RESULTS_SHARED_H
#define OL_RESULTS_SHARED_H

#include "common/results/field.h"

/* clang-format off */
#define OL_NAMED_TOKEN_FIELDS(F)    \
    F(COUNT, token_id, OL_NULL, "") \
    F(TEXT, piece, OL_NULL, "")
OL_STRUCT(ol_named_token, OL_NAMED_TOKEN_FIELDS, "")

#define OL_COUNTED_TOKEN_FIELDS(F)           \
    F(MEMBERS(ol_named_token), token, 0, "") \
    F(COUNT, n_tokens, 0, "")
OL_STRUCT(ol_counted_token, OL_COUNTED_TOKEN_FIELDS, "")

#define OL_TOKEN_PLACE_FIELDS(F)    \
    F(COUNT, sequence, OL_NULL, "") \
    F(COUNT, position, OL_NULL, "") \
    F(MEMBERS(ol_named_token), token, 0, "")
OL_STRUCT(ol_token_place, OL_TOKEN_PLACE_FIELDS, "")

#define OL_NAMED_COMPONENT_FIELDS(F) \
    F(COUNT, layer, 0, "")           \
    F(COMPONENT, kind, 0, "")        \
    F(COUNT, expert, OL_NULL, "")
OL_STRUCT(ol_named_component, OL_NAMED_COMPONENT_FIELDS, "")
/* clang-format on */

#endif
