#include "report/axis.h"

#include <math.h>

#include "report/chart.h"
#include "report/svg.h"
#include "report/text.h"

enum { ZERO_ROW = 22, MOST_POWER = 300 };

/* Within what can be divided and multiplied without running over. */
static double bounded(double value, bool log)
{
    const double most = pow(10, MOST_POWER);
    if (log)
        return value < 1 / most ? 1 / most : value > most ? most : value;
    return value < -most ? -most : value > most ? most : value;
}

void ol_axis_include(struct ol_axis *a, const double *values, long n)
{
    for (long i = 0; i < n; i++) {
        a->zero = a->zero || (a->log && values[i] == 0);
        if (!isfinite(values[i]) || (a->log && values[i] <= 0))
            continue;
        a->low = fmin(a->low, bounded(values[i], a->log));
        a->high = fmax(a->high, bounded(values[i], a->log));
    }
}

/* 1, 2 or 5 times a power of ten that is not below x. */
static double round_step(double x)
{
    const double power = pow(10, floor(log10(x)));
    const double share = x / power;
    return power * (share <= 1.0001 ? 1 : share <= 2.0001 ? 2 : share <= 5.0001 ? 5 : 10);
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

double ol_axis_first(const struct ol_axis *a)
{
    return a->start + (a->zero ? copysign(ZERO_ROW, a->end - a->start) : 0);
}

double ol_axis_at(const struct ol_axis *a, double value)
{
    const double first = ol_axis_first(a);
    double share;
    if (a->zero && value == 0)
        return a->start + (first - a->start) / 4;
    if (isnan(value) || (a->log && value <= 0))
        return NAN;
    if (a->log)
        share = (log(bounded(value, true)) - log(a->low)) / (log(a->high) - log(a->low));
    else
        share = (bounded(value, false) - a->low) / (a->high - a->low);
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    return first + share * (a->end - first);
}

static int log_ticks(const struct ol_axis *a, double ticks[OL_MAX_TICKS])
{
    /* Also where somebody else set low and high. */
    const int first = (int)floor(fmax(log10(a->low), -MOST_POWER) + 1e-9),
              last = (int)floor(fmin(log10(a->high), MOST_POWER) + 1e-9);
    const double decades = log10(a->high) - log10(a->low);
    const int every = decades > 96   ? 50
                      : decades > 24 ? 6
                      : decades > 12 ? 4
                      : decades > 7  ? 2
                                     : 1;
    static const double steps[] = {1, 2, 5};
    const int n_parts = decades <= 2.6 ? 3 : 1;
    int n = 0;
    for (int e = first; e <= last; e += every)
        for (int p = 0; p < n_parts && n < OL_MAX_TICKS; p++)
            if (steps[p] * pow(10, e) >= a->low * 0.9999 &&
                steps[p] * pow(10, e) <= a->high * 1.0001)
                ticks[n++] = steps[p] * pow(10, e);
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

/* A break in the axis between the row of zeros and the values: the distance says nothing.
 */
static void draw_x_zero(FILE *out, const struct ol_axis *x, double top, double bottom)
{
    const double at = ol_axis_at(x, 0), gap = (ol_axis_first(x) + x->start) / 2;
    ol_svg_line(out, at, top, at, bottom, "gr");
    ol_svg_line(out, at, bottom, at, bottom + 4, "ax");
    ol_svg_text(out, at, bottom + 17, 'm', "mu", "0");
    ol_svg_line(out, gap - 1, bottom + 4, gap + 3, bottom - 4, "ax");
    ol_svg_line(out, gap + 3, bottom + 4, gap + 7, bottom - 4, "ax");
}

static void draw_y_zero(FILE *out, const struct ol_axis *y, double left, double right)
{
    const double at = ol_axis_at(y, 0), gap = (ol_axis_first(y) + y->start) / 2;
    ol_svg_line(out, left, at, right, at, "gr");
    ol_svg_text(out, left - 7, at + 4, 'e', "mu", "0");
    ol_svg_line(out, left - 4, gap + 1, left + 4, gap - 3, "ax");
    ol_svg_line(out, left - 4, gap - 3, left + 4, gap - 7, "ax");
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
    if (x->zero)
        draw_x_zero(out, x, top, bottom);
    ol_svg_line(out, x->start, bottom, x->end, bottom, "ax");
    ol_svg_text(out, (x->start + x->end) / 2, bottom + 35, 'm', "mu", "%s", x->title);
}

void ol_axis_draw_y(FILE *out, const struct ol_axis *y, double left, double right)
{
    double ticks[OL_MAX_TICKS];
    const int n = ol_axis_ticks(y, ticks);
    double title = 48; /* left of the axis, and of its numbers */
    for (int i = 0; i < n; i++) {
        const double at = ol_axis_at(y, ticks[i]);
        const struct ol_text text = ol_text_tick(ticks[i]);
        ol_svg_line(out, left, at, right, at, "gr");
        ol_svg_text(out, left - 7, at + 4, 'e', "mu", "%s", text.text);
        title = fmax(title, ol_chart_text_width(text.text) + 19);
    }
    if (y->zero)
        draw_y_zero(out, y, left, right);
    ol_svg_line(out, left, y->start, left, y->end, "ax");
    ol_svg_text_up(out, fmax(14, left - title), (y->start + y->end) / 2, y->title);
}
