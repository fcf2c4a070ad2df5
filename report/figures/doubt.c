/* How the counts hang on the criterion, and on the sequences that happened to be read. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/chart.h"
#include "report/figures.h"
#include "report/heatmap.h"
#include "report/text.h"

enum { NAME_BYTES = 16, MOST_BATCHES = 1024 };

static bool has_sweep(const struct ol_report_results *r)
{
    const struct ol_sweep *s = r->blocks.sweep;
    for (int64_t i = 0; s != NULL && i < s->unique.n; i++)
        if (s->unique.items[i] > 0)
            return true;
    return false;
}

static const char sweep_needs[] = "It needs recorded tensors (ol-extract --store bf16, "
                                  "the default), and a feature that "
                                  "qualifies under at least one of the criteria shown.";

static int64_t nearest(const struct ol_reals *values, double wanted)
{
    int64_t best = 0;
    for (int64_t i = 1; i < values->n; i++)
        if (fabs(values->items[i] - wanted) < fabs(values->items[best] - wanted))
            best = i;
    return best;
}

static void name_percent(const struct ol_reals *fractions, bool reverse,
                         char (*names)[NAME_BYTES], const char **texts)
{
    for (int64_t i = 0; i < fractions->n; i++) {
        const int64_t k = reverse ? fractions->n - 1 - i : i;
        snprintf(names[i], NAME_BYTES, "%.3g %%", 100 * fractions->items[k]);
        texts[i] = names[i];
    }
}

/* More sites needed: higher up. */
static void draw_sweep(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_sweep *s = r->blocks.sweep;
    const int64_t rows = s->layer_fractions.n, columns = s->position_fractions.n;
    const int64_t t = nearest(&s->thresholds, r->criterion->threshold);
    double *values = ol_xcalloc((size_t)(rows * columns), sizeof *values);
    bool *marked = ol_xcalloc((size_t)(rows * columns), sizeof *marked);
    char(*names)[NAME_BYTES] = ol_xcalloc((size_t)(rows + columns), NAME_BYTES);
    const char **texts = ol_xcalloc((size_t)(rows + columns), sizeof *texts);
    for (int64_t i = 0; i < rows * columns; i++) {
        const double n =
            s->unique.items[(t * rows + rows - 1 - i / columns) * columns + i % columns];
        values[i] = n > 0 ? n : NAN;
    }
    marked[(rows - 1 - nearest(&s->layer_fractions, r->criterion->min_layers)) * columns +
           nearest(&s->position_fractions, r->criterion->min_positions)] = true;
    name_percent(&s->layer_fractions, true, names, texts);
    name_percent(&s->position_fractions, false, names + rows, texts + rows);
    char *title = ol_xasprintf(
        "unique features with |x| \xe2\x89\xa5 %g (ring: the criterion used)",
        s->thresholds.items[t]);
    const struct ol_heatmap map = {.n_columns = columns,
                                   .n_rows = rows,
                                   .values = values,
                                   .row_names = texts,
                                   .column_names = texts + rows,
                                   .x_title = "positions at least",
                                   .y_title = "sites at least",
                                   .scale_title = title,
                                   .unit = " features",
                                   .missing = "none",
                                   .log = true,
                                   .row_height = 17,
                                   .marked = marked};
    ol_heatmap_draw(c, &map);
    free(title);
    free(texts);
    free(names);
    free(marked);
    free(values);
}

const struct ol_figure ol_sweep_figure = {
    "sweep",
    "Unique features under other criteria",
    "How many features would qualify if an outlier had to appear at more or fewer sites "
    "(up) and positions (right), at the threshold of this analysis. If colours change "
    "fast around the ring, the count hangs on the choice of the criterion.",
    sweep_needs,
    has_sweep,
    draw_sweep};

/* The cell of this analysis in the table of each threshold. */
static int64_t criterion_cell(const struct ol_report_results *r)
{
    const struct ol_sweep *s = r->blocks.sweep;
    return nearest(&s->layer_fractions, r->criterion->min_layers) *
               s->position_fractions.n +
           nearest(&s->position_fractions, r->criterion->min_positions);
}

static bool has_thresholds(const struct ol_report_results *r)
{
    const struct ol_sweep *s = r->blocks.sweep;
    const int64_t step = s != NULL ? s->layer_fractions.n * s->position_fractions.n : 0;
    if (!has_sweep(r))
        return false;
    for (int64_t t = 0; t < s->thresholds.n; t++)
        if (s->unique.items[t * step + criterion_cell(r)] > 0)
            return true;
    return false;
}

static void draw_thresholds(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_sweep *s = r->blocks.sweep;
    const int64_t rows = s->layer_fractions.n, columns = s->position_fractions.n,
                  cell = criterion_cell(r);
    const size_t n = (size_t)s->thresholds.n;
    double *y = ol_xcalloc(2 * n, sizeof *y);
    for (size_t t = 0; t < n; t++) {
        y[t] = s->unique.items[(int64_t)t * rows * columns + cell];
        y[n + t] =
            s->pairs.n > 0 ? s->pairs.items[(int64_t)t * rows * columns + cell] : NAN;
    }
    const struct ol_series series[] = {
        {.name = "unique", .x = s->thresholds.items, .y = y, .n = (long)n},
        {.name = "pairs", .x = s->thresholds.items, .y = y + n, .n = (long)n}};
    const struct ol_chart chart = {.series = series,
                                   .n_series = 2,
                                   .x = {.title = "threshold of |x|"},
                                   .y = {.title = "count (log scale)", .log = true},
                                   .x_low = n > 0 ? s->thresholds.items[0] : 0,
                                   .x_high = n > 0 ? s->thresholds.items[n - 1] : 0,
                                   .height = 260};
    ol_chart_draw(c, &chart);
    free(y);
}

const struct ol_figure ol_thresholds_figure = {
    "thresholds",
    "Counts against the threshold",
    "The two counts at the shares of sites and positions of this analysis, for other "
    "magnitudes. A straight fall means that no threshold is special; a plateau that "
    "outliers stand apart from the rest.",
    sweep_needs,
    has_thresholds,
    draw_thresholds};

/* ---- intervals ---- */

/* Of a single batch there is none. */
static bool has_uncertainty(const struct ol_report_results *r)
{
    const struct ol_uncertainty *u = r->blocks.uncertainty;
    return u != NULL && u->pairs != NULL && !isnan(u->pairs->low);
}

struct interval_row {
    const char *name, *unit;
    const struct ol_interval *interval;
    double factor;
};

/* Each quantity has its own scale, from 0, because they have nothing in common. The
 * numbers stand before it, where a small screen shows them. */
static void draw_interval(FILE *out, const struct interval_row *row, double top)
{
    const struct ol_interval *i = row->interval;
    const double left = 350, right = OL_FIGURE_WIDTH - OL_FIGURE_RIGHT, y = top + 14;
    ol_svg_text(out, 12, y + 4, 's', "", "%s", row->name);
    if (i == NULL || isnan(i->value)) {
        ol_svg_text(out, 180, y + 4, 's', "mu", "not known");
        return;
    }
    const bool has_band = !isnan(i->low) && !isnan(i->high);
    const double values[] = {i->value, i->high};
    struct ol_axis axis = {
        .low = INFINITY, .high = -INFINITY, .start = left, .end = right};
    ol_axis_include(&axis, values, 2);
    ol_axis_round(&axis, true);
    ol_svg_line(out, left, y, right, y, "gr");
    if (has_band) {
        const double low = ol_axis_at(&axis, i->low), high = ol_axis_at(&axis, i->high);
        ol_svg_rect(out, low, y - 4, fmax(1, high - low), 8, "c10", NULL);
        ol_svg_text(out, 180, y + 4, 's', "", "%.4g%s [%.4g, %.4g]",
                    row->factor * i->value, row->unit, row->factor * i->low,
                    row->factor * i->high);
    } else {
        ol_svg_text(out, 180, y + 4, 's', "", "%.4g%s", row->factor * i->value,
                    row->unit);
    }
    ol_svg_circle(out, ol_axis_at(&axis, i->value), y, 5, "f1", NULL);
}

static void draw_uncertainty(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_uncertainty *u = r->blocks.uncertainty;
    const struct interval_row rows[] = {
        {"pairs", "", u->pairs, 1},
        {"unique", "", u->unique, 1},
        {"pooled", "", u->pooled, 1},
        {"mean share of sites", " %", u->mean_layer_fraction, 100},
        {"mean share of positions", " %", u->mean_position_fraction, 100}};
    const int n = sizeof rows / sizeof rows[0];
    ol_svg_open(c, OL_FIGURE_WIDTH, 30 * n + 12);
    for (int i = 0; i < n; i++)
        draw_interval(c->out, &rows[i], 30 * i + 4);
    ol_svg_close(c);
}

const struct ol_figure ol_uncertainty_figure = {
    "uncertainty",
    "Intervals from resampled sequences",
    "Each point is a value of this report, its band what resampling the sequences "
    "(bootstrap) makes of it: an interval of the mean over such sequences, not of one "
    "more sequence, nor of what another threshold would give. unique has none, for what "
    "is drawn twice finds nothing new. Every row has its own scale, from 0.",
    "It needs at least two batches of sequences.",
    has_uncertainty,
    draw_uncertainty};

/* ---- consistency ---- */

static bool has_consistency(const struct ol_report_results *r)
{
    const struct ol_uncertainty *u = r->blocks.uncertainty;
    const struct ol_consistency *items =
        u != NULL && r->n_batches > 1 ? u->consistency.items : NULL;
    for (int64_t i = 0; items != NULL && i < u->consistency.n; i++)
        if (items[i].n_features > 0)
            return true;
    return false;
}

/* Batches that the list leaves out have no features. */
static void count_batches(const struct ol_list *list, double *counts, int64_t n)
{
    const struct ol_consistency *items = list->items;
    for (int64_t i = 0; i < list->n; i++)
        if (items[i].batches >= 1 && items[i].batches <= n)
            counts[items[i].batches - 1] += (double)items[i].n_features;
}

static void draw_bars(FILE *out, const double *counts, int64_t n, const struct ol_axis *y)
{
    const double step = (OL_FIGURE_WIDTH - OL_FIGURE_RIGHT - OL_FIGURE_LEFT) / (double)n;
    const int64_t every = step < 24 ? (int64_t)ceil(24 / step) : 1;
    for (int64_t i = 0; i < n; i++) {
        const double x = OL_FIGURE_LEFT + (double)i * step,
                     top = ol_axis_at(y, counts[i]);
        char *tip = ol_xasprintf("%.0f features qualify in exactly %" PRId64 " batches",
                                 counts[i], i + 1);
        ol_svg_rect(out, x + 0.1 * step, top, 0.8 * step, y->start - top, "f1", tip);
        if (i % every == 0)
            ol_svg_text(out, x + step / 2, y->start + 17, 'm', "mu", "%" PRId64, i + 1);
        free(tip);
    }
}

static void draw_consistency(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const double height = 240, bottom = height - OL_FIGURE_BOTTOM,
                 right = OL_FIGURE_WIDTH - OL_FIGURE_RIGHT;
    const int64_t n =
        r->n_batches > 0 && r->n_batches < MOST_BATCHES ? r->n_batches : MOST_BATCHES;
    double *counts = ol_xcalloc((size_t)n, sizeof *counts);
    count_batches(&r->blocks.uncertainty->consistency, counts, n);
    struct ol_axis y = {.whole = true, .start = bottom, .end = 14, .title = "features"};
    ol_axis_include(&y, counts, n);
    ol_axis_round(&y, true);
    ol_svg_open(c, OL_FIGURE_WIDTH, height);
    ol_axis_draw_y(c->out, &y, OL_FIGURE_LEFT, right);
    draw_bars(c->out, counts, n, &y);
    ol_svg_line(c->out, OL_FIGURE_LEFT, bottom, right, bottom, "ax");
    ol_svg_text(c->out, (OL_FIGURE_LEFT + right) / 2, bottom + 35, 'm', "mu",
                "batches in which a feature qualifies");
    ol_svg_close(c);
    free(counts);
}

const struct ol_figure ol_consistency_figure = {
    "consistency",
    "Consistency over sequences",
    "How many features qualify in exactly so many batches. Bars on the right are "
    "features "
    "of the model, whatever the text; bars on the left are features of a text.",
    "It needs at least one outlier feature, and at least two batches of sequences.",
    has_consistency,
    draw_consistency};
