#include "report/axis.h"

#include <math.h>

#include "report/chart.h"
#include "report/svg.h"
#include "report/text.h"

void ol_axis_include(struct ol_axis *a, const double *values, long n)
{
    for (long i = 0; i < n; i++) {
        if (!isfinite(values[i]) || (a->log && values[i] <= 0))
            continue;
        a->low = fmin(a->low, values[i]);
        a->high = fmax(a->high, values[i]);
    }
}

/* 1, 2 or 5 times a power of ten that is not below x. */
static double round_step(double x)
{
    const double unit = pow(10, floor(log10(x)));
    const double part = x / unit;
    return unit * (part <= 1.0001 ? 1 : part <= 2.0001 ? 2 : part <= 5.0001 ? 5 : 10);
}

void ol_axis_round(struct ol_axis *a, bool from_zero)
{
    if (!(a->low <= a->high)) {
        a->low = a->log ? 1 : 0;
        a->high = a->log ? 10 : 1;
    }
    if (a->log) {
        a->low = 1 / round_step(1 / a->low);
        a->high = round_step(a->high);
        if (a->high <= a->low * 1.001) {
            a->low /= 2;
            a->high *= 2;
        }
        return;
    }
    if (from_zero)
        a->low = fmin(0, a->low);
    if (a->high <= a->low)
        a->high = a->low + fmax(1, fabs(a->low) / 10);
    const double step = round_step((a->high - a->low) / 8);
    a->low = step * floor(a->low / step + 1e-9);
    a->high = step * ceil(a->high / step - 1e-9);
}

double ol_axis_at(const struct ol_axis *a, double value)
{
    double part;
    if (isnan(value) || (a->log && value <= 0))
        return NAN;
    if (a->log)
        part = log(value / a->low) / log(a->high / a->low);
    else
        part = (value - a->low) / (a->high - a->low);
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    return a->start + part * (a->end - a->start);
}

static int log_ticks(const struct ol_axis *a, double ticks[OL_MAX_TICKS])
{
    const double decades = log10(a->high / a->low);
    const int every = decades > 24 ? 6 : decades > 12 ? 4 : decades > 7 ? 2 : 1;
    static const double parts[] = {1, 2, 5};
    const int n_parts = decades <= 2.6 ? 3 : 1;
    int n = 0;
    for (int e = (int)floor(log10(a->low) + 1e-9); e <= (int)floor(log10(a->high) + 1e-9);
         e += every)
        for (int p = 0; p < n_parts && n < OL_MAX_TICKS; p++)
            if (parts[p] * pow(10, e) >= a->low * 0.9999 &&
                parts[p] * pow(10, e) <= a->high * 1.0001)
                ticks[n++] = parts[p] * pow(10, e);
    return n;
}

int ol_axis_ticks(const struct ol_axis *a, double ticks[OL_MAX_TICKS])
{
    int n = 0;
    if (a->log)
        return log_ticks(a, ticks);
    /* Not more than people read, and room for a label each. */
    const double wanted = fmax(2, fmin(12, fabs(a->end - a->start) / 38));
    double step = round_step((a->high - a->low) / wanted);
    if (a->whole && step < 1)
        step = 1;
    for (double t = step * ceil(a->low / step - 1e-9);
         t <= a->high + step * 1e-6 && n < OL_MAX_TICKS; t += step)
        ticks[n++] = fabs(t) < step * 1e-6 ? 0 : t;
    return n;
}

void ol_axis_draw_x(FILE *out, const struct ol_axis *x, double top, double bottom)
{
    double ticks[OL_MAX_TICKS];
    const int n = ol_axis_ticks(x, ticks);
    for (int i = 0; i < n; i++) {
        const double at = ol_axis_at(x, ticks[i]);
        ol_svg_line(out, at, top, at, bottom, "gr");
        ol_svg_line(out, at, bottom, at, bottom + 4, "ax");
        /* Within the figure, whose edge is OL_FIGURE_RIGHT away. */
        const struct ol_text text = ol_text_tick(ticks[i]);
        const double over =
            at + ol_chart_text_width(text.text) / 2 - (x->end + OL_FIGURE_RIGHT);
        ol_svg_text(out, over > 0 ? at - over : at, bottom + 17, 'm', "mu", "%s",
                    text.text);
    }
    ol_svg_line(out, x->start, bottom, x->end, bottom, "ax");
    ol_svg_text(out, (x->start + x->end) / 2, bottom + 35, 'm', "mu", "%s", x->title);
}

void ol_axis_draw_y(FILE *out, const struct ol_axis *y, double left, double right)
{
    double ticks[OL_MAX_TICKS];
    const int n = ol_axis_ticks(y, ticks);
    for (int i = 0; i < n; i++) {
        const double at = ol_axis_at(y, ticks[i]);
        ol_svg_line(out, left, at, right, at, "gr");
        ol_svg_text(out, left - 7, at + 4, 'e', "mu", "%s", ol_text_tick(ticks[i]).text);
    }
    ol_svg_line(out, left, y->start, left, y->end, "ax");
    ol_svg_text_up(out, left - 48, (y->start + y->end) / 2, y->title);
}
