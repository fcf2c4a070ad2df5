/* Which features are outliers at which layers. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/figures.h"
#include "report/heatmap.h"
#include "report/text.h"

enum { MOST_FEATURES = 48, NAME_BYTES = 32 };

/* Both norms of every layer, a column each. */
static int64_t n_columns(const struct ol_report_results *r)
{
    return 2 * (r->model->n_layers > 0 ? r->model->n_layers : 1);
}

static const struct ol_int8_features *listed(const struct ol_report_results *r)
{
    return r->unique->features.n > 0 ? r->unique : r->pooled;
}

static bool has_features(const struct ol_report_results *r)
{
    return r->has_outliers && listed(r)->features.n > 0;
}

static void fill(const struct ol_int8_feature *f, int64_t columns, double *row)
{
    for (int64_t c = 0; c < columns; c++)
        row[c] = NAN;
    const struct ol_feature_site *sites = f->sites.items;
    for (int64_t i = 0; i < f->sites.n; i++) {
        const struct ol_feature_site *s = &sites[i];
        const int64_t column = 2 * s->layer + (strcmp(s->site, "ln_mlp") == 0);
        if (s->layer < columns / 2)
            row[column] = s->max_magnitude;
    }
}

static void draw_features(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_int8_features *block = listed(r);
    const int64_t columns = n_columns(r), rows = block->features.n < MOST_FEATURES
                                                     ? block->features.n
                                                     : MOST_FEATURES;
    double *values = ol_xcalloc((size_t)(rows * columns), sizeof *values);
    char(*names)[NAME_BYTES] = ol_xcalloc((size_t)(rows + columns), NAME_BYTES);
    const char **texts = ol_xcalloc((size_t)(rows + columns), sizeof *texts);
    for (int64_t i = 0; i < rows; i++) {
        fill(ol_report_feature(block, i), columns, values + i * columns);
        snprintf(names[i], NAME_BYTES, "%" PRId64, ol_report_feature(block, i)->feature);
    }
    for (int64_t i = 0; i < columns; i++)
        snprintf(names[rows + i], NAME_BYTES, "%" PRId64 "%s", i / 2,
                 i % 2 == 0 ? "" : " (ln_mlp)");
    for (int64_t i = 0; i < rows + columns; i++)
        texts[i] = names[i];
    const int64_t every = columns <= 24 ? 2 : columns <= 64 ? 4 : columns <= 128 ? 8 : 16;
    const struct ol_heatmap map = {.n_columns = columns,
                                   .n_rows = rows,
                                   .values = values,
                                   .row_names = texts,
                                   .column_names = texts + rows,
                                   .x_title = "layer",
                                   .y_title = "feature",
                                   .scale_title = "largest |x| of the normed stream",
                                   .unit = "",
                                   .missing = "below the threshold everywhere",
                                   .log = true,
                                   .row_height = 15,
                                   .row_every = 1,
                                   .column_every = every};
    ol_heatmap_draw(c, &map);
    free(texts);
    free(names);
    free(values);
}

const struct ol_figure ol_features_figure = {
    "features",
    "Features by layer",
    "Each row is an outlier feature, the largest first (at most 48); each layer has two "
    "columns, ln_attn and ln_mlp. Colour is the "
    "largest magnitude there. A row of one unbroken band is a feature that lives through "
    "the whole model; columns that light up together are layers that make many.",
    "It needs at least one outlier feature, and recorded tensors or summaries.",
    has_features,
    draw_features};

/* ---- how many at each layer ---- */

static bool has_onset(const struct ol_report_results *r)
{
    return r->blocks.onset != NULL && r->blocks.onset->by_site.n > 0;
}

static void draw_onset(const struct ol_report_results *r, const struct ol_canvas *c)
{
    static const char *const sites[] = {"ln_attn", "ln_mlp"};
    const struct ol_list *list = &r->blocks.onset->by_site;
    const struct ol_onset_site *items = list->items;
    double *x = ol_xcalloc((size_t)(2 * list->n), sizeof *x),
           *y = ol_xcalloc((size_t)(2 * list->n), sizeof *y);
    struct ol_series series[2] = {{.name = "ln_attn", .x = x, .y = y},
                                  {.name = "ln_mlp", .x = x + list->n, .y = y + list->n}};
    for (int64_t i = 0; i < list->n; i++)
        for (int s = 0; s < 2; s++) {
            if (items[i].site == NULL || strcmp(items[i].site, sites[s]) != 0)
                continue;
            x[s * list->n + series[s].n] = (double)items[i].layer;
            y[s * list->n + series[s].n++] = (double)items[i].n_features;
        }
    const struct ol_chart chart = {.series = series,
                                   .n_series = 2,
                                   .x = {.title = "layer", .whole = true},
                                   .y = {.title = "outlier features", .whole = true},
                                   .y_from_zero = true,
                                   .x_low = 0,
                                   .x_high = (double)r->model->n_layers - 1,
                                   .height = 260};
    ol_chart_draw(c, &chart);
    free(y);
    free(x);
}

const struct ol_figure ol_onset_figure = {"onset",
                                          "Outlier features at each layer",
                                          "How many of the outlier features have an "
                                          "occurrence on at least 1 % of the tokens at "
                                          "each site. What sets a feature in may be a "
                                          "write into the stream or the norm's gain: "
                                          "see the table below.",
                                          OL_NEEDS_FEATURES,
                                          has_onset,
                                          draw_onset};
