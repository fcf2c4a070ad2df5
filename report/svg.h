/* A small writer of SVG: what our figures need, with every text escaped and numbers in
 * few digits. Coordinates are in CSS pixels of a drawing of the given size. */
#ifndef OL_REPORT_SVG_H
#define OL_REPORT_SVG_H

#include <stdbool.h>
#include <stdio.h>

/* A figure inside a page takes its colours from the page; a file brings its own. */
struct ol_canvas {
    FILE *out;
    bool standalone;
    const char *title; /* for those who do not see it */
    double width;      /* of a chart or a map that says nothing of it; 0: usual */
};

void ol_svg_open(const struct ol_canvas *c, double width, double height);
void ol_svg_close(const struct ol_canvas *c);

/* align: 's'tart, 'm'iddle, 'e'nd. class may be "". */
void ol_svg_text(FILE *out, double x, double y, char align, const char *class,
                 const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Turned a quarter to the left around its middle. */
void ol_svg_text_up(FILE *out, double x, double y, const char *text);
void ol_svg_line(FILE *out, double x1, double y1, double x2, double y2,
                 const char *class);
/* With a tooltip unless tip is NULL. */
void ol_svg_rect(FILE *out, double x, double y, double width, double height,
                 const char *class, const char *tip);
void ol_svg_circle(FILE *out, double x, double y, double radius, const char *class,
                   const char *tip);
/* Through n points; a NAN in y leaves a gap. dash: 0 solid, 1.. kinds of dashes. */
void ol_svg_path(FILE *out, const double *x, const double *y, long n, const char *class,
                 int dash);

#endif
