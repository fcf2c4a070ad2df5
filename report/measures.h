/* What a result comes to in single numbers, by name: those that surveys, trends and
 * comparisons of two put side by side. */
#ifndef OL_REPORT_MEASURES_H
#define OL_REPORT_MEASURES_H

#include "report/results.h"

/* The measure of that name (measures.c; there must be one). Shares are fractions; NAN:
 * not known. */
double ol_measure(const struct ol_report_results *r, const char *name);

#endif
