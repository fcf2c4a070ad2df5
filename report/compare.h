/* Whether published counts and a result answer one question. */
#ifndef OL_REPORT_COMPARE_H
#define OL_REPORT_COMPARE_H

#include "report/results.h"

/* What stands against comparing a result with what is published about a model of its
 * name: facts of the model, the criterion and the reading, "threshold 3, published with
 * 6; ..."; NULL: nothing does. r->published is known. The caller frees. */
char *ol_compare_published(const struct ol_report_results *r);

#endif
