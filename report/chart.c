#include "report/chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "report/chart_labels.h"
#include "report/text.h"

double ol_chart_text_width(const char *text)
{
    double n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return 7 * n;
}

static const char *line_class(int i)
{
    static const char *const names[] = {"l s1", "l s2", "l s3", "l s4"};
    return names[i % 4];
}

static const char *fill_class(int i)
{
    static const char *const names[] = {"f1", "f2", "f3", "f4"};
    return names[i % 4];
}

/* Kinds of dashes: as many as colours, in another order for the next lines. */
static int dash_of(int i)
{
    return (i + i / 4) % 4;
}

/* Points that no line joins differ in shape too. */
static void draw_mark(FILE *out, int i, bool shaped, double x, double y, double radius,
                      const char *tip)
{
    if (shaped && i % 2 == 1)
        ol_svg_rect(out, x - 4, y - 4, 8, 8, fill_class(i), tip);
    else
        ol_svg_circle(out, x, y, radius, fill_class(i), tip);
}

int ol_chart_legend(FILE *out, struct ol_legend_area area, const struct ol_series *series,
                    int n)
{
    double x = area.x, y = area.y;
    int rows = 1;
    for (int i = 0; i < n; i++) {
        const double width = 32 + ol_chart_text_width(series[i].name);
        if (x > area.x && x + width > area.right) {
            x = area.x;
            y += OL_LEGEND_ROW;
            rows++;
        }
        const double xs[] = {x, x + 26}, ys[] = {y, y};
        if (out != NULL && series[i].no_line)
            draw_mark(out, i, true, x + 13, y, 4.5, NULL);
        else if (out != NULL)
            ol_svg_path(out, xs, ys, 2, line_class(i), dash_of(i));
        if (out != NULL)
            ol_svg_text(out, x + 32, y + 4, 's', "", "%s", series[i].name);
        x += width + 18;
    }
    return rows;
}

/* The first word of an axis title: "layer" of "layer (first to last)". */
static int word_length(const char *title)
{
    return (int)strcspn(title, " (,");
}

static void draw_points(FILE *out, const struct ol_chart *chart, int i, const double *x,
                        const double *y)
{
    const struct ol_series *s = &chart->series[i];
    const double radius = s->no_line ? 4.5 : s->n > 120 ? 1.2 : s->n > 1 ? 2.2 : 4;
    for (long k = 0; k < s->n; k++) {
        if (isnan(x[k]) || isnan(y[k]))
            continue;
        char *tip =
            s->labels != NULL
                ? ol_xasprintf("%s: %s, %.*s %s", s->labels[k],
                               ol_text_magnitude(s->y[k]).text,
                               word_length(chart->x.title), chart->x.title,
                               ol_text_tick(s->x[k]).text)
                : ol_xasprintf("%s, %.*s %s: %s", s->name, word_length(chart->x.title),
                               chart->x.title, ol_text_tick(s->x[k]).text,
                               ol_text_magnitude(s->y[k]).text);
        draw_mark(out, i, s->no_line, x[k], y[k], radius, tip);
        free(tip);
    }
}

/* What is infinite stands at the axis's end. */
static void to_pixels(const struct ol_chart *chart, const struct ol_series *s, double *x,
                      double *y)
{
    for (long k = 0; k < s->n; k++) {
        x[k] = ol_axis_at(&chart->x, s->x[k]);
        y[k] = isinf(s->y[k]) ? chart->y.end : ol_axis_at(&chart->y, s->y[k]);
    }
}

static void draw_all(FILE *out, const struct ol_chart *chart)
{
    long n = 0;
    for (int i = 0; i < chart->n_series; i++)
        n += chart->series[i].n;
    double *x = ol_xcalloc((size_t)n + 1, sizeof *x),
           *y = ol_xcalloc((size_t)n + 1, sizeof *y);
    n = 0;
    for (int i = 0; i < chart->n_series; i++) {
        const struct ol_series *s = &chart->series[i];
        to_pixels(chart, s, x + n, y + n);
        if (!s->no_line)
            ol_svg_path(out, x + n, y + n, s->n, line_class(i), dash_of(i));
        draw_points(out, chart, i, x + n, y + n);
        n += s->n;
    }
    const struct ol_label_area area = {
        chart->x.start, chart->x.end, chart->y.end, chart->y.start, x, y, n};
    if (chart->series[0].labels != NULL)
        ol_labels_draw(out, &area, chart->series[0].labels, chart->series[0].n);
    free(y);
    free(x);
}

void ol_chart_draw(const struct ol_canvas *c, const struct ol_chart *given)
{
    struct ol_chart chart = *given;
    const double width = chart.width > 0 ? chart.width
                         : c->width > 0  ? c->width
                                         : OL_FIGURE_WIDTH;
    const struct ol_legend_area names = {OL_FIGURE_LEFT, 14, width};
    const int rows = chart.n_series > 1
                         ? ol_chart_legend(NULL, names, chart.series, chart.n_series)
                         : 1;
    const double top = OL_FIGURE_TOP + (rows - 1) * OL_LEGEND_ROW,
                 height = (chart.height > 0 ? chart.height : 320) + top - OL_FIGURE_TOP,
                 bottom = height - OL_FIGURE_BOTTOM;
    chart.x.low = chart.y.low = INFINITY;
    chart.x.high = chart.y.high = -INFINITY;
    for (int i = 0; i < chart.n_series; i++) {
        ol_axis_include(&chart.x, chart.series[i].x, chart.series[i].n);
        ol_axis_include(&chart.y, chart.series[i].y, chart.series[i].n);
    }
    if (chart.x_low < chart.x_high) {
        chart.x.low = chart.x_low;
        chart.x.high = chart.x_high;
    } else {
        ol_axis_round(&chart.x, false);
    }
    ol_axis_round(&chart.y, chart.y_from_zero);
    chart.x.start = OL_FIGURE_LEFT;
    chart.x.end = width - OL_FIGURE_RIGHT;
    chart.y.start = bottom;
    chart.y.end = top;
    ol_svg_open(c, width, height);
    if (chart.n_series > 1)
        ol_chart_legend(c->out, names, chart.series, chart.n_series);
    ol_axis_draw_x(c->out, &chart.x, top, bottom);
    ol_axis_draw_y(c->out, &chart.y, OL_FIGURE_LEFT, chart.x.end);
    draw_all(c->out, &chart);
    ol_svg_close(c);
}
