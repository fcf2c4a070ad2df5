/* Whether a file's tables of counts can be what they say they are. Statistics add them up
 * without looking, so that a damaged count must not get that far. */
#ifndef OL_ANALYZE_COUNTS_H
#define OL_ANALYZE_COUNTS_H

#include "common/activation_file.h"

/* Every count is of something: histograms of all values of a site, occurrences of a
 * sequence's tokens, units of tokens, the receipt of what a run can cost. Fails, naming
 * file, table and number, where one is negative or more than that. */
int ol_counts_check(const struct ol_activation_file *f, struct ol_error *err);

#endif
