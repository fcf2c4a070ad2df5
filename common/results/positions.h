/* The block "positions" of the results (ol-results.5). */
#ifndef OL_RESULTS_POSITIONS_H
#define OL_RESULTS_POSITIONS_H

#include "common/results/field.h"

/* clang-format off */
#define OL_POSITIONS_FIELDS(F)                                               \
    F(COUNTS(1), bucket_edges, 0, "")                                        \
    F(COUNTS(1), n_positions, 0, "")                                         \
    F(REALS(1), outliers_per_token, OL_NULLS, "")                            \
    F(ORDINAL, bin_width, OL_OLD, "positions in an element of per_position") \
    F(REALS(1), per_position, OL_NULLS, "in bins of bin_width positions")
OL_STRUCT(ol_positions, OL_POSITIONS_FIELDS, "Where in a sequence outliers are found")
/* clang-format on */

#endif
