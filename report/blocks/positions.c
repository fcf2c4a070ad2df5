/* Where in a sequence outliers are found. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/chart.h"
#include "report/heatmap.h"
#include "report/section.h"
#include "report/text.h"
#include "report/text_map.h"

/* ---- tables ---- */

static const struct ol_column positions_columns[] = {
    {"from", "from position", OL_COLUMN_LABEL},
    {"to", "to position", OL_COLUMN_LABEL},
    {"n_positions", "tokens", OL_COLUMN_COUNT},
    {"outliers_per_token", "outliers per token", OL_COLUMN_MAGNITUDE},
    {0}};

static struct ol_grid *make_positions(const struct ol_report_results *r)
{
    const struct ol_positions *p = r->blocks.positions;
    if (p == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(positions_columns);
    for (int64_t i = 0; i < p->outliers_per_token.n && i < p->bucket_edges.n; i++) {
        const double n = i < p->n_positions.n ? p->n_positions.items[i] : NAN;
        ol_grid_whole(g, p->bucket_edges.items[i]);
        ol_grid_whole(g,
                      i + 1 < p->bucket_edges.n ? p->bucket_edges.items[i + 1] - 1 : NAN);
        ol_grid_whole(g, n);
        ol_grid_real(g, p->outliers_per_token.items[i]);
    }
    return g;
}

static const struct ol_table_source positions_table = {
    .name = "positions", .title = "Outliers by position", .make = make_positions};

/* ---- in two dimensions: a row per bucket ---- */

static void put_bucket(struct ol_grid *g, const struct ol_position_map *map, int64_t i,
                       const struct ol_reals *counts)
{
    const double *edges = map->bucket_edges.items, n = map->n_tokens.items[i];
    ol_grid_whole(g, edges[i]);
    ol_grid_whole(g, i + 1 < map->bucket_edges.n ? edges[i + 1] - 1 : NAN);
    ol_grid_whole(g, n);
    ol_grid_whole(g, counts->items[i]);
    ol_grid_real(g, n > 0 ? counts->items[i] / n : NAN);
}

static const struct ol_column feature_positions_columns[] = {
    {"feature", "feature", OL_COLUMN_LABEL},
    {"from", "from position", OL_COLUMN_LABEL},
    {"to", "to position", OL_COLUMN_LABEL},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"n_outliers", "with an occurrence", OL_COLUMN_COUNT},
    {"share", "share, %", OL_COLUMN_PERCENT},
    {0}};

static struct ol_grid *make_feature_positions(const struct ol_report_results *r)
{
    const struct ol_position_map *map = r->blocks.position_map;
    if (map == NULL || map->features.items == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(feature_positions_columns);
    const struct ol_position_feature *features = map->features.items;
    for (int64_t k = 0; k < map->features.n; k++)
        for (int64_t i = 0; i < map->bucket_edges.n; i++) {
            ol_grid_int(g, features[k].feature);
            put_bucket(g, map, i, &features[k].n_outliers);
        }
    return g;
}

static const struct ol_table_source feature_positions_table = {
    .name = "feature_positions",
    .title = "Outlier features by position",
    .make = make_feature_positions};

static const struct ol_column site_positions_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"from", "from position", OL_COLUMN_LABEL},
    {"to", "to position", OL_COLUMN_LABEL},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"occurrences", "occurrences", OL_COLUMN_COUNT},
    {"per_token", "per token", OL_COLUMN_MAGNITUDE},
    {0}};

static struct ol_grid *make_site_positions(const struct ol_report_results *r)
{
    const struct ol_position_map *map = r->blocks.position_map;
    if (map == NULL || map->sites.items == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(site_positions_columns);
    const struct ol_position_site *sites = map->sites.items;
    for (int64_t k = 0; k < map->sites.n; k++)
        for (int64_t i = 0; i < map->bucket_edges.n; i++) {
            ol_grid_int(g, sites[k].layer);
            ol_grid_text(g, sites[k].site);
            put_bucket(g, map, i, &sites[k].occurrences);
        }
    return g;
}

static const struct ol_table_source site_positions_table = {
    .name = "site_positions",
    .title = "Occurrences by site and position",
    .make = make_site_positions};

/* ---- figures ---- */

/* The buckets of the table, with the values that it has. */
static int64_t n_buckets(const struct ol_positions *p)
{
    return p->outliers_per_token.n < p->bucket_edges.n ? p->outliers_per_token.n
                                                       : p->bucket_edges.n;
}

static bool has_positions(const struct ol_report_results *r)
{
    const struct ol_positions *p = r->blocks.positions;
    for (int64_t i = 0; p != NULL && i < n_buckets(p); i++)
        if (p->outliers_per_token.items[i] > 0)
            return true;
    return false;
}

/* A first token's peak is why the axis is logarithmic where one lies far above the rest.
 */
static struct ol_axis axis_of(const struct ol_reals *values)
{
    enum { FAR_ABOVE = 20 };
    struct ol_axis y = {.low = INFINITY, .high = -INFINITY, .log = true};
    ol_axis_include(&y, values->items, values->n);
    y.log = y.high > FAR_ABOVE * y.low;
    y.zero = y.zero && y.log;
    y.title = y.log ? "occurrences per token (log scale)" : "occurrences per token";
    ol_axis_round(&y, true);
    return y;
}

static char *bucket_tip(const struct ol_positions *p, int64_t i)
{
    const double from = p->bucket_edges.items[i];
    const char *value = ol_text_magnitude(p->outliers_per_token.items[i]).text;
    if (i + 1 >= p->bucket_edges.n)
        return ol_xasprintf("from position %.0f: %s", from, value);
    return ol_xasprintf("positions %.0f to %.0f: %s", from,
                        p->bucket_edges.items[i + 1] - 1, value);
}

/* A level line for each bucket, all as wide: they grow with the position. */
static void draw_buckets(FILE *out, const struct ol_positions *p, const struct ol_axis *y)
{
    const int64_t n = n_buckets(p);
    const double width = (OL_FIGURE_WIDTH - OL_FIGURE_RIGHT - OL_FIGURE_LEFT) / (double)n;
    const int64_t every = width < 36 ? (int64_t)ceil(36 / width) : 1;
    for (int64_t i = 0; i < n; i++) {
        const double left = OL_FIGURE_LEFT + (double)i * width,
                     at = ol_axis_at(y, p->outliers_per_token.items[i]);
        if (i % every == 0)
            ol_svg_text(out, left, y->start + 17, 'm', "mu", "%.0f",
                        p->bucket_edges.items[i]);
        if (isnan(at))
            continue;
        char *tip = bucket_tip(p, i);
        ol_svg_rect(out, left, at, width, y->start - at, "f1 pale", NULL);
        ol_svg_rect(out, left, at - 1.5, width, 3, "f1", tip);
        free(tip);
    }
}

static void draw_positions(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const double height = 280, bottom = height - OL_FIGURE_BOTTOM,
                 right = OL_FIGURE_WIDTH - OL_FIGURE_RIGHT;
    struct ol_axis y = axis_of(&r->blocks.positions->outliers_per_token);
    y.start = bottom;
    y.end = 14;
    ol_svg_open(c, OL_FIGURE_WIDTH, height);
    ol_axis_draw_y(c->out, &y, OL_FIGURE_LEFT, right);
    draw_buckets(c->out, r->blocks.positions, &y);
    ol_svg_line(c->out, OL_FIGURE_LEFT, bottom, right, bottom, "ax");
    ol_svg_text(c->out, (OL_FIGURE_LEFT + right) / 2, bottom + 35, 'm', "mu",
                "from position");
    ol_svg_close(c);
}

static const struct ol_figure positions_figure = {
    "positions",
    "Outliers by position",
    "Mean number of occurrences of outlier features per token, in buckets of positions "
    "that grow from the start of a sequence, as in the table. A peak at the left edge is "
    "the first token, which often serves as an attention sink; a level line means that "
    "outliers are everywhere.",
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

/* The scale from 0 to a round number that no value exceeds. */
static void fit(struct ol_heatmap *map)
{
    struct ol_axis scale = {.low = INFINITY, .high = -INFINITY};
    ol_axis_include(&scale, map->values, map->n_rows * map->n_columns);
    ol_axis_round(&scale, true);
    map->low = scale.low;
    map->high = scale.high;
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
    map.suffix = " %";
    map.row_height = 15;
    map.row_every = 1;
    fit(&map);
    ol_heatmap_draw(c, &map);
    free_names(&names);
    free(values);
}

static const struct ol_figure feature_positions_figure = {
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
    map.suffix = "";
    map.log = true;
    ol_heatmap_draw(c, &map);
    free_names(&names);
    free(values);
}

static const struct ol_figure site_positions_figure = {
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

/* ---- where there are no figures ---- */

enum { BUCKETS_EVERY = 8 };

static char **bucket_names(const struct ol_position_map *map)
{
    char **names = ol_text_map_names(map->bucket_edges.n);
    for (int64_t i = 0; i < map->bucket_edges.n; i++)
        snprintf(names[i], OL_TEXT_MAP_NAME, "%.0f", map->bucket_edges.items[i]);
    return names;
}

/* cells [rows][buckets of the map]. */
static void print_by_position(const struct ol_position_map *map, int64_t rows,
                              const char *cells, char **names, FILE *out)
{
    char **buckets = bucket_names(map);
    ol_text_map_print(&(struct ol_text_map){.n_rows = rows,
                                            .n_columns = map->bucket_edges.n,
                                            .cells = cells,
                                            .row_names = (const char *const *)names,
                                            .column_names = (const char *const *)buckets,
                                            .every = BUCKETS_EVERY},
                      out);
    ol_text_map_free(buckets);
}

static void print_feature_positions(const struct ol_position_map *map, int64_t top,
                                    FILE *out)
{
    const struct ol_position_feature *features = map->features.items;
    const int64_t columns = map->bucket_edges.n,
                  rows = map->features.n < top ? map->features.n : top;
    if (rows == 0 || columns == 0)
        return;
    char *cells = ol_xcalloc((size_t)(rows * columns), 1),
         **names = ol_text_map_names(rows);
    for (int64_t i = 0; i < rows; i++) {
        snprintf(names[i], OL_TEXT_MAP_NAME, "%" PRId64, features[i].feature);
        for (int64_t k = 0; k < columns; k++)
            cells[i * columns + k] = ol_text_map_tenths(features[i].n_outliers.items[k] /
                                                        map->n_tokens.items[k]);
    }
    fprintf(out,
            "\nTokens with an occurrence of each feature%s, by position from the "
            "start\n(0, 1, "
            "2, 3, 4-5, 6-7, 8-11, ...): . none, 0 to 9 tenths of them, # all.\n\n",
            rows < map->features.n ? " (the largest)" : "");
    print_by_position(map, rows, cells, names, out);
    ol_text_map_free(names);
    free(cells);
}

/* Occurrences per token, both sites of a layer together; the largest of all. */
static double add_sites(const struct ol_position_map *map, int64_t n_layers,
                        double *per_token)
{
    const struct ol_position_site *sites = map->sites.items;
    const int64_t columns = map->bucket_edges.n;
    double largest = 0;
    for (int64_t i = 0; i < n_layers * columns; i++)
        per_token[i] = NAN;
    for (int64_t i = 0; i < map->sites.n; i++)
        for (int64_t k = 0;
             k < columns && sites[i].layer >= 0 && sites[i].layer < n_layers; k++) {
            double *cell = &per_token[sites[i].layer * columns + k];
            *cell = (isnan(*cell) ? 0 : *cell) +
                    sites[i].occurrences.items[k] / map->n_tokens.items[k];
            largest = fmax(largest, *cell);
        }
    return largest;
}

static void print_site_positions(const struct ol_report_results *r, FILE *out)
{
    const struct ol_position_map *map = r->blocks.position_map;
    const int64_t rows = r->model->n_layers, columns = map->bucket_edges.n;
    double *per_token = ol_xcalloc((size_t)(rows * columns) + 1, sizeof *per_token);
    const double largest = add_sites(map, rows, per_token);
    if (largest > 0) {
        char *cells = ol_xcalloc((size_t)(rows * columns), 1),
             **names = ol_text_map_names(rows);
        for (int64_t i = 0; i < rows; i++)
            snprintf(names[i], OL_TEXT_MAP_NAME, "%" PRId64, i);
        for (int64_t i = 0; i < rows * columns; i++)
            cells[i] = ol_text_map_halvings(per_token[i], largest);
        fprintf(
            out,
            "\nValues of at least %g per token, layer by layer: 9 down to half of the "
            "most (%.3g), 8 to a\nquarter, and so on; 0 also less, . none.\n\n",
            r->criterion->threshold, largest);
        print_by_position(map, rows, cells, names, out);
        ol_text_map_free(names);
        free(cells);
    }
    free(per_token);
}

/* ---- section ---- */

static bool has(const struct ol_report_results *r)
{
    return r->blocks.positions != NULL || r->blocks.position_map != NULL ||
           r->blocks.tokens != NULL;
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    ol_section_figure(to, &positions_figure, &positions_table);
    ol_section_figure(to, &feature_positions_figure, NULL);
    ol_section_numbers(to, &feature_positions_table);
    ol_section_figure(to, &site_positions_figure, NULL);
    ol_section_numbers(to, &site_positions_table);
    if (ol_section_text(to) != NULL && r->blocks.position_map != NULL) {
        print_feature_positions(r->blocks.position_map, to->top, ol_section_text(to));
        print_site_positions(r, ol_section_text(to));
    }
}

static const struct ol_table_source *const tables[] = {
    &positions_table, &feature_positions_table, &site_positions_table, NULL};
static const struct ol_figure *const figures[] = {
    &positions_figure, &feature_positions_figure, &site_positions_figure, NULL};

const struct ol_section ol_positions_section = {
    "tokens", "Positions and tokens", tables, figures, has, write};
