/* Which residual sinks, and which steps of massive dimensions, two results of one lineage
 * have in common, and which only one of them has. */
#ifndef OL_REPORT_DIFF_STREAM_H
#define OL_REPORT_DIFF_STREAM_H

#include "report/diff.h"

/* In words, with names; the caller frees. */
char *ol_diff_sinks_sentence(const struct ol_diff *d);
char *ol_diff_steps_sentence(const struct ol_diff *d);

/* All dimensions that are a residual sink in either, those of A first; no rows where the
 * results cannot be compared or one has not the block. The caller frees. */
struct ol_grid *ol_diff_sinks_grid(const struct ol_diff *d);
/* Likewise all steps in either, by dimension and layer in the order of A. */
struct ol_grid *ol_diff_steps_grid(const struct ol_diff *d);

#endif
