/* The block "perplexity" of the results (ol-results.5). */
#ifndef OL_RESULTS_PERPLEXITY_H
#define OL_RESULTS_PERPLEXITY_H

#include "common/results/field.h"

/* clang-format off */
#define OL_PERPLEXITY_FIELDS(F)    \
    F(REAL, value, OL_NULL, "")    \
    F(REAL, mean_nll, OL_NULL, "") \
    F(COUNT, n_tokens, 0, "")
OL_STRUCT(ol_perplexity, OL_PERPLEXITY_FIELDS, "")
/* clang-format on */

#endif
