/* Several results in an order, training steps of one model or sizes of a family, and what
 * becomes of their outliers: a table and figures, for a page or as files. */
#ifndef OL_REPORT_TREND_H
#define OL_REPORT_TREND_H

#include "report/format.h"
#include "report/grid.h"
#include "report/svg.h"

/* Where the results stand. */
struct ol_trend {
    const struct ol_report *report;
    /* "step, by label", say: numbers in all labels; else total parameters, where no two
     * are equal; else the order of the files. */
    const char *x_title;
    bool named; /* the axis does not tell what points are called */
    bool log_x;
    int *order; /* [n]: results by rising x, equal ones as they are given */
    double *x;  /* [n], in that order */
};
void ol_trend_make(struct ol_trend *t, const struct ol_report *report);
void ol_trend_clear(struct ol_trend *t);

/* A row per result, in order. The caller frees. */
struct ol_grid *ol_trend_grid(const struct ol_trend *t);
/* The same of one of them alone, the i-th in order. */
struct ol_grid *ol_trend_row(const struct ol_trend *t, int i);
/* Of the i-th measure, in words, where it begins, ends and is largest, "" where fewer
 * than two results have it; NULL: there are not so many. The caller frees. */
char *ol_trend_sentence(const struct ol_trend *t, int i);

struct ol_trend_figure {
    const char *name, *title, *caption, *y_title;
    bool log_y;
    const char *measures[4]; /* keys; ends with NULL */
};
extern const struct ol_trend_figure ol_trend_figures[]; /* ends with a name of NULL */
const struct ol_trend_figure *ol_trend_find(const char *name);
/* Whether two results at least have one of its measures. */
bool ol_trend_has(const struct ol_trend *t, const struct ol_trend_figure *f);
void ol_trend_draw(const struct ol_trend *t, const struct ol_trend_figure *f,
                   const struct ol_canvas *c);

#endif
