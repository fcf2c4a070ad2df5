/* The block "distributions" of the results (ol-results.5). */
#ifndef OL_RESULTS_DISTRIBUTIONS_H
#define OL_RESULTS_DISTRIBUTIONS_H

#include "common/results/field.h"

/* clang-format off */
#define OL_DISTRIBUTION_FIELDS(F)                                                             \
    F(COUNT, layer, 0, "")                                                                    \
    F(SITE, site, 0, "\"ln_attn\", \"ln_mlp\", \"output\"")                                   \
    F(COUNT, n, 0, "")                                                                        \
    F(COUNT, n_nan, 0, "")                                                                    \
    F(COUNT, n_inf, 0, "")                                                                    \
    F(COUNT, n_zero, 0, "")                                                                   \
    F(REAL, mean, OL_NULL, "")                                                                \
    F(REAL, std, OL_NULL, "")                                                                 \
    F(REAL, kurtosis, OL_NULL, "of all values together")                                      \
    F(REAL, kurtosis_token_median, OL_NULL,                                                   \
      "median over tokens of the kurtosis over dimensions")                                   \
    F(REALS(1), magnitudes, OL_NULLS OL_PER("quantile_levels"), "|x| at each quantile level") \
    F(COUNTS(1), log2_counts, OL_EVEN,                                                        \
      "values with 2^e <= |x| < 2^(e+1), e = first_exponent + index; the "                    \
      "first and last are open-ended")
OL_STRUCT(ol_distribution, OL_DISTRIBUTION_FIELDS, "")

#define OL_DISTRIBUTIONS_FIELDS(F)           \
    F(SHARES(1), quantile_levels, 0, "")     \
    F(INT, first_exponent, 0, "")            \
    F(ORDINAL, kurtosis_tokens, OL_NULL, "") \
    F(LIST(ol_distribution), sites, 0, "")
OL_STRUCT(ol_distributions, OL_DISTRIBUTIONS_FIELDS,
          "Exact distributions of all values of a site")
/* clang-format on */

#endif
