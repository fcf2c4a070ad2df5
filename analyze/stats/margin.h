/* How the count of pairs hangs on the criterion's numbers: what it would be for
 * thresholds nearby, and how many pairs qualify with nothing to spare. Private to stats/.
 */
#ifndef OL_ANALYZE_MARGIN_H
#define OL_ANALYZE_MARGIN_H

#include "analyze/stats/llm_int8.h"
#include "common/results/uncertainty.h"

struct margin;
struct margin *ol_margin_begin(const struct ol_analysis *a);
/* The smallest threshold of those nearby: infinity if there is none. */
double ol_margin_least(const struct margin *m);
void ol_margin_block(struct margin *m, int thread, const struct ol_block *b);
void ol_margin_end_batch(struct margin *m, int64_t batch);
void ol_margin_end(struct margin *m);

/* Other thresholds need tensors: their pairs are null without. */
struct ol_margin *ol_margin_describe(const struct margin *m, const struct llm_int8 *s,
                                     struct ol_arena *arena);

#endif
