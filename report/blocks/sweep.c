/* What other criteria would count. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/chart.h"
#include "report/heatmap.h"
#include "report/section.h"
#include "report/table.h"

static const struct ol_column sweep_columns[] = {
    {"threshold", "threshold", OL_COLUMN_NUMBER},
    {"layer_fraction", "sites, %", OL_COLUMN_PERCENT},
    {"position_fraction", "positions, %", OL_COLUMN_PERCENT},
    {"pairs", "pairs", OL_COLUMN_COUNT},
    {"unique", "unique", OL_COLUMN_COUNT},
    {0}};

static struct ol_grid *make_sweep(const struct ol_report_results *r)
{
    const struct ol_sweep *s = r->blocks.sweep;
    if (s == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(sweep_columns);
    const int64_t n_l = s->layer_fractions.n, n_p = s->position_fractions.n;
    for (int64_t i = 0; i < s->thresholds.n * n_l * n_p; i++) {
        ol_grid_real(g, s->thresholds.items[i / (n_l * n_p)]);
        ol_grid_real(g, s->layer_fractions.items[i / n_p % n_l]);
        ol_grid_real(g, s->position_fractions.items[i % n_p]);
        ol_grid_whole(g, i < s->pairs.n ? s->pairs.items[i] : NAN);
        ol_grid_whole(g, i < s->unique.n ? s->unique.items[i] : NAN);
    }
    return g;
}

static const struct ol_table_source sweep_table = {
    .name = "sweep",
    .title = "Counts at other thresholds, shares of sites and of positions",
    .make = make_sweep};

/* ---- figures ---- */

enum { NAME_BYTES = 16 };

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
                                   .suffix = " features",
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

static const struct ol_figure sweep_figure = {
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

static const struct ol_figure thresholds_figure = {
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
/* ---- where there are no figures ---- */

static void print_sweep(const struct ol_report_results *r, FILE *out)
{
    static const double layers[] = {0.05, 0.1, 0.25, 0.5, 0.75, 1};
    enum { N = sizeof layers / sizeof layers[0] };
    const struct ol_sweep *s = r->blocks.sweep;
    if (s == NULL || s->thresholds.n == 0 || s->layer_fractions.n == 0 ||
        s->position_fractions.n == 0 || s->pairs.items == NULL || s->unique.items == NULL)
        return;
    const int64_t p = nearest(&s->position_fractions, r->criterion->min_positions);
    int64_t steps[N];
    struct ol_table *t = ol_table_new("rrrrrrr");
    ol_table_cell(t, "|x| \xe2\x89\xa5");
    for (int i = 0; i < N; i++) {
        steps[i] = nearest(&s->layer_fractions, layers[i]);
        ol_table_cell(t, "%g %%", 100 * s->layer_fractions.items[steps[i]]);
    }
    for (int64_t x = 0; x < s->thresholds.n; x++) {
        ol_table_cell(t, "%g", s->thresholds.items[x]);
        for (int i = 0; i < N; i++) {
            const int64_t cell =
                (x * s->layer_fractions.n + steps[i]) * s->position_fractions.n + p;
            ol_table_cell(t, "%.0f / %.0f", s->pairs.items[cell], s->unique.items[cell]);
        }
    }
    fprintf(out,
            "\nPairs / unique features for other thresholds (rows) "
            "and shares of sites (columns), at %g %%\nof the positions and with every "
            "sequence a batch of its own.\n\n",
            100 * s->position_fractions.items[p]);
    ol_table_print(t, out);
}

/* ---- section ---- */

static bool has(const struct ol_report_results *r)
{
    const struct ol_sweep *s = r->blocks.sweep;
    return s != NULL && s->pairs.n > 0 && s->unique.n > 0;
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    ol_section_figure(to, &sweep_figure, NULL);
    ol_section_figure(to, &thresholds_figure, NULL);
    ol_section_numbers(to, &sweep_table);
    if (ol_section_text(to) != NULL)
        print_sweep(r, ol_section_text(to));
}

static const struct ol_table_source *const tables[] = {&sweep_table, NULL};
static const struct ol_figure *const figures[] = {&sweep_figure, &thresholds_figure,
                                                  NULL};

const struct ol_section ol_sweep_section = {
    "sweep", "Other criteria", tables, figures, has, write};
