/* How sure the counts are. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/chart.h"
#include "report/section.h"
#include "report/sentences.h"

static const struct ol_column uncertainty_columns[] = {
    {"quantity", "quantity", OL_COLUMN_TEXT},
    {"value", "value", OL_COLUMN_NUMBER},
    {"low", "low", OL_COLUMN_NUMBER},
    {"high", "high", OL_COLUMN_NUMBER},
    {0}};

static void put_interval(struct ol_grid *g, const char *what, const struct ol_interval *i)
{
    if (i == NULL)
        return;
    ol_grid_text(g, what);
    ol_grid_real(g, i->value);
    ol_grid_real(g, i->low);
    ol_grid_real(g, i->high);
}

static struct ol_grid *make_uncertainty(const struct ol_report_results *r)
{
    const struct ol_uncertainty *u = r->blocks.uncertainty;
    if (u == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(uncertainty_columns);
    put_interval(g, "pairs", u->pairs);
    put_interval(g, "unique", u->unique);
    put_interval(g, "pooled", u->pooled);
    put_interval(g, "mean share of sites", u->mean_layer_fraction);
    put_interval(g, "mean share of positions", u->mean_position_fraction);
    return g;
}

static const struct ol_table_source uncertainty_table = {
    .name = "uncertainty",
    .title = "Intervals from resampled sequences, of the mean over such sequences",
    .make = make_uncertainty};

static const struct ol_column margin_columns[] = {
    {"change", "change of the threshold", OL_COLUMN_TEXT},
    {"threshold", "threshold", OL_COLUMN_NUMBER},
    {"pairs", "pairs", OL_COLUMN_COUNT},
    {0}};

static struct ol_grid *make_margin(const struct ol_report_results *r)
{
    const struct ol_uncertainty *u = r->blocks.uncertainty;
    if (u == NULL || u->margin == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(margin_columns);
    const struct ol_margin_count *counts = u->margin->counts.items;
    bool known = false;
    for (int64_t i = 0; i < u->margin->counts.n; i++) {
        if (i == u->margin->counts.n / 2) {
            ol_grid_text(g, "none");
            ol_grid_real(g, r->criterion->threshold);
            ol_grid_int(g, r->pairs->count);
        }
        ol_grid_text(g, counts[i].change);
        ol_grid_real(g, counts[i].threshold);
        ol_grid_int(g, counts[i].pairs);
        known = known || counts[i].pairs != OL_ABSENT;
    }
    if (known)
        return g;
    ol_grid_free(g);
    return NULL;
}

static const struct ol_table_source margin_table = {
    .name = "margin", .title = "Pairs with a threshold nearby", .make = make_margin};

static const struct ol_column consistency_columns[] = {
    {"batches", "batches", OL_COLUMN_LABEL},
    {"n_features", "features", OL_COLUMN_COUNT},
    {0}};

static const struct ol_table_source consistency_table = {
    "consistency", "Features by the number of batches in which they qualify",
    consistency_columns, "uncertainty.consistency", NULL};

/* ---- figures ---- */

enum { MOST_BATCHES = 1024 };

static bool has_uncertainty(const struct ol_report_results *r)
{
    const struct ol_uncertainty *u = r->blocks.uncertainty;
    return u != NULL && u->pairs != NULL && !isnan(u->pairs->low);
}

struct interval_row {
    const char *name, *suffix;
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
                    row->factor * i->value, row->suffix, row->factor * i->low,
                    row->factor * i->high);
    } else {
        ol_svg_text(out, 180, y + 4, 's', "", "%.4g%s", row->factor * i->value,
                    row->suffix);
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

static const struct ol_figure uncertainty_figure = {
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

static const struct ol_figure consistency_figure = {
    "consistency",
    "Consistency over sequences",
    "How many features qualify in exactly so many batches. Bars on the right are "
    "features "
    "of the model, whatever the text; bars on the left are features of a text.",
    "It needs at least one outlier feature, and at least two batches of sequences.",
    has_consistency,
    draw_consistency};

/* ---- section ---- */

static bool has(const struct ol_report_results *r)
{
    return r->blocks.uncertainty != NULL;
}

static void say_halves(const struct ol_split_half *halves, struct ol_section_out *to)
{
    if (halves != NULL && !isnan(halves->jaccard))
        ol_section_say(to,
                       "Split in halves, the sequences give %" PRId64 " and %" PRId64
                       " unique features, of which %" PRId64
                       " are the same (Jaccard %.2f).",
                       halves->unique_a, halves->unique_b, halves->both, halves->jaccard);
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    const struct ol_uncertainty *u = r->blocks.uncertainty;
    if (ol_section_text(to) != NULL && u->resamples > 0 && !isnan(u->level))
        ol_section_say(to,
                       "%g %% intervals from %" PRId64
                       " resamples of the sequences (seed %" PRId64
                       "), of the mean over such sequences. unique has none: what is "
                       "drawn twice finds nothing new.",
                       100 * u->level, u->resamples, u->seed == OL_ABSENT ? 0 : u->seed);
    ol_section_figure(to, &uncertainty_figure, &uncertainty_table);
    char *margin = ol_text_margin(r);
    if (margin != NULL)
        ol_section_say(to, "%s", margin);
    free(margin);
    ol_section_table(to, &margin_table);
    if (u != NULL)
        say_halves(u->split_half, to);
    if (u != NULL)
        ol_section_figure(to, &consistency_figure, NULL);
    ol_section_numbers(to, &consistency_table);
}

static const struct ol_table_source *const tables[] = {&uncertainty_table, &margin_table,
                                                       &consistency_table, NULL};
static const struct ol_figure *const figures[] = {&uncertainty_figure,
                                                  &consistency_figure, NULL};

const struct ol_section ol_uncertainty_section = {"uncertainty", "Uncertainty", tables,
                                                  figures,       has,           write};
