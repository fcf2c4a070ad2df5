/* Magnitudes and shapes of the values, layer by layer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/figures.h"

static double last_layer(const struct ol_report_results *r)
{
    return (double)(r->model->n_layers > 1 ? r->model->n_layers - 1 : 1);
}

static bool has_sites(const struct ol_report_results *r)
{
    return r->blocks.sites.n > 0;
}

static void draw_magnitudes(const struct ol_report_results *r, const struct ol_canvas *c)
{
    static const char *const sites[] = {"ln_attn", "ln_mlp"};
    const struct ol_site_values *all = r->blocks.sites.items;
    const int64_t n = r->blocks.sites.n;
    double *x = ol_xcalloc((size_t)(2 * n + 2), sizeof *x),
           *y = ol_xcalloc((size_t)(2 * n + 2), sizeof *y);
    struct ol_series series[3] = {
        {.name = "ln_attn", .x = x, .y = y},
        {.name = "ln_mlp", .x = x + n, .y = y + n},
        {.name = "threshold", .x = x + 2 * n, .y = y + 2 * n, .n = 2}};
    for (int64_t i = 0; i < n; i++)
        for (int s = 0; s < 2; s++) {
            if (strcmp(all[i].site, sites[s]) != 0)
                continue;
            x[s * n + series[s].n] = (double)all[i].layer;
            y[s * n + series[s].n++] = all[i].max_magnitude;
        }
    x[2 * n + 1] = last_layer(r);
    y[2 * n] = y[2 * n + 1] = r->criterion->threshold;
    const struct ol_chart chart = {.series = series,
                                   .n_series = 3,
                                   .x = {.title = "layer", .whole = true},
                                   .y = {.title = "largest |x| (log scale)", .log = true},
                                   .x_high = last_layer(r)};
    ol_chart_draw(c, &chart);
    free(y);
    free(x);
}

const struct ol_figure ol_magnitudes_figure = {
    "magnitudes",
    "Largest magnitude by layer",
    "The largest value at the output of each layer's two norms, ln_attn before attention "
    "and ln_mlp before the MLP, on a logarithmic scale. "
    "The dotted line is the threshold above which a value counts as an occurrence.",
    "It needs recorded tensors or summaries of ln_attn and ln_mlp (ol-extract --sites).",
    has_sites,
    draw_magnitudes};

/* ---- the residual stream ---- */

static bool has_stream(const struct ol_report_results *r)
{
    return r->blocks.massive != NULL && r->blocks.massive->layers.n > 0;
}

static void draw_stream(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_list *list = &r->blocks.massive->layers;
    const struct ol_massive_after *layers = list->items;
    const size_t n = (size_t)list->n;
    double *x = ol_xcalloc(n, sizeof *x), *y = ol_xcalloc(4 * n, sizeof *y);
    const struct ol_series series[] = {
        {.name = "largest of a sequence", .x = x, .y = y, .n = list->n},
        {.name = "third largest", .x = x, .y = y + n, .n = list->n},
        {.name = "largest of a token", .x = x, .y = y + 2 * n, .n = list->n},
        {.name = "median", .x = x, .y = y + 3 * n, .n = list->n}};
    for (size_t i = 0; i < n; i++) {
        const struct ol_reals *top = &layers[i].mean_top,
                              *published = &layers[i].mean_top_published;
        x[i] = (double)layers[i].layer;
        y[i] = published->n > 0 ? published->items[0] : NAN;
        y[n + i] = published->n > 2 ? published->items[2] : NAN;
        y[2 * n + i] = top->n > 0 ? top->items[0] : NAN;
        y[3 * n + i] = layers[i].median_magnitude;
    }
    const struct ol_chart chart = {
        .series = series,
        .n_series = 4,
        .x = {.title = "layer", .whole = true},
        .y = {.title = "|x| of the stream (log scale)", .log = true},
        .x_high = last_layer(r)};
    ol_chart_draw(c, &chart);
    free(y);
    free(x);
}

const struct ol_figure ol_stream_figure = {
    "stream",
    "The residual stream after each layer",
    "The largest and the third largest magnitude of a sequence's stream, means over the "
    "sequences (the published curve, arXiv 2402.17762), beside the mean over tokens of "
    "their largest, and the median of all. Where the first line stands thousands of "
    "times "
    "above the last, and far above the third, a few values of few tokens carry the "
    "stream: massive activations.",
    OL_NEEDS_SUMMARIES,
    has_stream,
    draw_stream};

/* ---- tails ---- */

static bool has_distributions(const struct ol_report_results *r)
{
    return r->blocks.distributions != NULL && r->blocks.distributions->sites.n > 0;
}

/* The three sites by their median token or, where no token was looked at, by all values;
 * beside the first the stream by all values. */
enum { N_LINES = 4, POOLED = 3 };

static void draw_kurtosis(const struct ol_report_results *r, const struct ol_canvas *c)
{
    static const char *const sites[N_LINES] = {"ln_attn", "ln_mlp", "output", "output"};
    const struct ol_list *list = &r->blocks.distributions->sites;
    const struct ol_distribution *items = list->items;
    const bool by_token = r->blocks.distributions->kurtosis_tokens != OL_ABSENT;
    double *x = ol_xcalloc((size_t)(N_LINES * list->n), sizeof *x),
           *y = ol_xcalloc((size_t)(N_LINES * list->n), sizeof *y);
    struct ol_series series[N_LINES] = {{.name = "ln_attn"},
                                        {.name = "ln_mlp"},
                                        {.name = "output (residual stream)"},
                                        {.name = "output, all values together"}};
    for (int s = 0; s < N_LINES; s++) {
        series[s].x = x + s * list->n;
        series[s].y = y + s * list->n;
    }
    for (int64_t i = 0; i < list->n; i++)
        for (int s = 0; s < N_LINES; s++) {
            if (items[i].site == NULL || strcmp(items[i].site, sites[s]) != 0)
                continue;
            x[s * list->n + series[s].n] = (double)items[i].layer;
            y[s * list->n + series[s].n++] = by_token && s != POOLED
                                                 ? items[i].kurtosis_token_median
                                                 : items[i].kurtosis;
        }
    const struct ol_chart chart = {
        .series = series,
        .n_series = by_token ? N_LINES : POOLED,
        .x = {.title = "layer", .whole = true},
        .y = {.title = by_token ? "kurtosis of the median token (log scale)"
                                : "kurtosis of all values (log scale)",
              .log = true},
        .x_high = last_layer(r),
        .height = 260};
    ol_chart_draw(c, &chart);
    free(y);
    free(x);
}

const struct ol_figure ol_kurtosis_figure = {
    "kurtosis",
    "Kurtosis by layer",
    "Kurtosis tells how heavy the tails of the values are, without a threshold: a normal "
    "distribution has 3. It is that of each token's values, of which the median is "
    "shown. Of all values together it grows with the length of the sequences where the "
    "first token of each has a value like no other: then it measures that length. "
    "Without "
    "recorded tensors only that is known.",
    OL_NEEDS_SUMMARIES,
    has_distributions,
    draw_kurtosis};
