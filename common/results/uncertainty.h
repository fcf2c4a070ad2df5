/* The block "uncertainty" of the results (ol-results.5). */
#ifndef OL_RESULTS_UNCERTAINTY_H
#define OL_RESULTS_UNCERTAINTY_H

#include "common/results/field.h"

/* clang-format off */
#define OL_INTERVAL_FIELDS(F)   \
    F(REAL, value, OL_NULL, "") \
    F(REAL, low, OL_NULL, "")   \
    F(REAL, high, OL_NULL, "")
OL_STRUCT(ol_interval, OL_INTERVAL_FIELDS, "")

#define OL_SPLIT_HALF_FIELDS(F) \
    F(COUNT, unique_a, 0, "")   \
    F(COUNT, unique_b, 0, "")   \
    F(COUNT, both, 0, "")       \
    F(SHARE, jaccard, OL_NULL, "")
OL_STRUCT(ol_split_half, OL_SPLIT_HALF_FIELDS, "")

#define OL_CONSISTENCY_FIELDS(F) \
    F(COUNT, batches, 0, "")     \
    F(COUNT, n_features, 0, "")
OL_STRUCT(ol_consistency, OL_CONSISTENCY_FIELDS, "")

#define OL_MARGIN_COUNT_FIELDS(F)                                                   \
    F(WORD("2 % lower|1 bf16 step lower|1 bf16 step higher|2 % higher"), change, 0, \
      "of the threshold")                                                           \
    F(REAL, threshold, OL_NULL, "")                                                 \
    F(COUNT, pairs, OL_NULL, "")
OL_STRUCT(ol_margin_count, OL_MARGIN_COUNT_FIELDS, "")

#define OL_MARGIN_FIELDS(F)                 \
    F(LIST(ol_margin_count), counts, 0, "") \
    F(ORDINAL, least_sites, 0, "")          \
    F(COUNT, pairs_at_least_sites, 0, "")   \
    F(COUNT, pairs_at_least_positions, 0, "")
OL_STRUCT(ol_margin, OL_MARGIN_FIELDS,
          "How the count of pairs hangs on the criterion's numbers")

#define OL_UNCERTAINTY_FIELDS(F)                                \
    F(COUNT, resamples, 0, "0: a single batch")                 \
    F(INT, seed, 0, "")                                         \
    F(SHARE, level, 0, "")                                      \
    F(OBJECT(ol_interval), pairs, OL_NULL, "")                  \
    F(OBJECT(ol_interval), unique, OL_NULL, "")                 \
    F(OBJECT(ol_interval), pooled, OL_NULL, "")                 \
    F(OBJECT(ol_interval), mean_layer_fraction, OL_NULL, "")    \
    F(OBJECT(ol_interval), mean_position_fraction, OL_NULL, "") \
    F(OBJECT(ol_split_half), split_half, OL_NULL, "")           \
    F(LIST(ol_consistency), consistency, 0, "")                 \
    F(OBJECT(ol_margin), margin, 0,                             \
      "How the count of pairs hangs on the criterion's numbers")
OL_STRUCT(ol_uncertainty, OL_UNCERTAINTY_FIELDS, "Intervals from resampled sequences")
/* clang-format on */

#endif
