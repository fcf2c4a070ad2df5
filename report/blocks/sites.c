/* Magnitudes layer by layer: at each site, and in the stream. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/section.h"
#include "report/text.h"
#include "common/utf8.h"

/* ---- tables ---- */

static const struct ol_column sites_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"max_magnitude", "maximum |x|", OL_COLUMN_MAGNITUDE},
    {"occurrences", "occurrences", OL_COLUMN_COUNT},
    {"n_nan", "NaN", OL_COLUMN_COUNT},
    {"n_inf", "infinite", OL_COLUMN_COUNT},
    {0}};

static struct ol_grid *make_sites(const struct ol_report_results *r)
{
    static const struct ol_table_source all = {"sites", "", sites_columns, "sites", NULL};
    return r->blocks.sites.n > 0 ? ol_table_make(&all, r) : NULL;
}

static const struct ol_table_source sites_table = {
    .name = "sites", .title = "Sites", .make = make_sites};

static const struct ol_column massive_layers_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"median_magnitude", "median |x|", OL_COLUMN_MAGNITUDE},
    {"max_magnitude", "maximum |x|", OL_COLUMN_MAGNITUDE},
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"sequence", "sequence", OL_COLUMN_LABEL},
    {"position", "position", OL_COLUMN_LABEL},
    {"token_id", "token", OL_COLUMN_LABEL},
    {"piece", "text", OL_COLUMN_PIECE},
    {"n_values", "massive values", OL_COLUMN_COUNT},
    {"n_tokens", "tokens with one", OL_COLUMN_COUNT},
    {"token_top_1=mean_top.0", "mean largest of a token", OL_COLUMN_MAGNITUDE},
    {"sequence_top_1=mean_top_published.0", "of a sequence (published)",
     OL_COLUMN_MAGNITUDE},
    {"sequence_top_2=mean_top_published.1", "2nd", OL_COLUMN_MAGNITUDE},
    {"sequence_top_3=mean_top_published.2", "3rd", OL_COLUMN_MAGNITUDE},
    {0}};

static const struct ol_table_source massive_layers_table = {
    "massive_layers", "The residual stream after each layer", massive_layers_columns,
    "massive.layers", NULL};

/* ---- figures ---- */

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

static const struct ol_figure magnitudes_figure = {
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

static const struct ol_figure stream_figure = {
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

/* ---- where there are no figures ---- */

/* A bar of at most 32 characters on a logarithmic scale, so that 6 and 6000 can both be
 * seen. */
static void bar(char text[33], double value, double most)
{
    int n = 0;
    if (value > 0 && most > 0)
        n = isinf(value) ? 32 : (int)lround(32 * log1p(value) / log1p(most));
    memset(text, '#', (size_t)n);
    text[n] = '\0';
}

static void print_layers(const struct ol_report_results *r, FILE *out)
{
    const struct ol_site_values *sites = r->blocks.sites.items;
    double most = 0;
    if (r->blocks.sites.n == 0)
        return;
    for (int64_t i = 0; i < r->blocks.sites.n; i++)
        if (isfinite(sites[i].max_magnitude) && sites[i].max_magnitude > most)
            most = sites[i].max_magnitude;
    fprintf(out,
            "\nLargest magnitude (logarithmic bars) and values of at least "
            "%g, site by site.\n\n```\n%5s  %-7s  %-32s  %8s  %11s\n",
            r->criterion->threshold, "layer", "site", "", "max", "occurrences");
    for (int64_t i = 0; i < r->blocks.sites.n; i++) {
        const struct ol_site_values *s = &sites[i];
        char text[33],
            *site = ol_utf8_visible(s->site, ""),
            *n = s->occurrences == OL_ABSENT ? ol_xstrdup("-")
                                             : ol_xasprintf("%" PRId64, s->occurrences);
        bar(text, s->max_magnitude, most);
        fprintf(out, "%5" PRId64 "  %-7s  %-32s  %8s  %11s\n", s->layer, site, text,
                isnan(s->max_magnitude) ? "-" : ol_text_magnitude(s->max_magnitude).text,
                n);
        free(n);
        free(site);
    }
    fprintf(out, "```\n");
}

/* ---- section ---- */

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    ol_section_figure(to, &magnitudes_figure, NULL);
    ol_section_numbers(to, &sites_table);
    ol_section_figure(to, &stream_figure, NULL);
    ol_section_numbers(to, &massive_layers_table);
    if (ol_section_text(to) != NULL)
        print_layers(r, ol_section_text(to));
}

static const struct ol_table_source *const tables[] = {&sites_table,
                                                       &massive_layers_table, NULL};
static const struct ol_figure *const figures[] = {&magnitudes_figure, &stream_figure,
                                                  NULL};

const struct ol_section ol_sites_section = {
    "magnitudes", "Magnitudes by layer", tables, figures, has_sites, write};
