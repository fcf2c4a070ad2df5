/* Where in a sequence outliers are found. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/chart.h"
#include "report/figures.h"
#include "report/heatmap.h"

static bool has_positions(const struct ol_report_results *r)
{
    const struct ol_positions *p = r->blocks.positions;
    for (int64_t i = 0; p != NULL && i < p->per_position.n; i++)
        if (p->per_position.items[i] > 0)
            return true;
    return false;
}

/* per_position has a bin per position, or at most 256 of equal width; a first token's
 * peak is why the axis is logarithmic when values allow it. */
static void draw_positions(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_reals *values = &r->blocks.positions->per_position;
    const double length =
        (double)r->n_tokens / (double)(r->n_sequences > 0 ? r->n_sequences : 1);
    const double given = r->blocks.positions->bin_width,
                 width = given > 0 ? given : fmax(1, length / (double)values->n);
    double *x = ol_xcalloc((size_t)values->n, sizeof *x);
    bool positive = true;
    for (int64_t i = 0; i < values->n; i++) {
        x[i] = floor((double)i * width);
        positive = positive && values->items[i] > 0;
    }
    const struct ol_series series = {
        .name = "occurrences", .x = x, .y = values->items, .n = values->n};
    const struct ol_chart chart = {
        .series = &series,
        .n_series = 1,
        .x = {.title = "position in the sequence (first of its bin)", .whole = true},
        .y = {.title = positive ? "occurrences per token (log scale)"
                                : "occurrences per token",
              .log = positive},
        .y_from_zero = true,
        .x_high = fmax(1, length - 1)};
    ol_chart_draw(c, &chart);
    free(x);
}

const struct ol_figure ol_positions_figure = {
    "positions",
    "Outliers by position",
    "Mean number of occurrences of outlier features per token, from the first position "
    "of a sequence to the last. A peak at the left edge is the first token, which often "
    "serves as an attention sink; a level line means that outliers are everywhere.",
    OL_NEEDS_FEATURES,
    has_positions,
    draw_positions};

/* ---- in two dimensions ---- */

enum { MOST_FEATURES = 48, NAME_BYTES = 40 };

/* Names of the rows, then of the columns; what they point to is theirs. */
struct names {
    char (*room)[NAME_BYTES];
    const char **rows, **columns;
};

static struct names new_names(const struct ol_position_map *map, int64_t n_rows)
{
    const int64_t n = map->bucket_edges.n;
    struct names names = {
        .room = ol_xcalloc((size_t)(n_rows + n), NAME_BYTES),
        .rows = ol_xcalloc((size_t)(n_rows + n), sizeof *names.rows),
    };
    names.columns = names.rows + n_rows;
    for (int64_t i = 0; i < n_rows + n; i++)
        names.rows[i] = names.room[i];
    for (int64_t i = 0; i < n; i++)
        snprintf(names.room[n_rows + i], NAME_BYTES, "%.0f", map->bucket_edges.items[i]);
    return names;
}

static void free_names(struct names *names)
{
    free(names->rows);
    free(names->room);
}

/* By the tokens of each bucket; nothing where there is none. */
static void divide(const struct ol_position_map *map, const struct ol_reals *counts,
                   double factor, double *row)
{
    for (int64_t i = 0; i < map->bucket_edges.n; i++)
        row[i] = counts->items[i] > 0 ? factor * counts->items[i] / map->n_tokens.items[i]
                                      : NAN;
}

/* What maps by position have in common. */
static struct ol_heatmap by_position(const struct names *names, int64_t rows,
                                     int64_t columns, const double *values)
{
    return (struct ol_heatmap){.n_columns = columns,
                               .n_rows = rows,
                               .values = values,
                               .row_names = names->rows,
                               .column_names = names->columns,
                               .x_title = "from position",
                               .missing = "none",
                               .column_every = columns > 18 ? 2 : 1};
}

static bool has_feature_positions(const struct ol_report_results *r)
{
    return r->blocks.position_map != NULL && r->blocks.position_map->features.n > 0 &&
           r->blocks.position_map->bucket_edges.n > 0;
}

static void draw_feature_positions(const struct ol_report_results *r,
                                   const struct ol_canvas *c)
{
    const struct ol_position_map *p = r->blocks.position_map;
    const struct ol_position_feature *features = p->features.items;
    const int64_t columns = p->bucket_edges.n,
                  rows = p->features.n < MOST_FEATURES ? p->features.n : MOST_FEATURES;
    double *values = ol_xcalloc((size_t)(rows * columns), sizeof *values);
    struct names names = new_names(p, rows);
    for (int64_t i = 0; i < rows; i++) {
        divide(p, &features[i].n_outliers, 100, values + i * columns);
        snprintf(names.room[i], NAME_BYTES, "%" PRId64, features[i].feature);
    }
    struct ol_heatmap map = by_position(&names, rows, columns, values);
    map.y_title = "feature";
    map.scale_title = "tokens with an occurrence, %";
    map.unit = " %";
    map.high = 100;
    map.row_height = 15;
    map.row_every = 1;
    ol_heatmap_draw(c, &map);
    free_names(&names);
    free(values);
}

const struct ol_figure ol_feature_positions_figure = {
    "feature_positions",
    "Outlier features by position",
    "Each row is an outlier feature, the largest first (at most 48); columns are "
    "positions in the sequence, from the one below to the next, wider and wider from the "
    "start. Colour is the share of "
    "the tokens there that have an occurrence of the feature at any site. A row with "
    "colour at the left edge alone is a feature of the first token; an even row is one "
    "that does not care.",
    OL_NEEDS_FEATURES,
    has_feature_positions,
    draw_feature_positions};

static bool has_site_positions(const struct ol_report_results *r)
{
    const struct ol_position_map *p = r->blocks.position_map;
    for (int64_t i = 0; p != NULL && i < p->sites.n; i++) {
        const struct ol_position_site *site =
            (struct ol_position_site *)p->sites.items + i;
        for (int64_t k = 0; k < site->occurrences.n; k++)
            if (site->occurrences.items[k] > 0)
                return true;
    }
    return false;
}

static void draw_site_positions(const struct ol_report_results *r,
                                const struct ol_canvas *c)
{
    const struct ol_position_map *p = r->blocks.position_map;
    const struct ol_position_site *sites = p->sites.items;
    const int64_t columns = p->bucket_edges.n, rows = p->sites.n;
    double *values = ol_xcalloc((size_t)(rows * columns), sizeof *values);
    struct names names = new_names(p, rows);
    for (int64_t i = 0; i < rows; i++) {
        divide(p, &sites[i].occurrences, 1, values + i * columns);
        snprintf(names.room[i], NAME_BYTES, "%" PRId64 " %s", sites[i].layer,
                 sites[i].site != NULL ? sites[i].site : "");
    }
    struct ol_heatmap map = by_position(&names, rows, columns, values);
    map.y_title = "site";
    map.scale_title = "occurrences per token";
    map.unit = "";
    map.log = true;
    ol_heatmap_draw(c, &map);
    free_names(&names);
    free(values);
}

const struct ol_figure ol_site_positions_figure = {
    "site_positions",
    "Occurrences by layer and position",
    "Each row is a site, the first layer on top; columns are positions in the sequence, "
    "from the one below to the next, wider and wider from the start. Colour is the "
    "number of values of at least the "
    "threshold per token, of any feature, on a logarithmic scale: rows that light up at "
    "the left edge alone are layers whose outliers belong to the first token.",
    "It needs recorded tensors with values of at least the threshold: run ol-extract "
    "with "
    "--store bf16 (the default), then ol-analyze.",
    has_site_positions,
    draw_site_positions};
