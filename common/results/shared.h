/* What several blocks have. */
#ifndef OL_RESULTS_SHARED_H
#define OL_RESULTS_SHARED_H

#include "common/results/field.h"

/* clang-format off */
#define OL_COUNTED_TOKEN_FIELDS(F)  \
    F(COUNT, token_id, OL_NULL, "") \
    F(TEXT, piece, OL_NULL, "")     \
    F(COUNT, n_tokens, 0, "")
OL_STRUCT(ol_counted_token, OL_COUNTED_TOKEN_FIELDS, "")
/* clang-format on */

#endif
