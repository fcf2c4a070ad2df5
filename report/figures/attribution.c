/* Who wrote the massive and outlier dimensions of the residual stream. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/figures.h"
#include "report/tables.h"
#include "report/text.h"

enum { MOST_FEATURES = 8, MOST_WRITERS = 5, ROW = 20, HEAD = 30, GAP = 16, NAMES = 150 };

static bool has_attribution(const struct ol_report_results *r)
{
    return r->blocks.attribution != NULL && r->blocks.attribution->features.n > 0;
}

static int64_t at_most(int64_t n, int64_t most)
{
    return n < most ? n : most;
}

/* Colours tell the kind, and so does the name in front. */
static const char *class_of(const char *kind)
{
    if (kind == NULL || strcmp(kind, "attention") == 0)
        return "f2";
    return strcmp(kind, "expert") == 0 ? "f1" : "f3";
}

static void draw_writer(FILE *out, const struct ol_writer *w, double x, double y,
                        double width)
{
    /* Of a dimension that nobody wrote to, nobody has a share. */
    const double share = isnan(w->share) ? 0 : fmax(0, fmin(1, w->share));
    char *unit = ol_table_unit(w->kind, w->expert);
    char *tip =
        ol_xasprintf("layer %" PRId64 ", %s: %s %% of what was written, sum %s", w->layer,
                     unit, ol_text_percent(share).text, ol_text_magnitude(w->sum).text);
    ol_svg_text(out, x + NAMES - 8, y + 13, 'e', "", "L%" PRId64 " %s", w->layer, unit);
    ol_svg_rect(out, x + NAMES, y + 3, fmax(1, share * width), ROW - 6, class_of(w->kind),
                tip);
    ol_svg_text(out, x + NAMES + share * width + 5, y + 13, 's', "mu", "%s %%",
                ol_text_percent(w->share).text);
    free(tip);
    free(unit);
}

/* Of the writers that are shown, so that the longest bar fills its room. */
static double largest_share(const struct ol_list *list, int64_t n)
{
    const struct ol_attributed_feature *features = list->items;
    double most = 0.01;
    for (int64_t i = 0; i < n; i++) {
        const struct ol_writer *writers = features[i].writers.items;
        for (int64_t k = 0; k < at_most(features[i].writers.n, MOST_WRITERS); k++)
            most = fmax(most, writers[k].share); /* passes over NAN */
    }
    return fmin(1, most);
}

/* Two features side by side. */
static void draw_attribution(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_list *list = &r->blocks.attribution->features;
    const struct ol_attributed_feature *features = list->items;
    const int64_t n = at_most(list->n, MOST_FEATURES);
    const double most = largest_share(list, n);
    const double block = HEAD + MOST_WRITERS * ROW + GAP, half = OL_FIGURE_WIDTH / 2.0;
    ol_svg_open(c, OL_FIGURE_WIDTH, block * (double)((n + 1) / 2) + 34);
    const struct ol_series kinds[] = {{.name = "routed expert", .no_line = true},
                                      {.name = "attention", .no_line = true},
                                      {.name = "shared expert or MLP", .no_line = true}};
    ol_chart_legend(c->out, 8, 14, kinds, 3);
    for (int64_t i = 0; i < n; i++) {
        const struct ol_writer *writers = features[i].writers.items;
        const double x = i % 2 == 0 ? 0 : half, y = 34 + block * (double)(i / 2);
        ol_svg_text(c->out, x + 8, y + 14, 's', "t", "dimension %" PRId64 ", maximum %s",
                    features[i].feature,
                    ol_text_magnitude(features[i].max_magnitude).text);
        for (int64_t k = 0; k < at_most(features[i].writers.n, MOST_WRITERS); k++)
            draw_writer(c->out, &writers[k], x, y + HEAD - 8 + (double)k * ROW,
                        (half - NAMES - 60) / most);
    }
    ol_svg_close(c);
}

const struct ol_figure ol_attribution_figure = {
    "attribution",
    "Who writes the largest dimensions",
    "For the largest dimensions of the residual stream (at most 8), the parts of the "
    "model "
    "that add the most to them: a bar's length is the writer's share of everything "
    "written there, "
    "by magnitude. One long bar means that a single expert makes the outlier.",
    "It needs the writes that ol-extract records with its summaries (run it without "
    "--no-summaries).",
    has_attribution,
    draw_attribution};

/* ---- by layer ---- */

static bool has_writes(const struct ol_report_results *r)
{
    return r->blocks.attribution != NULL && r->blocks.attribution->layers.n > 0;
}

static void draw_writes(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_list *list = &r->blocks.attribution->layers;
    const struct ol_attribution_layer *layers = list->items;
    const size_t n = (size_t)list->n;
    double *x = ol_xcalloc(n, sizeof *x), *y = ol_xcalloc(2 * n, sizeof *y);
    for (size_t i = 0; i < n; i++) {
        x[i] = (double)layers[i].layer;
        y[i] = layers[i].mlp;
        y[n + i] = layers[i].attention;
    }
    const struct ol_series series[] = {
        {.name = "MLP (all its experts)", .x = x, .y = y, .n = (long)n},
        {.name = "attention", .x = x, .y = y + n, .n = (long)n}};
    const struct ol_chart chart = {
        .series = series,
        .n_series = 2,
        .x = {.title = "layer", .whole = true},
        .y = {.title = "mean |write| (log scale)", .log = true},
        .x_high = fmax(1, (double)r->model.n_layers - 1),
        .height = 260};
    ol_chart_draw(c, &chart);
    free(y);
    free(x);
}

const struct ol_figure ol_writes_figure = {
    "writes",
    "Writes into the top dimension",
    "How much attention and the MLP of each layer add, on average, to the largest "
    "dimension of each token. A spike is a layer that creates or removes massive "
    "activations.",
    "It needs the writes that ol-extract records with its summaries (run it without "
    "--no-summaries).",
    has_writes,
    draw_writes};
