/* Scales from values to pixels, and axes with ticks at round numbers. */
#ifndef OL_REPORT_AXIS_H
#define OL_REPORT_AXIS_H

#include <stdbool.h>
#include <stdio.h>

enum { OL_MAX_TICKS = 16 };

struct ol_axis {
    double low, high;
    bool log;
    bool zero;         /* on a logarithmic axis: 0 has a row of its own before low */
    bool whole;        /* ticks at whole numbers only (layers, counts) */
    double start, end; /* pixels of low and high */
    const char *title; /* with its unit */
};

/* low and high from n values, what is not finite and, on a logarithmic axis, what is not
 * above 0 left out; a 0 there asks for its row. Then widened a little to round numbers;
 * something sensible when nothing is left. Call it with each of several lists after
 * setting low = INFINITY, high = -INFINITY, and end with ol_axis_round. Values of no
 * measurement, below 1e-300 or above 1e300, count as these. */
void ol_axis_include(struct ol_axis *a, const double *values, long n);
void ol_axis_round(struct ol_axis *a, bool from_zero);

/* Clipped to the axis; NAN where the value has no place. */
double ol_axis_at(const struct ol_axis *a, double value);
int ol_axis_ticks(const struct ol_axis *a, double ticks[OL_MAX_TICKS]);

/* Where the ticks begin: behind the row of zeros. */
double ol_axis_first(const struct ol_axis *a);

/* Below the area x->start..x->end, top..bottom; to the left of it. */
void ol_axis_draw_x(FILE *out, const struct ol_axis *x, double top, double bottom);
void ol_axis_draw_y(FILE *out, const struct ol_axis *y, double left, double right);

#endif
