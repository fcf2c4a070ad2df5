/* How choices of routers change when their inputs are rounded. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/chart.h"
#include "report/heatmap.h"
#include "report/section.h"

static const struct ol_expert_flips *block_of(const struct ol_report_results *r)
{
    return r->blocks.expert_flips;
}

static bool has_layers(const struct ol_report_results *r)
{
    return block_of(r) != NULL && block_of(r)->layers.n > 0 && block_of(r)->methods.n > 0;
}

/* ---- tables ---- */

static const struct ol_column methods_columns[] = {
    {"format", "format", OL_COLUMN_TEXT},
    {"sets", "tokens with another set, %", OL_COLUMN_PERCENT},
    {"choices", "choices gone, %", OL_COLUMN_PERCENT},
    {"slots", "slots that hold another, %", OL_COLUMN_PERCENT},
    {"first_layer", "first layer with another set", OL_COLUMN_LABEL},
    {"begin_layer", "first layer with 1 %", OL_COLUMN_LABEL},
    {"worst_layer", "worst layer", OL_COLUMN_LABEL},
    {"worst", "tokens with another set there, %", OL_COLUMN_PERCENT},
    {0}};

static const struct ol_table_source methods_table = {
    .name = "expert_flips",
    .title = "Choices that change when the router's input is rounded, mean over layers",
    .columns = methods_columns,
    .rows = "expert_flips.methods"};

static const struct ol_column layers_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"format", "format", OL_COLUMN_TEXT},
    {"sets", "tokens with another set, %", OL_COLUMN_PERCENT},
    {"choices", "choices gone, %", OL_COLUMN_PERCENT},
    {"slots", "slots that hold another, %", OL_COLUMN_PERCENT},
    {0}};

static struct ol_grid *make_layers(const struct ol_report_results *r)
{
    const struct ol_expert_flips *b = block_of(r);
    if (b == NULL)
        return NULL;
    const struct ol_flip_layer *layers = b->layers.items;
    const struct ol_flip_method *methods = b->methods.items;
    struct ol_grid *g = ol_grid_new(layers_columns);
    for (int64_t l = 0; l < b->layers.n; l++)
        for (int64_t m = 0; m < b->methods.n; m++) {
            ol_grid_int(g, layers[l].layer);
            ol_grid_text(g, methods[m].format);
            ol_grid_real(g, layers[l].sets.items[m]);
            ol_grid_real(g, layers[l].choices.items[m]);
            ol_grid_real(g, layers[l].slots.items[m]);
        }
    return g;
}

static const struct ol_table_source layers_table = {
    .name = "expert_flips_layers",
    .title = "Choices that change when the router's input is rounded, layer by layer",
    .make = make_layers};

/* ---- figure ---- */

static void draw(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_expert_flips *b = block_of(r);
    const struct ol_flip_layer *layers = b->layers.items;
    const struct ol_flip_method *methods = b->methods.items;
    const int64_t columns = ol_report_layers(r);
    const size_t n = (size_t)b->methods.n;
    const char **names = ol_xcalloc(n, sizeof *names);
    double *values = ol_heatmap_values(b->methods.n, columns);
    for (size_t m = 0; m < n; m++)
        names[m] = methods[m].format != NULL ? methods[m].format : "?";
    for (int64_t l = 0; l < b->layers.n; l++)
        for (int64_t m = 0; m < b->methods.n && layers[l].layer < columns; m++)
            values[m * columns + layers[l].layer] = 100 * layers[l].sets.items[m];
    const struct ol_heatmap map = {.n_columns = columns,
                                   .n_rows = b->methods.n,
                                   .values = values,
                                   .row_names = names,
                                   .x_title = "layer",
                                   .y_title = "",
                                   .scale_title = "tokens with another set of experts, %",
                                   .suffix = " %",
                                   .missing = "no router",
                                   .row_height = 22,
                                   .row_every = 1};
    ol_heatmap_draw(c, &map);
    free(values);
    free(names);
}

static const struct ol_figure figure = {
    "expert_flips",
    "Choices of experts that change when the router's input is rounded",
    "One cell per format and layer: the share of the sampled tokens that get another set "
    "of experts when the input of that layer's router alone is stored in the format, "
    "token by token.",
    "It needs summaries of ol-extract since 0.2 of a model with experts, then "
    "ol-analyze.",
    has_layers,
    draw};

/* ---- section ---- */

static void say_method(const struct ol_flip_method *m, double min_share,
                       struct ol_section_out *to)
{
    if (m->format == NULL || isnan(m->sets))
        return;
    if (m->first_layer == OL_ABSENT) {
        ol_section_item(to, "%s: no token gets another set of experts.", m->format);
        return;
    }
    char *begin = m->begin_layer != OL_ABSENT
                      ? ol_xasprintf("%g %% is reached at layer %" PRId64,
                                     100 * min_share, m->begin_layer)
                      : ol_xasprintf("no layer reaches %g %%", 100 * min_share);
    ol_section_item(to,
                    "%s: %.3g %% of the tokens, %.3g %% of the choices; the first at "
                    "layer %" PRId64 ", %s, most at layer %" PRId64 " (%.3g %%).",
                    m->format, 100 * m->sets, 100 * m->choices, m->first_layer, begin,
                    m->worst_layer, 100 * m->worst);
    free(begin);
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    if (has_layers(r)) {
        const struct ol_expert_flips *b = block_of(r);
        const struct ol_flip_method *methods = b->methods.items;
        ol_section_say(to,
                       "If the input of a layer's router alone were stored in fewer "
                       "bits, so many of %" PRId64 " sampled tokens would get another "
                       "set of experts, and so many choices be of an expert that is "
                       "not chosen otherwise, mean over layers:",
                       b->sample_tokens);
        for (int64_t m = 0; m < b->methods.n; m++)
            say_method(&methods[m], b->min_share, to);
    }
    ol_section_table(to, &methods_table);
    ol_section_figure(to, &figure, &layers_table);
}

static const struct ol_table_source *const tables[] = {&methods_table, &layers_table,
                                                       NULL};
static const struct ol_figure *const figures[] = {&figure, NULL};

const struct ol_section ol_expert_flips_section = {"expert_flips", "Expert flips", tables,
                                                   figures,        has_layers,     write};
