/* What heads of mixers put out, before the output projection. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/chart.h"
#include "report/heatmap.h"
#include "report/section.h"

static const struct ol_head_outputs *block_of(const struct ol_report_results *r)
{
    return r->blocks.head_outputs;
}

static bool has_layers(const struct ol_report_results *r)
{
    return block_of(r) != NULL && block_of(r)->layers.n > 0;
}

/* ---- tables ---- */

static const struct ol_column layers_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"attention", "attention", OL_COLUMN_TEXT},
    {"heads", "heads", OL_COLUMN_COUNT},
    {"width", "width", OL_COLUMN_COUNT},
    {"rms", "RMS", OL_COLUMN_MAGNITUDE},
    {"largest", "largest magnitude", OL_COLUMN_MAGNITUDE},
    {0}};

static const struct ol_table_source layers_table = {
    .name = "head_output_layers",
    .title = "Outputs of heads, layer by layer",
    .columns = layers_columns,
    .rows = "head_outputs.layers"};

static const struct ol_column heads_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"attention", "attention", OL_COLUMN_TEXT},
    {"head", "head", OL_COLUMN_LABEL},
    {"rms", "RMS", OL_COLUMN_MAGNITUDE},
    {"largest", "largest magnitude", OL_COLUMN_MAGNITUDE},
    {"maximum", "maximum", OL_COLUMN_MAGNITUDE},
    {"minimum", "minimum", OL_COLUMN_MAGNITUDE},
    {0}};

static const struct ol_table_source heads_table = {
    .name = "head_outputs",
    .title = "Output of every head, before the output projection",
    .columns = heads_columns,
    .rows = "head_outputs.layers.heads"};

static const struct ol_column extremes_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"head", "head", OL_COLUMN_LABEL},
    {"value", "value", OL_COLUMN_MAGNITUDE},
    {"share_of_median", "times the median head's", OL_COLUMN_MAGNITUDE},
    {"over_rms", "times its RMS", OL_COLUMN_MAGNITUDE},
    {"sequence", "sequence", OL_COLUMN_LABEL},
    {"position", "position", OL_COLUMN_LABEL},
    {"piece", "token", OL_COLUMN_PIECE},
    {0}};

static const struct ol_table_source extremes_table = {
    .name = "head_output_extremes",
    .title = "Heads with the largest outputs",
    .columns = extremes_columns,
    .rows = "head_outputs.extremes"};

/* ---- figure ---- */

enum map { RMS, LARGEST, N_MAPS };

static void fill(const struct ol_head_outputs *b, enum map what, int64_t columns,
                 double *values, int64_t n)
{
    const struct ol_head_output_layer *layers = b->layers.items;
    ol_heatmap_blank(values, n);
    for (int64_t l = 0; l < b->layers.n; l++) {
        const struct ol_head_output *heads = layers[l].heads.items;
        for (int64_t h = 0; h < layers[l].heads.n && layers[l].layer < columns; h++) {
            const double x = what == RMS ? heads[h].rms : heads[h].largest;
            values[h * columns + layers[l].layer] = x > 0 ? x : (double)NAN;
        }
    }
}

static void draw(const struct ol_report_results *r, const struct ol_canvas *c)
{
    static const char *const titles[N_MAPS] = {
        [RMS] = "RMS of a head's output", [LARGEST] = "largest magnitude of its output"};
    const struct ol_head_outputs *b = block_of(r);
    const struct ol_head_output_layer *layers = b->layers.items;
    const int64_t columns = ol_report_layers(r);
    int64_t rows = 1;
    for (int64_t i = 0; i < b->layers.n; i++)
        rows = layers[i].heads.n > rows ? layers[i].heads.n : rows;
    double *values = ol_heatmap_values(rows, columns);
    struct ol_heatmap map = {.n_columns = columns,
                             .n_rows = rows,
                             .values = values,
                             .x_title = "layer",
                             .y_title = "head",
                             .suffix = "",
                             .missing = "no head, or zeros",
                             .log = true};
    const double height = ol_heatmap_height(&map);
    ol_svg_open(c, OL_FIGURE_WIDTH, N_MAPS * height);
    for (int what = 0; what < N_MAPS; what++) {
        map.scale_title = titles[what];
        fill(b, (enum map)what, columns, values, rows * columns);
        ol_heatmap_put(c->out, &map, what * height);
    }
    ol_svg_close(c);
    free(values);
}

static const struct ol_figure figure = {
    "head_outputs",
    "Outputs of heads, layer by layer",
    "One cell per head and layer: what the head puts out before the output projection of "
    "attention, or of what stands in its place (value heads of a delta net): the root "
    "mean square and the largest magnitude over all tokens.",
    "It needs summaries of ol-extract since 0.2, then ol-analyze.",
    has_layers,
    draw};

/* ---- section ---- */

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    const struct ol_head_outputs *b = block_of(r);
    if (has_layers(r) && b->extremes.n > 0) {
        const struct ol_head_extreme *most = b->extremes.items;
        ol_section_say(to,
                       "Of %" PRId64 " heads of all layers, before the output "
                       "projection, the median one has an RMS of %.3g and a largest "
                       "magnitude of %.3g.",
                       b->n_heads, b->median_rms, b->median_largest);
        if (isfinite(most->value))
            ol_section_say(to,
                           "The largest value, %.3g, is that of head %" PRId64
                           " in layer %" PRId64 ": %.3g times the median, %.3g times "
                           "the head's own RMS.",
                           most->value, most->head, most->layer, most->share_of_median,
                           most->over_rms);
    }
    ol_section_figure(to, &figure, &heads_table);
    ol_section_table(to, &extremes_table);
    ol_section_long(to, &layers_table);
}

static const struct ol_table_source *const tables[] = {&layers_table, &heads_table,
                                                       &extremes_table, NULL};
static const struct ol_figure *const figures[] = {&figure, NULL};

const struct ol_section ol_head_outputs_section = {
    "head_outputs", "Outputs of heads", tables, figures, has_layers, write};
