/* Residual sinks: dimensions of the stream that are large on most tokens, beside massive
 * ones, which are so on few. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/heatmap.h"
#include "report/section.h"
#include "report/text.h"

static const struct ol_residual_sinks *block_of(const struct ol_report_results *r)
{
    return r->blocks.residual_sinks;
}

static bool has(const struct ol_report_results *r)
{
    return block_of(r) != NULL;
}

/* ---- tables ---- */

static const struct ol_column features_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"kind", "kind", OL_COLUMN_TEXT},
    {"n_layers", "sink after layers", OL_COLUMN_COUNT},
    {"first_layer", "from", OL_COLUMN_LABEL},
    {"last_layer", "to", OL_COLUMN_LABEL},
    {"layer", "most of all after", OL_COLUMN_LABEL},
    {"ratio", "rms, times the median", OL_COLUMN_MAGNITUDE},
    {"mean", "mean", OL_COLUMN_MAGNITUDE},
    {"share", "tokens where it is large, %", OL_COLUMN_PERCENT},
    {"first_share", "of first tokens, %", OL_COLUMN_PERCENT},
    {"massive_tokens", "tokens where it is massive", OL_COLUMN_COUNT},
    {"max_magnitude", "maximum |x|", OL_COLUMN_MAGNITUDE},
    {0}};

static const struct ol_table_source features_table = {
    "residual_sinks", "Residual sinks and massive dimensions", features_columns,
    "residual_sinks.features", NULL};

static const struct ol_column layers_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"share", "tokens where it is large, %", OL_COLUMN_PERCENT},
    {"share_at_most", "or at most, %", OL_COLUMN_PERCENT},
    {"first_share", "of first tokens, %", OL_COLUMN_PERCENT},
    {"mean", "mean", OL_COLUMN_MAGNITUDE},
    {"rms", "rms", OL_COLUMN_MAGNITUDE},
    {"ratio", "rms, times the median", OL_COLUMN_MAGNITUDE},
    {"n_massive", "tokens where it is massive", OL_COLUMN_COUNT},
    {0}};

static const struct ol_table_source layers_table = {
    "residual_sink_layers", "Where they are large, layer by layer", layers_columns,
    "residual_sinks.features.layers", NULL};

/* ---- figure ---- */

enum { MOST_ROWS = 24 };

static bool has_features(const struct ol_report_results *r)
{
    return has(r) && block_of(r)->features.n > 0;
}

static void draw(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_list *list = &block_of(r)->features;
    const struct ol_sink_dimension *features = list->items;
    const int64_t columns = r->model->n_layers > 0 ? r->model->n_layers : 1,
                  rows = list->n < MOST_ROWS ? list->n : MOST_ROWS;
    double *values = ol_xcalloc((size_t)(rows * columns), sizeof *values);
    char **names = ol_xcalloc((size_t)rows, sizeof *names);
    for (int64_t i = 0; i < rows * columns; i++)
        values[i] = NAN;
    for (int64_t i = 0; i < rows; i++) {
        const struct ol_sink_after *layers = features[i].layers.items;
        names[i] = ol_xasprintf("%" PRId64 ", %s", features[i].feature,
                                features[i].kind != NULL ? features[i].kind : "?");
        for (int64_t k = 0; k < features[i].layers.n; k++)
            if (layers[k].layer < columns)
                values[i * columns + layers[k].layer] = 100 * layers[k].share;
    }
    const struct ol_heatmap map = {.n_columns = columns,
                                   .n_rows = rows,
                                   .values = values,
                                   .row_names = (const char *const *)names,
                                   .x_title = "layer",
                                   .y_title = "",
                                   .scale_title = "tokens on which it is large, %",
                                   .suffix = " %",
                                   .missing = "not known",
                                   .low = 0,
                                   .high = 100,
                                   .row_height = 18,
                                   .row_every = 1};
    ol_heatmap_draw(c, &map);
    for (int64_t i = 0; i < rows; i++)
        free(names[i]);
    free(names);
    free(values);
}

static const struct ol_figure figure = {
    "residual_sinks",
    "Large on most tokens, or on few",
    "One row per dimension: residual sinks, and below them massive dimensions that are "
    "none. A cell is the share of the tokens, first ones apart, on which the dimension "
    "is "
    "known to be large after the layer: most of them where it is a residual sink, next "
    "to "
    "none where it is massive alone.",
    "It needs the summaries of ol-extract (run it without --no-summaries), and at least "
    "one dimension of either kind.",
    has_features,
    draw};

/* ---- section ---- */

static void say_dimension(const struct ol_sink_dimension *f, struct ol_section_out *to)
{
    if (f->layer == OL_ABSENT || f->first_layer == OL_ABSENT ||
        f->last_layer == OL_ABSENT)
        return;
    char *massive = f->massive_tokens > 0
                        ? ol_xasprintf("; on %s token%s it is massive besides, up to %s",
                                       ol_text_count(f->massive_tokens).text,
                                       f->massive_tokens == 1 ? "" : "s",
                                       ol_text_magnitude(f->max_magnitude).text)
                        : ol_xstrdup("");
    char *when = f->n_layers == 1
                     ? ol_xasprintf("layer %" PRId64 ", where", f->layer)
                     : ol_xasprintf("%" PRId64 " layers from %" PRId64 " to %" PRId64
                                    ", most after layer %" PRId64 ", where",
                                    f->n_layers, f->first_layer, f->last_layer, f->layer);
    ol_section_item(to,
                    "Dimension %" PRId64 " is a residual sink after %s it is large on %s "
                    "%% of the tokens (of first ones on %s %%), %s on average, with an "
                    "rms of %s times the median%s.",
                    f->feature, when, ol_text_percent(f->share).text,
                    ol_text_percent(f->first_share).text, ol_text_magnitude(f->mean).text,
                    ol_text_magnitude(f->ratio).text, massive);
    free(when);
    free(massive);
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    const struct ol_residual_sinks *b = block_of(r);
    if (b == NULL) {
        ol_section_absent(to, "The list of residual sinks", OL_NEEDS_SUMMARIES);
        return;
    }
    ol_section_say(to,
                   "A residual sink is a dimension that is large on most tokens (arXiv "
                   "2601.22966), a massive activation one that is on few. Large is %g "
                   "times the median |x| of the layer, or more; most is %g %% of the %s "
                   "tokens that are not first in their sequence.",
                   b->min_ratio, 100 * b->min_share, ol_text_count(b->n_others).text);
    if (b->n_others == 0)
        ol_section_say(to, "All tokens are first in their sequence: nothing tells the "
                           "two apart.");
    else
        ol_section_say(to, "%s dimension%s residual sink%s, %s massive, %s both.",
                       ol_text_count(b->n_sinks).text,
                       b->n_sinks == 1 ? " is a" : "s are", b->n_sinks == 1 ? "" : "s",
                       ol_text_count(b->n_massive).text, ol_text_count(b->n_both).text);
    const struct ol_sink_dimension *features = b->features.items;
    for (int64_t i = 0; i < b->features.n && i < OL_SECTION_SENTENCES; i++)
        if (features[i].n_layers > 0)
            say_dimension(&features[i], to);
    if (b->features.n == 0)
        return;
    ol_section_figure(to, &figure, NULL);
    ol_section_table(to, &features_table);
    ol_section_long(to, &layers_table);
}

static const struct ol_table_source *const tables[] = {&features_table, &layers_table,
                                                       NULL};
static const struct ol_figure *const figures[] = {&figure, NULL};

const struct ol_section ol_residual_sinks_section = {
    "residual_sinks", "Residual sinks", tables, figures, has, write};
