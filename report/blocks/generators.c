/* What goes into the down projections, where massive activations are made. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/chart.h"
#include "report/section.h"
#include "report/text.h"

static const struct ol_generators *block_of(const struct ol_report_results *r)
{
    return r->blocks.generators;
}

static bool has_units(const struct ol_report_results *r)
{
    return block_of(r) != NULL && block_of(r)->units.n > 0;
}

static double number_at(const struct ol_reals *values, int64_t i)
{
    return i >= 0 && i < values->n ? values->items[i] : NAN;
}

/* ---- tables ---- */

static const struct ol_column units_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit", "unit", OL_COLUMN_TEXT},
    {"largest", "largest |x|", OL_COLUMN_MAGNITUDE},
    {"share_of_median", "times median", OL_COLUMN_MAGNITUDE},
    {"columns", "columns", OL_COLUMN_TEXT},
    {"position", "position", OL_COLUMN_LABEL},
    {"piece", "token", OL_COLUMN_TEXT},
    {"kurtosis", "kurtosis", OL_COLUMN_MAGNITUDE},
    {"kurtosis_token_median", "median token's", OL_COLUMN_MAGNITUDE},
    {0}};

/* "77 (3056), 12 (40)": the columns of the largest magnitudes. The caller frees. */
static char *columns_of(const struct ol_generator *g, int64_t most)
{
    const struct ol_generator_column *c = g->columns.items;
    char *text = ol_xstrdup("");
    for (int64_t i = 0; i < g->columns.n && i < most; i++) {
        char *longer = ol_xasprintf("%s%s%" PRId64 " (%s)", text, i > 0 ? ", " : "",
                                    c[i].column, ol_text_magnitude(c[i].largest).text);
        free(text);
        text = longer;
    }
    return text;
}

static struct ol_grid *make_units(const struct ol_report_results *r)
{
    enum { MOST_COLUMNS = 2 };
    if (block_of(r) == NULL)
        return NULL;
    struct ol_grid *grid = ol_grid_new(units_columns);
    const struct ol_generator *units = block_of(r)->units.items;
    for (int64_t i = 0; i < block_of(r)->units.n; i++) {
        const struct ol_generator *g = &units[i];
        char *unit = ol_table_unit(g->who.kind, g->who.expert);
        char *columns = columns_of(g, MOST_COLUMNS);
        char *piece = g->at.token.piece != NULL ? ol_text_piece(g->at.token.piece) : NULL;
        ol_grid_int(grid, g->who.layer);
        ol_grid_text(grid, unit);
        ol_grid_real(grid, g->largest);
        ol_grid_real(grid, g->share_of_median);
        ol_grid_text(grid, columns);
        ol_grid_int(grid, g->at.position);
        ol_grid_text(grid, piece);
        ol_grid_real(grid, g->kurtosis);
        ol_grid_real(grid, g->kurtosis_token_median);
        free(piece);
        free(columns);
        free(unit);
    }
    return grid;
}

static const struct ol_table_source units_table = {
    .name = "generators",
    .title = "Units whose down projections get the largest inputs",
    .make = make_units};

/* A unit of a layer by its number there. The caller frees. */
static char *unit_of(const struct ol_report_results *r,
                     const struct ol_generator_layer *l, int64_t unit)
{
    return l->largest.n == 1            ? ol_table_unit("mlp", OL_ABSENT)
           : unit < r->model->n_experts ? ol_table_unit("expert", unit)
                                        : ol_table_unit("shared", OL_ABSENT);
}

static const struct ol_column every_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit", "unit", OL_COLUMN_TEXT},
    {"largest", "largest |x|", OL_COLUMN_MAGNITUDE},
    {"kurtosis", "kurtosis", OL_COLUMN_MAGNITUDE},
    {0}};

static void put_unit(const struct ol_report_results *r, struct ol_grid *grid,
                     const struct ol_generator_layer *l, int64_t unit)
{
    char *name = unit_of(r, l, unit);
    ol_grid_int(grid, l->layer);
    ol_grid_text(grid, name);
    ol_grid_real(grid, number_at(&l->largest, unit));
    ol_grid_real(grid, number_at(&l->kurtosis, unit));
    free(name);
}

static struct ol_grid *make_every(const struct ol_report_results *r)
{
    if (block_of(r) == NULL)
        return NULL;
    struct ol_grid *grid = ol_grid_new(every_columns);
    const struct ol_generator_layer *layers = block_of(r)->layers.items;
    for (int64_t i = 0; i < block_of(r)->layers.n; i++)
        for (int64_t u = 0; u < layers[i].largest.n; u++)
            put_unit(r, grid, &layers[i], u);
    return grid;
}

static const struct ol_table_source every_table = {
    .name = "generator_units",
    .title = "Largest input and kurtosis of every unit",
    .make = make_every};

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of what is known; NAN of nothing. */
static double median_of(const struct ol_reals *values)
{
    double *sorted = ol_xcalloc((size_t)values->n, sizeof *sorted);
    int64_t n = 0;
    for (int64_t i = 0; i < values->n; i++)
        if (!isnan(values->items[i]))
            sorted[n++] = values->items[i];
    if (n > 0)
        qsort(sorted, (size_t)n, sizeof *sorted, compare);
    const double median = n > 0 ? (sorted[(n - 1) / 2] + sorted[n / 2]) / 2 : NAN;
    free(sorted);
    return median;
}

/* The unit of the largest input; -1 when none is known. */
static int64_t largest_of(const struct ol_reals *values)
{
    int64_t largest = -1;
    for (int64_t i = 0; i < values->n; i++)
        if (!isnan(values->items[i]) &&
            (largest < 0 || values->items[i] > values->items[largest]))
            largest = i;
    return largest;
}

static const struct ol_column layers_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit", "unit", OL_COLUMN_TEXT},
    {"largest", "largest |x|", OL_COLUMN_MAGNITUDE},
    {"kurtosis", "kurtosis", OL_COLUMN_MAGNITUDE},
    {"median", "median unit's largest", OL_COLUMN_MAGNITUDE},
    {0}};

static struct ol_grid *make_layers(const struct ol_report_results *r)
{
    if (block_of(r) == NULL)
        return NULL;
    struct ol_grid *grid = ol_grid_new(layers_columns);
    const struct ol_generator_layer *layers = block_of(r)->layers.items;
    for (int64_t i = 0; i < block_of(r)->layers.n; i++) {
        const int64_t unit = largest_of(&layers[i].largest);
        if (unit < 0)
            continue;
        put_unit(r, grid, &layers[i], unit);
        ol_grid_real(grid, median_of(&layers[i].largest));
    }
    return grid;
}

static const struct ol_table_source layers_table = {.name = "generator_layers",
                                                    .title =
                                                        "Largest input of each layer",
                                                    .make = make_layers};

/* ---- figure ---- */

static void draw(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_list *list = &block_of(r)->layers;
    const struct ol_generator_layer *layers = list->items;
    const size_t n = (size_t)list->n;
    double *x = ol_xcalloc(n, sizeof *x), *y = ol_xcalloc(2 * n, sizeof *y);
    for (size_t i = 0; i < n; i++) {
        x[i] = (double)layers[i].layer;
        y[i] = number_at(&layers[i].largest, largest_of(&layers[i].largest));
        y[n + i] = median_of(&layers[i].largest);
    }
    const struct ol_series series[] = {
        {.name = "of all units of the layer", .x = x, .y = y, .n = (long)n},
        {.name = "of its median unit", .x = x, .y = y + n, .n = (long)n}};
    const struct ol_chart chart = {.series = series,
                                   .n_series = 2,
                                   .x = {.title = "layer", .whole = true},
                                   .y = {.title = "largest |x|", .log = true},
                                   .x_high = fmax(1, (double)r->model->n_layers - 1),
                                   .height = 260};
    ol_chart_draw(c, &chart);
    free(y);
    free(x);
}

static const struct ol_figure generators_figure = {
    "generators",
    "What goes into the down projections",
    "At each layer the largest magnitude that goes into a down projection of its MLP, of "
    "all units (experts, shared expert or dense MLP), and of the median unit. A unit far "
    "above the others is where a massive activation is made.",
    OL_NEEDS_SUMMARIES,
    has_units,
    draw};

/* ---- section ---- */

/* How many times the median unit's largest input counts as far above it: said, and no
 * more than a place to begin to look. */
static const double far_above = 10;
enum { MOST_SENTENCES = 5 };

static void say_unit(const struct ol_generator *g, struct ol_section_out *to)
{
    char *unit = ol_table_unit(g->who.kind, g->who.expert), *columns = columns_of(g, 1);
    char *where = ol_xstrdup("");
    if (g->at.position != OL_ABSENT) {
        free(where);
        where = g->at.position == 0
                    ? ol_xstrdup(" at the first token of a sequence")
                    : ol_xasprintf(" at position %" PRId64, g->at.position);
    }
    ol_section_item(to, "layer %" PRId64 ", %s: column %s%s, %s times the median unit's",
                    g->who.layer, unit, columns, where,
                    ol_text_magnitude(g->share_of_median).text);
    free(where);
    free(columns);
    free(unit);
}

static void say_units(const struct ol_generators *b, struct ol_section_out *to)
{
    const struct ol_generator *units = b->units.items;
    int64_t n = 0;
    while (n < b->units.n && !(units[n].share_of_median < far_above))
        n++;
    ol_section_say(to,
                   "A massive activation that an MLP makes begins as a large product of "
                   "gate and up in one column, which the down projection spreads over "
                   "dimensions. The largest input of the median unit is %s; %s%" PRId64
                   " of %" PRId64 " units have one of at least %g times that%s",
                   ol_text_magnitude(b->median_largest).text,
                   n == b->units.n && n < b->n_units ? "at least " : "", n, b->n_units,
                   far_above, n > 0 ? ":" : ".");
    for (int64_t i = 0; i < n && i < MOST_SENTENCES; i++)
        say_unit(&units[i], to);
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    if (has_units(r))
        say_units(block_of(r), to);
    ol_section_table(to, &units_table);
    if (has_units(r))
        ol_section_say(to, "Kurtosis (3 for a normal distribution) of all values "
                           "together grows where a few tokens are like no others; the "
                           "median token's is over its columns, of the rows that are "
                           "kept of a unit.");
    ol_section_figure(to, &generators_figure, &layers_table);
}

static const struct ol_table_source *const tables[] = {&units_table, &layers_table,
                                                       &every_table, NULL};
static const struct ol_figure *const figures[] = {&generators_figure, NULL};

const struct ol_section ol_generators_section = {
    "generators", "Inputs of the down projections", tables, figures, has_units, write};
