/* The block "sweep" of the results (ol-results.5). */
#ifndef OL_RESULTS_SWEEP_H
#define OL_RESULTS_SWEEP_H

#include "common/results/field.h"

/* clang-format off */
#define OL_SWEEP_AXES "thresholds x layer_fractions x position_fractions"
#define OL_SWEEP_FIELDS(F)                                                                                \
    F(COUNTS(1), thresholds, 0, "")                                                                       \
    F(SHARES(1), layer_fractions, 0, "")                                                                  \
    F(SHARES(1), position_fractions, 0, "")                                                               \
    F(COUNTS(3), pairs, OL_NULLS OL_PER(OL_SWEEP_AXES), "[threshold][layer fraction][position fraction]") \
    F(COUNTS(3), unique, OL_NULLS OL_PER(OL_SWEEP_AXES), "[threshold][layer fraction][position fraction]")
OL_STRUCT(ol_sweep, OL_SWEEP_FIELDS, "Counts under other criteria")
/* clang-format on */

#endif
