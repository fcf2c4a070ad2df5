/* Heat maps: values on a grid, told by colour, with a scale beside them. */
#ifndef OL_REPORT_HEATMAP_H
#define OL_REPORT_HEATMAP_H

#include <stdint.h>

#include "report/axis.h"
#include "report/svg.h"

/* More cells than this go without tooltips, to keep pages small. */
enum { OL_HEATMAP_TIPS = 16384 };

struct ol_heatmap {
    long n_columns, n_rows;
    const double *values;            /* [n_rows][n_columns], the first row on top; NAN: no
                                        value there */
    const char *const *column_names; /* or NULL: 0, 1, ... Borrowed */
    const char *const *row_names;
    const char *x_title, *y_title;
    const char *scale_title; /* what a colour means, and in what it is measured */
    const char *suffix;      /* behind a value in tooltips: " bits", or "" */
    const char *missing;     /* what a cell without a value means */
    bool log;
    double low, high;             /* of the scale; both 0: of the values */
    double row_height;            /* 0: as fits */
    double width;                 /* of the whole drawing; 0: usual */
    const bool *marked;           /* [n_rows][n_columns] cells with a ring, or NULL */
    long column_every, row_every; /* labels; 0: as many as fit */
};

/* [n_rows][n_columns] without a value. The caller frees. */
double *ol_heatmap_values(int64_t n_rows, int64_t n_columns);
/* The same of n values that are there already. */
void ol_heatmap_blank(double *values, int64_t n);
/* The height that ol_heatmap_put takes. */
double ol_heatmap_height(const struct ol_heatmap *map);
/* At the height top of an open drawing. */
void ol_heatmap_put(FILE *out, const struct ol_heatmap *map, double top);
/* A drawing of one map. */
void ol_heatmap_draw(const struct ol_canvas *c, const struct ol_heatmap *map);

#endif
