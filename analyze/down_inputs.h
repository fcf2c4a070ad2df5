/* What goes into the down projections of the MLPs, where an outlier of a layer may sit
 * that no norm's output shows: each unit's largest value, what rounding a sample of its
 * rows costs and, with ol-extract --imatrix, the sums of squares of its columns. */
#ifndef OL_ANALYZE_DOWN_INPUTS_H
#define OL_ANALYZE_DOWN_INPUTS_H

#include "analyze/parts.h"
#include "common/results/quantisation.h"

/* The units with the largest magnitudes, struct ol_down_input; none, and no items, where
 * there are no summaries. */
void ol_down_inputs_describe(const struct ol_parts *parts, struct ol_arena *arena,
                             struct ol_list *down);

#endif
