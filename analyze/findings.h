/* What several statistics ask of a run, found once, when it is first asked for. */
#ifndef OL_ANALYZE_FINDINGS_H
#define OL_ANALYZE_FINDINGS_H

#include "analyze/writers.h"

enum {
    /* Massive dimensions whose writers are looked for, the largest: so many, */
    OL_FINDINGS_WRITTEN = 256,
    /* of which so many have them told one by one. */
    OL_FINDINGS_TOLD = 32,
};

struct ol_findings *ol_findings_new(void);
void ol_findings_free(struct ol_findings *f);

/* These are for one thread at a time. What they return is the analysis'. */

/* By the usual criterion; NULL: no layer has the tables. */
const struct ol_massive *ol_findings_massive(const struct ol_analysis *a);

/* Who writes the first of its features, as many as OL_FINDINGS_WRITTEN, on the tokens
 * where they are massive; by feature. */
const struct ol_written *ol_findings_written(const struct ol_analysis *a, int *n);

#endif
