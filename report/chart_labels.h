/* Names beside points, where there is room for them. */
#ifndef OL_REPORT_CHART_LABELS_H
#define OL_REPORT_CHART_LABELS_H

#include <stdio.h>

struct ol_label_area {
    double left, right, top, bottom; /* labels stay inside */
    const double *x, *y;             /* [n] of every point, in pixels; NAN: none */
    long n;
};

/* Names of the first n_labels points of the area. Each takes the first free place around
 * its point; one that finds none is left out (its point has a tooltip). */
void ol_labels_draw(FILE *out, const struct ol_label_area *area,
                    const char *const *labels, long n_labels);

#endif
