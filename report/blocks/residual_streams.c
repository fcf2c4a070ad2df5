/* Each of several residual streams after each layer. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/chart.h"
#include "report/heatmap.h"
#include "report/section.h"

static const struct ol_residual_streams *block_of(const struct ol_report_results *r)
{
    return r->blocks.residual_streams;
}

static bool has_layers(const struct ol_report_results *r)
{
    return block_of(r) != NULL && block_of(r)->layers.n > 0;
}

/* ---- tables ---- */

static const struct ol_column values_columns[] = {
    {"layer", "after layer", OL_COLUMN_LABEL},
    {"stream", "stream", OL_COLUMN_LABEL},
    {"rms", "RMS", OL_COLUMN_MAGNITUDE},
    {"largest", "largest magnitude", OL_COLUMN_MAGNITUDE},
    {"jump", "times the layer before", OL_COLUMN_MAGNITUDE},
    {"maximum", "maximum", OL_COLUMN_MAGNITUDE},
    {"maximum_feature", "dimension", OL_COLUMN_LABEL},
    {"maximum_sequence", "sequence", OL_COLUMN_LABEL},
    {"maximum_position", "position", OL_COLUMN_LABEL},
    {"minimum", "minimum", OL_COLUMN_MAGNITUDE},
    {"minimum_feature", "dimension", OL_COLUMN_LABEL},
    {"minimum_sequence", "sequence", OL_COLUMN_LABEL},
    {"minimum_position", "position", OL_COLUMN_LABEL},
    {0}};

static const struct ol_table_source values_table = {
    .name = "residual_streams",
    .title = "Residual streams after every layer",
    .columns = values_columns,
    .rows = "residual_streams.layers.streams"};

static const struct ol_column peaks_columns[] = {
    {"stream", "stream", OL_COLUMN_LABEL},
    {"value", "largest value", OL_COLUMN_MAGNITUDE},
    {"layer", "after layer", OL_COLUMN_LABEL},
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"sequence", "sequence", OL_COLUMN_LABEL},
    {"position", "position", OL_COLUMN_LABEL},
    {"piece", "token", OL_COLUMN_PIECE},
    {"jump", "largest jump, times", OL_COLUMN_MAGNITUDE},
    {"jump_since", "from layer", OL_COLUMN_LABEL},
    {"jump_layer", "to layer", OL_COLUMN_LABEL},
    {0}};

static const struct ol_table_source peaks_table = {
    .name = "stream_peaks",
    .title = "Largest values and jumps of residual streams",
    .columns = peaks_columns,
    .rows = "residual_streams.streams"};

/* ---- figure ---- */

enum map { RMS, LARGEST, N_MAPS };

static void fill(const struct ol_residual_streams *b, enum map what, int64_t columns,
                 double *values)
{
    const struct ol_streams_layer *layers = b->layers.items;
    ol_heatmap_blank(values, b->n_streams * columns);
    for (int64_t l = 0; l < b->layers.n; l++) {
        const struct ol_stream_values *v = layers[l].streams.items;
        for (int64_t i = 0; i < layers[l].streams.n && layers[l].layer < columns; i++) {
            const double x = what == RMS ? v[i].rms : v[i].largest;
            if (v[i].stream < b->n_streams && x > 0)
                values[v[i].stream * columns + layers[l].layer] = x;
        }
    }
}

static void draw(const struct ol_report_results *r, const struct ol_canvas *c)
{
    static const char *const titles[N_MAPS] = {
        [RMS] = "RMS of the stream", [LARGEST] = "largest magnitude in it"};
    const struct ol_residual_streams *b = block_of(r);
    const int64_t columns = ol_report_layers(r);
    double *values = ol_heatmap_values(b->n_streams, columns);
    struct ol_heatmap map = {.n_columns = columns,
                             .n_rows = b->n_streams,
                             .values = values,
                             .x_title = "layer",
                             .y_title = "stream",
                             .suffix = "",
                             .missing = "not recorded, or zeros",
                             .log = true};
    const double height = ol_heatmap_height(&map);
    ol_svg_open(c, OL_FIGURE_WIDTH, N_MAPS * height);
    for (int what = 0; what < N_MAPS; what++) {
        map.scale_title = titles[what];
        fill(b, (enum map)what, columns, values);
        ol_heatmap_put(c->out, &map, what * height);
    }
    ol_svg_close(c);
    free(values);
}

static const struct ol_figure figure = {
    "residual_streams",
    "Residual streams, layer by layer",
    "One cell per stream and layer, of a model whose layers mix several residual streams "
    "(hyper-connections): the root mean square and the largest magnitude of the stream "
    "after the layer, over all tokens.",
    "It needs a model of several residual streams (deepseek_v4), and summaries of "
    "ol-extract since 0.2, then ol-analyze.",
    has_layers,
    draw};

/* ---- section ---- */

/* Of all others the largest magnitude; NAN: there is none. */
static double next_largest(const struct ol_residual_streams *b)
{
    const struct ol_stream_peak *peaks = b->streams.items;
    return b->streams.n > 1 ? fabs(peaks[1].value) : (double)NAN;
}

static void say_largest(struct ol_section_out *to, const struct ol_residual_streams *b)
{
    const struct ol_stream_peak *most = b->streams.items;
    const double next = next_largest(b);
    ol_section_say(to,
                   "Of %" PRId64 " residual streams, stream %" PRId64
                   " carries the largest value: %.4g in dimension %" PRId64
                   " after layer %" PRId64 ", at %s %" PRId64 " of sequence %" PRId64 ".",
                   b->n_streams, most->stream, most->value, most->feature, most->layer,
                   most->at.position == 0 ? "the first token, position" : "position",
                   most->at.position, most->at.sequence);
    if (next > 0)
        ol_section_say(to, "That is %.3g times the largest magnitude of any other.",
                       fabs(most->value) / next);
    if (isfinite(most->jump))
        ol_section_say(to,
                       "From layer %" PRId64 " to layer %" PRId64
                       " the largest magnitude of stream %" PRId64
                       " jumps to %.4g times what it was, its largest jump.",
                       most->jump_since, most->jump_layer, most->stream, most->jump);
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    const struct ol_residual_streams *b = block_of(r);
    if (has_layers(r) && b->streams.n > 0) {
        const struct ol_stream_peak *most = b->streams.items;
        if (isfinite(most->value))
            say_largest(to, b);
        else
            ol_section_say(to, "Values of stream %" PRId64 " are not finite.",
                           most->stream);
    }
    ol_section_figure(to, &figure, &values_table);
    ol_section_table(to, &peaks_table);
}

static const struct ol_table_source *const tables[] = {&values_table, &peaks_table, NULL};
static const struct ol_figure *const figures[] = {&figure, NULL};

const struct ol_section ol_residual_streams_section = {
    "residual_streams", "Residual streams", tables, figures, has_layers, write};
