#include "report/heatmap.h"

#include <math.h>
#include <stdlib.h>

#include "common/error.h"
#include "report/chart.h"
#include "report/colours.h"
#include "report/text.h"

enum { SCALE_HEIGHT = 74, SCALE_WIDTH = 220 };

static double row_height(const struct ol_heatmap *m)
{
    if (m->row_height > 0)
        return m->row_height;
    const double fits = 640.0 / (double)(m->n_rows > 0 ? m->n_rows : 1);
    return fits < 2 ? 2 : fits > 16 ? 16 : fits;
}

double *ol_heatmap_values(int64_t n_rows, int64_t n_columns)
{
    double *values = ol_xcalloc((size_t)(n_rows * n_columns), sizeof *values);
    ol_heatmap_blank(values, n_rows * n_columns);
    return values;
}

void ol_heatmap_blank(double *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = NAN;
}

double ol_heatmap_height(const struct ol_heatmap *m)
{
    return SCALE_HEIGHT + (double)m->n_rows * row_height(m) + OL_FIGURE_BOTTOM + 4;
}

static void scale_of(const struct ol_heatmap *m, struct ol_axis *scale)
{
    *scale = (struct ol_axis){.low = INFINITY, .high = -INFINITY, .log = m->log};
    if (m->low < m->high) {
        scale->low = m->low;
        scale->high = m->high;
    } else {
        ol_axis_include(scale, m->values, m->n_rows * m->n_columns);
        if (!(scale->low < scale->high))
            ol_axis_round(scale, false);
    }
    scale->start = 0;
    scale->end = 1;
}

static void draw_scale_ticks(FILE *out, const struct ol_axis *axis, double top)
{
    double ticks[OL_MAX_TICKS], free_from = -INFINITY;
    int n = ol_axis_ticks(axis, ticks);
    const bool ends = n < 2; /* no two round numbers lie between them */
    if (ends) {
        ticks[0] = axis->low;
        ticks[1] = axis->high;
        n = 2;
    }
    for (int i = 0; i < n; i++) {
        const double at = ol_axis_at(axis, ticks[i]);
        const struct ol_text text =
            ends ? ol_text_magnitude(ticks[i]) : ol_text_tick(ticks[i]);
        const double width = ol_chart_text_width(text.text);
        ol_svg_line(out, at, top, at, top + 3, "ax");
        if (at - width / 2 < free_from)
            continue;
        ol_svg_text(out, at, top + 15, 'm', "mu", "%s", text.text);
        free_from = at + width / 2 + 4;
    }
}

/* Above the map and on the left, where a small screen begins: title, colours with their
 * values, and what a cell without a colour means. */
static void draw_scale(FILE *out, const struct ol_heatmap *m, const struct ol_axis *scale,
                       double top)
{
    const double width = (double)SCALE_WIDTH / OL_COLOUR_LEVELS;
    struct ol_axis axis = *scale;
    axis.start = OL_FIGURE_LEFT;
    axis.end = OL_FIGURE_LEFT + SCALE_WIDTH;
    ol_svg_text(out, axis.start, top + 10, 's', "", "%s", m->scale_title);
    for (int i = 0; i < OL_COLOUR_LEVELS; i++) {
        char class[16];
        snprintf(class, sizeof class, "c%d", i);
        ol_svg_rect(out, axis.start + i * width, top + 18, width + 0.3, 10, class, NULL);
    }
    draw_scale_ticks(out, &axis, top + 28);
    if (m->missing != NULL) {
        ol_svg_rect(out, axis.start, top + 51, 10, 10, "na", NULL);
        ol_svg_text(out, axis.start + 15, top + 60, 's', "mu", "%s", m->missing);
    }
}

static char *tip_of(const struct ol_heatmap *m, long row, long column)
{
    char r[24], c[24];
    snprintf(r, sizeof r, "%ld", row);
    snprintf(c, sizeof c, "%ld", column);
    return ol_xasprintf("%s %s, %s %s: %s%s", m->x_title,
                        m->column_names != NULL ? m->column_names[column] : c, m->y_title,
                        m->row_names != NULL ? m->row_names[row] : r,
                        ol_text_magnitude(m->values[row * m->n_columns + column]).text,
                        m->suffix);
}

/* The level of a value's colour, or -1: there is no value. */
static int level_of(const struct ol_heatmap *m, const struct ol_axis *scale, double v)
{
    if (isnan(v) || (m->log && v < 0))
        return -1;
    if (m->log && v == 0) /* below all others; where it means "none", it is NAN */
        return 0;
    return isinf(v) ? OL_COLOUR_LEVELS - 1 : ol_colours_level(ol_axis_at(scale, v));
}

static void draw_cell(FILE *out, const struct ol_heatmap *m, long i)
{
    const long row = i / m->n_columns, column = i % m->n_columns;
    fprintf(out, "<path d=\"M%ld %ldh1v1h-1\">", column, row);
    char *tip = tip_of(m, row, column);
    fputs("<title>", out);
    ol_text_escape(tip, out);
    fputs("</title></path>\n", out);
    free(tip);
}

/* Colour by colour, in units of cells: short, and the browser scales without seams. */
static void draw_cells(FILE *out, const struct ol_heatmap *m, const struct ol_axis *scale)
{
    const long n = m->n_rows * m->n_columns;
    const bool tips = n <= OL_HEATMAP_TIPS;
    int *levels = ol_xcalloc((size_t)n, sizeof *levels);
    for (long i = 0; i < n; i++)
        levels[i] = level_of(m, scale, m->values[i]);
    for (int level = 0; level < OL_COLOUR_LEVELS; level++) {
        bool begun = false;
        for (long i = 0; i < n; i++) {
            if (levels[i] != level)
                continue;
            if (!begun)
                fprintf(out, tips ? "<g class=\"c%d\">\n" : "<path class=\"c%d\" d=\"",
                        level);
            begun = true;
            if (tips)
                draw_cell(out, m, i);
            else
                fprintf(out, "M%ld %ldh1v1h-1z", i % m->n_columns, i / m->n_columns);
        }
        if (begun)
            fputs(tips ? "</g>\n" : "\"/>\n", out);
    }
    free(levels);
}

static void draw_marks(FILE *out, const struct ol_heatmap *m, double top, double width,
                       double height)
{
    for (long i = 0; m->marked != NULL && i < m->n_rows * m->n_columns; i++)
        if (m->marked[i])
            ol_svg_circle(
                out, OL_FIGURE_LEFT + ((double)(i % m->n_columns) + 0.5) * width,
                top + ((double)(i / m->n_columns) + 0.5) * height, 6.5, "mk", NULL);
}

static long label_every(long given, double cell, double room)
{
    static const long steps[] = {1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 256};
    size_t i = 0;
    if (given > 0)
        return given;
    while (i + 1 < sizeof steps / sizeof steps[0] && (double)steps[i] * cell < room)
        i++;
    return steps[i];
}

static double whole_width(const struct ol_heatmap *m)
{
    return m->width > 0 ? m->width : OL_FIGURE_WIDTH;
}

static void draw_labels(FILE *out, const struct ol_heatmap *m, double top, double width,
                        double height)
{
    const double bottom = top + (double)m->n_rows * height;
    const long across = label_every(m->column_every, width, 30),
               down = label_every(m->row_every, height, 14);
    for (long c = 0; c < m->n_columns; c += across) {
        const double x = OL_FIGURE_LEFT + ((double)c + 0.5) * width;
        if (m->column_names != NULL)
            ol_svg_text(out, x, bottom + 16, 'm', "mu", "%s", m->column_names[c]);
        else
            ol_svg_text(out, x, bottom + 16, 'm', "mu", "%ld", c);
    }
    for (long r = 0; r < m->n_rows; r += down) {
        const double y = top + ((double)r + 0.5) * height + 4;
        if (m->row_names != NULL)
            ol_svg_text(out, OL_FIGURE_LEFT - 7, y, 'e', "mu", "%s", m->row_names[r]);
        else
            ol_svg_text(out, OL_FIGURE_LEFT - 7, y, 'e', "mu", "%ld", r);
    }
    ol_svg_text(out, (OL_FIGURE_LEFT + whole_width(m) - OL_FIGURE_RIGHT) / 2.0,
                bottom + 34, 'm', "mu", "%s", m->x_title);
    ol_svg_text_up(out, 12, (top + bottom) / 2, m->y_title);
}

void ol_heatmap_put(FILE *out, const struct ol_heatmap *m, double top)
{
    struct ol_axis scale;
    const double area = whole_width(m) - OL_FIGURE_LEFT - OL_FIGURE_RIGHT,
                 width = area / (double)(m->n_columns > 0 ? m->n_columns : 1),
                 height = row_height(m);
    scale_of(m, &scale);
    draw_scale(out, m, &scale, top + 2);
    top += SCALE_HEIGHT;
    ol_svg_rect(out, OL_FIGURE_LEFT, top, area, (double)m->n_rows * height, "na", NULL);
    fprintf(out,
            "<g shape-rendering=\"crispEdges\" transform=\"translate(%d %.1f) "
            "scale(%.4f %.4f)\">\n",
            OL_FIGURE_LEFT, top, width, height);
    draw_cells(out, m, &scale);
    fputs("</g>\n", out);
    draw_marks(out, m, top, width, height);
    draw_labels(out, m, top, width, height);
}

void ol_heatmap_draw(const struct ol_canvas *c, const struct ol_heatmap *m)
{
    struct ol_heatmap map = *m;
    if (map.width == 0)
        map.width = c->width;
    ol_svg_open(c, whole_width(&map), ol_heatmap_height(&map));
    ol_heatmap_put(c->out, &map, 0);
    ol_svg_close(c);
}
