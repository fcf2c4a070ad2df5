/* Line charts and scatter plots of a few series over common axes. */
#ifndef OL_REPORT_CHART_H
#define OL_REPORT_CHART_H

#include "report/axis.h"
#include "report/svg.h"

struct ol_series {
    const char *name;    /* in the legend and in tooltips */
    const double *x, *y; /* [n]; NAN in y: no value there, the line has a gap */
    long n;
    const char *const *labels; /* [n] beside the points, or NULL */
    bool no_line;              /* points only */
};

struct ol_chart {
    const struct ol_series *series; /* [n_series]; 16 have looks of their own */
    int n_series;
    struct ol_axis x, y; /* title, log and whole set by the caller; the rest here */
    bool y_from_zero;
    double x_low, x_high; /* both 0: as the values need */
    double width, height; /* of the whole drawing; 0: usual */
};

/* Widths and margins that all figures share, so that their layers line up. */
enum {
    OL_FIGURE_WIDTH = 800,
    OL_FIGURE_LEFT = 84,
    OL_FIGURE_RIGHT = 16,
    OL_FIGURE_TOP = 34,
    OL_FIGURE_BOTTOM = 48
};

struct ol_legend_area {
    double x, y, right;
};
enum { OL_LEGEND_ROW = 18 };

void ol_chart_draw(const struct ol_canvas *c, const struct ol_chart *chart);

/* Names beside samples of their lines, in rows of OL_LEGEND_ROW that begin at x and end
 * before `right`, the first at the height y; returns how many rows. out NULL: only that.
 */
int ol_chart_legend(FILE *out, struct ol_legend_area area, const struct ol_series *series,
                    int n);
/* About how wide a text of 12 pixels is. */
double ol_chart_text_width(const char *text);

#endif
