/* How routers share out the tokens. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/chart.h"
#include "report/heatmap.h"
#include "report/section.h"
#include "report/sentences.h"

static const struct ol_column router_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"entropy", "entropy, bits", OL_COLUMN_MAGNITUDE},
    {"max_load", "busiest expert, times an even share", OL_COLUMN_MAGNITUDE},
    {"never_chosen", "never chosen", OL_COLUMN_COUNT},
    {0}};

static const struct ol_table_source router_table = {
    "router", "Router load by layer", router_columns, "router.layers", NULL};

static const struct ol_column loads_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"expert=#", "expert", OL_COLUMN_LABEL},
    {"n_tokens=tokens", "tokens", OL_COLUMN_COUNT},
    {"mean_weight", "mean router weight", OL_COLUMN_MAGNITUDE},
    {0}};

static const struct ol_table_source loads_table = {
    "loads", "Tokens of every expert", loads_columns, "router.layers.tokens", NULL};

/* ---- figures ---- */

static bool has_loads(const struct ol_report_results *r)
{
    return r->blocks.router != NULL && r->blocks.router->layers.n > 0 &&
           r->blocks.router->n_experts > 0;
}

static void draw_load(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_routing *router = r->blocks.router;
    const struct ol_router_loads *layers = router->layers.items;
    const int64_t columns = ol_report_layers(r), rows = router->n_experts;
    double *values = ol_heatmap_values(rows, columns);
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
                                   .suffix = " x an even share",
                                   .missing = "never chosen, or no experts",
                                   .log = true,
                                   .low = 0.1,
                                   .high = 10};
    ol_heatmap_draw(c, &map);
    free(values);
}

static const struct ol_figure load_figure = {
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
                                   .x_high = fmax(1, (double)ol_report_layers(r) - 1),
                                   .height = 260};
    ol_chart_draw(c, &chart);
    free(y);
    free(x);
}

static const struct ol_figure entropy_figure = {
    "entropy",
    "Effective number of experts",
    "How many experts, equally loaded, would give the same entropy (2 to the power of "
    "the "
    "bits), and how many would give the same busiest expert. Both equal the number of "
    "experts when the load is even.",
    OL_NEEDS_ROUTERS,
    has_router,
    draw_entropy};

/* ---- section ---- */

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    if (r->model->n_experts == 0) {
        ol_section_say(to, "This is a dense model: it has no routers.");
        return;
    }
    if (r->model->top_k >= r->model->n_experts)
        ol_section_say(to, OL_TEXT_ALL_CHOSEN, r->model->n_experts);
    else if (ol_section_text(to) != NULL)
        ol_section_say(to,
                       "How evenly tokens are shared out among %" PRId64
                       " experts: %.2f bits of entropy is an even load.",
                       r->blocks.router->n_experts,
                       log2((double)r->blocks.router->n_experts));
    ol_section_figure(to, &load_figure, NULL);
    ol_section_figure(to, &entropy_figure, &router_table);
    ol_section_numbers(to, &loads_table);
}

static const struct ol_table_source *const tables[] = {&router_table, &loads_table, NULL};
static const struct ol_figure *const figures[] = {&load_figure, &entropy_figure, NULL};

const struct ol_section ol_router_section = {"routers", "Router load", tables,
                                             figures,   has_router,    write};
