/* The block "phase_shift" of the results (ol-results.5). */
#ifndef OL_RESULTS_PHASE_SHIFT_H
#define OL_RESULTS_PHASE_SHIFT_H

#include "common/results/field.h"

/* clang-format off */
#define OL_PHASE_SHIFT_FIELDS(F)          \
    F(REAL, min_layers, 0, "")            \
    F(REAL, min_positions, 0, "")         \
    F(TEXT, text, 0, "")                  \
    F(COUNT, n_features, 0, "")           \
    F(COUNTS(1), features, 0, "")         \
    F(BOOL, reached, 0, "")               \
    F(COUNT, n_features_by_layers, 0, "") \
    F(COUNTS(1), features_by_layers, 0, "")
OL_STRUCT(ol_phase_shift, OL_PHASE_SHIFT_FIELDS,
          "Features on all layers and most positions")
/* clang-format on */

#endif
