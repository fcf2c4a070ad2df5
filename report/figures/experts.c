/* Experts: how much they get to do, how much they put out, and who writes what. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/figures.h"
#include "report/heatmap.h"
#include "report/tables.h"
#include "report/text.h"

enum { NAME_BYTES = 24 };

static int64_t n_layers(const struct ol_report_results *r)
{
    return r->model->n_layers > 0 ? r->model->n_layers : 1;
}

/* All experts of all layers, without a value. */
static double *blank(int64_t rows, int64_t columns)
{
    double *values = ol_xcalloc((size_t)(rows * columns), sizeof *values);
    for (int64_t i = 0; i < rows * columns; i++)
        values[i] = NAN;
    return values;
}

/* ---- load ---- */

static bool has_loads(const struct ol_report_results *r)
{
    return r->blocks.router != NULL && r->blocks.router->layers.n > 0 &&
           r->blocks.router->n_experts > 0;
}

static void draw_load(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_routing *router = r->blocks.router;
    const struct ol_router_loads *layers = router->layers.items;
    const int64_t columns = n_layers(r), rows = router->n_experts;
    double *values = blank(rows, columns);
    for (int64_t i = 0; i < router->layers.n; i++)
        for (int64_t e = 0;
             e < layers[i].tokens.n && layers[i].layer >= 0 && layers[i].layer < columns;
             e++)
            if (layers[i].tokens.items[e] > 0)
                values[e * columns + layers[i].layer] =
                    layers[i].tokens.items[e] * (double)rows / (double)layers[i].n_pairs;
    const struct ol_heatmap map = {.n_columns = columns,
                                   .n_rows = rows,
                                   .values = values,
                                   .x_title = "layer",
                                   .y_title = "expert",
                                   .scale_title = "tokens, times an even share",
                                   .unit = " x an even share",
                                   .missing = "never chosen, or no experts",
                                   .log = true,
                                   .low = 0.1,
                                   .high = 10};
    ol_heatmap_draw(c, &map);
    free(values);
}

const struct ol_figure ol_load_figure = {
    "load",
    "Tokens of each expert",
    "One cell per expert and layer: how many tokens the router sent there, as a multiple "
    "of an even share (1 is even; the scale is logarithmic). Blank cells were never "
    "chosen.",
    OL_NEEDS_ROUTERS,
    has_loads,
    draw_load};

static bool has_router(const struct ol_report_results *r)
{
    return r->blocks.router != NULL && r->blocks.router->layers.n > 0;
}

static void draw_entropy(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_routing *router = r->blocks.router;
    const struct ol_router_loads *layers = router->layers.items;
    const size_t n = (size_t)router->layers.n;
    double *x = ol_xcalloc(n, sizeof *x), *y = ol_xcalloc(2 * n, sizeof *y);
    for (size_t i = 0; i < n; i++) {
        x[i] = (double)layers[i].layer;
        y[i] = exp2(layers[i].entropy);
        y[n + i] = (double)router->n_experts / layers[i].max_load;
    }
    const struct ol_series series[] = {
        {.name = "2^entropy", .x = x, .y = y, .n = (long)n},
        {.name = "experts / busiest expert's multiple",
         .x = x,
         .y = y + n,
         .n = (long)n}};
    const struct ol_chart chart = {.series = series,
                                   .n_series = 2,
                                   .x = {.title = "layer", .whole = true},
                                   .y = {.title = "effective number of experts"},
                                   .y_from_zero = true,
                                   .x_high = fmax(1, (double)n_layers(r) - 1),
                                   .height = 260};
    ol_chart_draw(c, &chart);
    free(y);
    free(x);
}

const struct ol_figure ol_entropy_figure = {
    "entropy",
    "Effective number of experts",
    "How many experts, equally loaded, would give the same entropy (2 to the power of "
    "the "
    "bits), and how many would give the same busiest expert. Both equal the number of "
    "experts when the load is even.",
    OL_NEEDS_ROUTERS,
    has_router,
    draw_entropy};

/* ---- largest outputs ---- */

static bool has_units(const struct ol_report_results *r)
{
    return r->blocks.super_experts != NULL && r->blocks.super_experts->layers.n > 0;
}

/* Rows: routed experts by number, then what has no number: shared experts, dense MLPs. */
static int64_t row_of(const char *kind, int64_t expert, int64_t n_routed)
{
    if (kind != NULL && strcmp(kind, "expert") == 0 && expert >= 0 && expert < n_routed)
        return expert;
    return n_routed;
}

static void mark(const struct ol_super_block *s, int64_t n_routed, int64_t columns,
                 bool *marked)
{
    const struct ol_super_expert *experts = s->experts.items;
    for (int64_t i = 0; i < s->experts.n; i++)
        if (experts[i].who.layer >= 0 && experts[i].who.layer < columns)
            marked[row_of(experts[i].who.kind, experts[i].who.expert, n_routed) *
                       columns +
                   experts[i].who.layer] = true;
}

static void draw_experts(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_super_block *s = r->blocks.super_experts;
    const struct ol_super_layer *layers = s->layers.items;
    const int64_t columns = n_layers(r), n_routed = r->model->n_experts;
    bool others = n_routed == 0;
    double *values = blank(n_routed + 1, columns);
    bool *marked = ol_xcalloc((size_t)((n_routed + 1) * columns), sizeof *marked);
    for (int64_t i = 0; i < s->layers.n; i++) {
        const struct ol_super_unit *units = layers[i].units.items;
        for (int64_t k = 0;
             k < layers[i].units.n && layers[i].layer >= 0 && layers[i].layer < columns;
             k++) {
            const int64_t row = row_of(units[k].kind, units[k].expert, n_routed);
            double *value = &values[row * columns + layers[i].layer];
            *value = fmax(*value, fabs(units[k].output)); /* fmax passes over NAN */
            others = others || row == n_routed;
        }
    }
    mark(s, n_routed, columns, marked);
    char(*names)[NAME_BYTES] = ol_xcalloc((size_t)(n_routed + 1), NAME_BYTES);
    const char **texts = ol_xcalloc((size_t)(n_routed + 1), sizeof *texts);
    for (int64_t i = 0; i <= n_routed; i++) {
        snprintf(names[i], NAME_BYTES, "%" PRId64, i);
        texts[i] = i < n_routed ? names[i] : "others";
    }
    const struct ol_heatmap map = {
        .n_columns = columns,
        .n_rows = n_routed + (others ? 1 : 0),
        .values = values,
        .row_names = texts,
        .x_title = "layer",
        .y_title = "expert",
        .scale_title = "largest |output| of down_proj (rings: super experts)",
        .unit = "",
        .missing = "no tokens",
        .log = true,
        .marked = marked};
    ol_heatmap_draw(c, &map);
    free(texts);
    free(names);
    free(marked);
    free(values);
}

const struct ol_figure ol_experts_figure = {
    "experts",
    "Largest output of each expert",
    "One cell per expert and layer: the largest magnitude that its down projection put "
    "out, on a logarithmic scale; rings mark super experts. The last row, \"others\", "
    "holds shared experts and dense MLPs.",
    OL_NEEDS_EXPERTS,
    has_units,
    draw_experts};
