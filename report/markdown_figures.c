/* Sections of the Markdown report for what a page shows as figures: where outlier
 * features begin and end, how values are distributed, at which positions outliers are,
 * and what other criteria would count. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/markdown.h"
#include "report/sentences_stream.h"
#include "report/table.h"
#include "report/text_map.h"

enum { MOST_SENTENCES = 8 };
enum { NAME_BYTES = 32, LAYERS_EVERY = 8, BUCKETS_EVERY = 8 };

/* Room for n names and pointers to them; freed as free(names) and free(names[0]). */
static char **new_names(int64_t n)
{
    char **names = ol_xcalloc((size_t)n + 1, sizeof *names);
    char *room = ol_xcalloc((size_t)n + 1, NAME_BYTES);
    for (int64_t i = 0; i <= n; i++)
        names[i] = room + i * NAME_BYTES;
    return names;
}

static void free_names(char **names)
{
    free(names[0]);
    free(names);
}

/* ---- onset ---- */

static void print_onset_map(const struct ol_onset *onset, int64_t n_layers, FILE *out)
{
    static const char *const rows[] = {"ln_attn", "ln_mlp"};
    const struct ol_onset_site *sites = onset->by_site.items;
    char *cells = ol_xcalloc((size_t)(2 * n_layers), 1), **columns = new_names(n_layers);
    memset(cells, ' ', (size_t)(2 * n_layers));
    for (int64_t i = 0; i < n_layers; i++)
        snprintf(columns[i], NAME_BYTES, "%" PRId64, i);
    for (int64_t i = 0; i < onset->by_site.n; i++)
        for (int row = 0; row < 2; row++)
            if (sites[i].site != NULL && strcmp(sites[i].site, rows[row]) == 0 &&
                sites[i].layer >= 0 && sites[i].layer < n_layers)
                cells[row * n_layers + sites[i].layer] = ol_text_map_tenths(
                    (double)sites[i].n_features / (double)onset->features.n);
    ol_text_map_print(&(struct ol_text_map){.n_rows = 2,
                                            .n_columns = n_layers,
                                            .cells = cells,
                                            .row_names = rows,
                                            .column_names = (const char *const *)columns,
                                            .every = LAYERS_EVERY},
                      out);
    free_names(columns);
    free(cells);
}

void ol_markdown_onset(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_onset *onset = r->blocks.onset;
    if (onset == NULL)
        return;
    fputs("\n## Onset\n\n", out);
    if (onset->features.n == 0) {
        fputs("There is no outlier feature.\n", out);
        return;
    }
    fputs(
        "Outlier features that have an occurrence on at least 1 % of the tokens at each "
        "site,\nlayer by layer: . none, 0 to 9 tenths of them, # all.\n\n",
        out);
    if (r->model->n_layers > 0)
        print_onset_map(onset, r->model->n_layers, out);
    const struct ol_onset_feature *features = onset->features.items;
    fputc('\n', out);
    for (int64_t i = 0; i < onset->features.n && i < MOST_SENTENCES; i++)
        ol_markdown_item(ol_sentence_onset(&features[i]), out);
    ol_markdown_table(r, &ol_onset_table, top, out);
}

/* ---- distributions ---- */

static double at_level(const struct ol_distributions *d, const struct ol_distribution *s,
                       double level)
{
    for (int64_t i = 0; i < d->quantile_levels.n; i++)
        if (d->quantile_levels.items[i] == level)
            return s->magnitudes.items[i];
    return NAN;
}

/* Of the median token where it is known. */
static double kurtosis_of(const struct ol_distribution *d)
{
    return isnan(d->kurtosis_token_median) ? d->kurtosis : d->kurtosis_token_median;
}

/* Heavy tails first, what has no kurtosis last. */
static int by_kurtosis(const void *x, const void *y)
{
    const struct ol_distribution *a = *(const struct ol_distribution *const *)x,
                                 *b = *(const struct ol_distribution *const *)y;
    const double left = kurtosis_of(a), right = kurtosis_of(b);
    if (isnan(left) || isnan(right) || left == right) {
        if (isnan(left) != isnan(right))
            return isnan(left) ? 1 : -1;
        return a < b ? -1 : a > b;
    }
    return left > right ? -1 : 1;
}

void ol_markdown_distributions(const struct ol_report_results *r, int64_t top, FILE *out)
{
    static const struct ol_column columns[] = {
        {"layer", "layer", OL_COLUMN_LABEL},
        {"site", "site", OL_COLUMN_TEXT},
        {"std", "std", OL_COLUMN_MAGNITUDE},
        {"median", "median |x|", OL_COLUMN_MAGNITUDE},
        {"p999", "99.9 %", OL_COLUMN_MAGNITUDE},
        {"p99999", "99.999 %", OL_COLUMN_MAGNITUDE},
        {"max", "max", OL_COLUMN_MAGNITUDE},
        {"kurtosis_token_median", "kurtosis", OL_COLUMN_MAGNITUDE},
        {"kurtosis", "of all", OL_COLUMN_MAGNITUDE},
        {0}};
    const struct ol_distributions *d = r->blocks.distributions;
    if (d == NULL || d->sites.n == 0)
        return;
    const struct ol_distribution *sites = d->sites.items;
    const struct ol_distribution **order = ol_xcalloc((size_t)d->sites.n, sizeof *order);
    for (int64_t i = 0; i < d->sites.n; i++)
        order[i] = &sites[i];
    qsort(order, (size_t)d->sites.n, sizeof *order, by_kurtosis);
    struct ol_grid *g = ol_grid_new(columns);
    for (int64_t i = 0; i < d->sites.n; i++) {
        ol_grid_int(g, order[i]->layer);
        ol_grid_text(g, order[i]->site);
        ol_grid_real(g, order[i]->std);
        ol_grid_real(g, at_level(d, order[i], 0.5));
        ol_grid_real(g, at_level(d, order[i], 0.999));
        ol_grid_real(g, at_level(d, order[i], 0.99999));
        ol_grid_real(g, at_level(d, order[i], 1));
        ol_grid_real(g, order[i]->kurtosis_token_median);
        ol_grid_real(g, order[i]->kurtosis);
    }
    fprintf(
        out,
        "\n## Distributions\n\nQuantiles of |x| at each site, the heaviest tails first; "
        "output is the residual stream\nafter the layer. The kurtosis of a normal "
        "distribution is 3. It is that of each token's\nvalues, of which the median is "
        "shown; that \"of all\" values together grows with the\nlength of the "
        "sequences.%s%s\n\n",
        d->kurtosis_tokens != OL_ABSENT
            ? ""
            : " That of tokens is not known: it needs tensors\n(ol-extract --store "
              "bf16).",
        d->sites.n > top ? " The rest is in HTML and CSV." : "");
    ol_grid_markdown(g, top, out);
    ol_grid_free(g);
    free(order);
}

/* ---- positions ---- */

static char **bucket_names(const struct ol_position_map *map)
{
    char **names = new_names(map->bucket_edges.n);
    for (int64_t i = 0; i < map->bucket_edges.n; i++)
        snprintf(names[i], NAME_BYTES, "%.0f", map->bucket_edges.items[i]);
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
    free_names(buckets);
}

static void print_feature_positions(const struct ol_position_map *map, int64_t top,
                                    FILE *out)
{
    const struct ol_position_feature *features = map->features.items;
    const int64_t columns = map->bucket_edges.n,
                  rows = map->features.n < top ? map->features.n : top;
    if (rows == 0 || columns == 0)
        return;
    char *cells = ol_xcalloc((size_t)(rows * columns), 1), **names = new_names(rows);
    for (int64_t i = 0; i < rows; i++) {
        snprintf(names[i], NAME_BYTES, "%" PRId64, features[i].feature);
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
    free_names(names);
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
        char *cells = ol_xcalloc((size_t)(rows * columns), 1), **names = new_names(rows);
        for (int64_t i = 0; i < rows; i++)
            snprintf(names[i], NAME_BYTES, "%" PRId64, i);
        for (int64_t i = 0; i < rows * columns; i++)
            cells[i] = ol_text_map_halvings(per_token[i], largest);
        fprintf(
            out,
            "\nValues of at least %g per token, layer by layer: 9 down to half of the "
            "most (%.3g), 8 to a\nquarter, and so on; 0 also less, . none.\n\n",
            r->criterion->threshold, largest);
        print_by_position(map, rows, cells, names, out);
        free_names(names);
        free(cells);
    }
    free(per_token);
}

void ol_markdown_positions(const struct ol_report_results *r, int64_t top, FILE *out)
{
    if (r->blocks.positions == NULL && r->blocks.position_map == NULL)
        return;
    fputs("\n## Positions\n", out);
    ol_markdown_table(r, &ol_positions_table, INT64_MAX, out);
    if (r->blocks.position_map != NULL) {
        print_feature_positions(r->blocks.position_map, top, out);
        print_site_positions(r, out);
    }
}

/* ---- sweep ---- */

/* The step that is nearest to a value. */
static int64_t nearest(const struct ol_reals *steps, double value)
{
    int64_t best = 0;
    for (int64_t i = 1; i < steps->n; i++)
        if (fabs(steps->items[i] - value) < fabs(steps->items[best] - value))
            best = i;
    return best;
}

void ol_markdown_sweep(const struct ol_report_results *r, FILE *out)
{
    static const double layers[] = {0.05, 0.1, 0.25, 0.5, 0.75, 1};
    enum { N = sizeof layers / sizeof layers[0] };
    const struct ol_sweep *s = r->blocks.sweep;
    if (s == NULL || s->thresholds.n == 0 || s->layer_fractions.n == 0 ||
        s->position_fractions.n == 0 || s->pairs.items == NULL || s->unique.items == NULL)
        return;
    const int64_t p = nearest(&s->position_fractions, r->criterion->min_positions);
    int64_t steps[N];
    struct ol_table *t = ol_table_new("rrrrrrr");
    ol_table_cell(t, "|x| \xe2\x89\xa5");
    for (int i = 0; i < N; i++) {
        steps[i] = nearest(&s->layer_fractions, layers[i]);
        ol_table_cell(t, "%g %%", 100 * s->layer_fractions.items[steps[i]]);
    }
    for (int64_t x = 0; x < s->thresholds.n; x++) {
        ol_table_cell(t, "%g", s->thresholds.items[x]);
        for (int i = 0; i < N; i++) {
            const int64_t cell =
                (x * s->layer_fractions.n + steps[i]) * s->position_fractions.n + p;
            ol_table_cell(t, "%.0f / %.0f", s->pairs.items[cell], s->unique.items[cell]);
        }
    }
    fprintf(out,
            "\n## Other criteria\n\nPairs / unique features for other thresholds (rows) "
            "and shares of sites (columns), at %g %%\nof the positions and with every "
            "sequence a batch of its own.\n\n",
            100 * s->position_fractions.items[p]);
    ol_table_print(t, out);
}
