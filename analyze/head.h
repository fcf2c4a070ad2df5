/* What a results file begins with: the run, the model, its input, and the criterion. */
#ifndef OL_ANALYZE_HEAD_H
#define OL_ANALYZE_HEAD_H

#include "analyze/parts.h"
#include "analyze/statistics.h"

/* Sets those members of `results`, as the first part says them; counts and times are of
 * all parts. label: NULL, none was given. */
void ol_describe_head(const struct ol_parts *parts, const char *label,
                      const struct ol_criterion *criterion, struct ol_json *results);

#endif
