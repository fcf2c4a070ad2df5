/* What formats of four bits with scales by block would do, with and without rotations. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/heatmap.h"
#include "report/section.h"

static const struct ol_fp4_block *block_of(const struct ol_report_results *r)
{
    return r->blocks.fp4;
}

static bool has_places(const struct ol_report_results *r)
{
    return block_of(r) != NULL && block_of(r)->places.n > 0 && block_of(r)->methods.n > 0;
}

static const struct ol_fp4_method *method_at(const struct ol_fp4_block *b, int64_t i)
{
    const struct ol_fp4_method *methods = b->methods.items;
    return i >= 0 && i < b->methods.n ? &methods[i] : NULL;
}

static bool rotates(const struct ol_fp4_method *m)
{
    return m->rotation != NULL && strcmp(m->rotation, "none") != 0;
}

/* "nvfp4, hadamard 16"; the caller frees. */
static char *name_of(const struct ol_fp4_method *m)
{
    const char *format = m != NULL && m->format != NULL ? m->format : "?";
    return m != NULL && rotates(m) ? ol_xasprintf("%s, %s", format, m->rotation)
                                   : ol_xstrdup(format);
}

static void put_method(struct ol_grid *g, const struct ol_fp4_block *b, int64_t i)
{
    const struct ol_fp4_method *m = method_at(b, i);
    ol_grid_text(g, m != NULL ? m->format : NULL);
    ol_grid_text(g, m != NULL ? m->rotation : NULL);
}

/* ---- tables ---- */

static const struct ol_column methods_columns[] = {
    {"rank", "rank", OL_COLUMN_COUNT},
    {"format", "format", OL_COLUMN_TEXT},
    {"rotation", "rotation", OL_COLUMN_TEXT},
    {"median", "median error, %", OL_COLUMN_PERCENT},
    {"worst", "worst, %", OL_COLUMN_PERCENT},
    {"n_best", "best at places", OL_COLUMN_COUNT},
    {"n_worse", "worse than without, places", OL_COLUMN_COUNT},
    {0}};

/* The method of that rank, or -1; those without one come last, in their order. */
static int64_t of_rank(const struct ol_fp4_block *b, int64_t rank)
{
    int64_t n_ranked = 0;
    for (int64_t i = 0; i < b->methods.n; i++) {
        if (method_at(b, i)->rank == rank)
            return i;
        n_ranked += method_at(b, i)->rank != OL_ABSENT;
    }
    for (int64_t i = 0; i < b->methods.n; i++)
        if (method_at(b, i)->rank == OL_ABSENT && ++n_ranked == rank)
            return i;
    return -1;
}

static struct ol_grid *make_methods(const struct ol_report_results *r)
{
    const struct ol_fp4_block *b = block_of(r);
    if (b == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(methods_columns);
    for (int64_t rank = 1; rank <= b->methods.n; rank++) {
        const struct ol_fp4_method *m = method_at(b, of_rank(b, rank));
        if (m == NULL)
            continue;
        ol_grid_int(g, m->rank);
        ol_grid_text(g, m->format);
        ol_grid_text(g, m->rotation);
        ol_grid_real(g, m->median);
        ol_grid_real(g, m->worst);
        ol_grid_int(g, m->n_best);
        ol_grid_int(g, m->n_worse);
    }
    return g;
}

static const struct ol_table_source methods_table = {
    .name = "fp4",
    .title = "Four-bit formats with rotations, the best first",
    .make = make_methods};

static const struct ol_column places_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"attention", "attention", OL_COLUMN_TEXT},
    {"n_rows", "rows looked at", OL_COLUMN_COUNT},
    {"format", "format", OL_COLUMN_TEXT},
    {"rotation", "rotation", OL_COLUMN_TEXT},
    {"error", "error, %", OL_COLUMN_PERCENT},
    {"token_median", "median token's, %", OL_COLUMN_PERCENT},
    {0}};

static struct ol_grid *make_places(const struct ol_report_results *r)
{
    const struct ol_fp4_block *b = block_of(r);
    if (b == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(places_columns);
    const struct ol_fp4_place *places = b->places.items;
    for (int64_t i = 0; i < b->places.n; i++)
        for (int64_t m = 0; m < b->methods.n; m++) {
            ol_grid_int(g, places[i].layer);
            ol_grid_text(g, places[i].site);
            ol_grid_text(g, places[i].attention);
            ol_grid_int(g, places[i].n_rows);
            put_method(g, b, m);
            ol_grid_real(g, places[i].error.items[m]);
            ol_grid_real(g, places[i].token_median.items[m]);
        }
    return g;
}

static const struct ol_table_source places_table = {
    .name = "fp4_places",
    .title = "Error of four-bit formats by place",
    .make = make_places};

static const struct ol_column kinds_columns[] = {
    {"attention", "attention", OL_COLUMN_TEXT},
    {"site", "site", OL_COLUMN_TEXT},
    {"n_layers", "layers", OL_COLUMN_COUNT},
    {"format", "format", OL_COLUMN_TEXT},
    {"rotation", "rotation", OL_COLUMN_TEXT},
    {"median", "median error, %", OL_COLUMN_PERCENT},
    {0}};

static struct ol_grid *make_kinds(const struct ol_report_results *r)
{
    const struct ol_fp4_block *b = block_of(r);
    if (b == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(kinds_columns);
    const struct ol_fp4_kind *kinds = b->kinds.items;
    for (int64_t m = 0; m < b->methods.n; m++)
        for (int64_t i = 0; i < b->kinds.n; i++) {
            ol_grid_text(g, kinds[i].attention);
            ol_grid_text(g, kinds[i].site);
            ol_grid_int(g, kinds[i].n_layers);
            put_method(g, b, m);
            ol_grid_real(g, kinds[i].median.items[m]);
        }
    return g;
}

static const struct ol_table_source kinds_table = {
    .name = "fp4_kinds",
    .title = "Error of four-bit formats by kind of attention",
    .make = make_kinds};

static const struct ol_column ranking_columns[] = {
    {"format", "format", OL_COLUMN_TEXT},     {"rotation", "rotation", OL_COLUMN_TEXT},
    {"layer", "layer", OL_COLUMN_LABEL},      {"site", "site", OL_COLUMN_TEXT},
    {"error", "error, %", OL_COLUMN_PERCENT}, {0}};

static const struct ol_table_source ranking_table = {
    .name = "fp4_ranking",
    .title = "Places by four-bit format, the worst first",
    .columns = ranking_columns,
    .rows = "fp4.ranking"};

static const struct ol_column units_columns[] = {{"format", "format", OL_COLUMN_TEXT},
                                                 {"rotation", "rotation", OL_COLUMN_TEXT},
                                                 {"layer", "layer", OL_COLUMN_LABEL},
                                                 {"unit=:unit", "unit", OL_COLUMN_TEXT},
                                                 {"n_tokens", "tokens", OL_COLUMN_COUNT},
                                                 {"error", "error, %", OL_COLUMN_PERCENT},
                                                 {0}};

static const struct ol_table_source units_table = {
    .name = "fp4_units",
    .title = "Inputs of down projections by four-bit format, the worst first",
    .columns = units_columns,
    .rows = "fp4.units"};

/* ---- figure ---- */

static const char *const sites[] = {"ln_attn", "ln_mlp", "down"};
enum { N_SITES = sizeof sites / sizeof sites[0] };

static void fill(const struct ol_fp4_block *b, const char *site, int64_t columns,
                 double *values)
{
    const struct ol_fp4_place *places = b->places.items;
    ol_heatmap_blank(values, b->methods.n * columns);
    for (int64_t i = 0; i < b->places.n; i++)
        for (int64_t m = 0; m < b->methods.n && places[i].layer < columns; m++)
            if (places[i].site != NULL && strcmp(places[i].site, site) == 0)
                values[m * columns + places[i].layer] = 100 * places[i].error.items[m];
}

static void draw(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_fp4_block *b = block_of(r);
    const int64_t columns = ol_report_layers(r);
    const size_t n = (size_t)b->methods.n;
    char **names = ol_xcalloc(n, sizeof *names);
    double *values = ol_heatmap_values(b->methods.n, columns);
    struct ol_axis all = {.low = INFINITY, .high = -INFINITY};
    const struct ol_fp4_place *places = b->places.items;
    for (size_t m = 0; m < n; m++)
        names[m] = name_of(method_at(b, (int64_t)m));
    for (int64_t i = 0; i < b->places.n; i++)
        ol_axis_include(&all, places[i].error.items, places[i].error.n);
    struct ol_heatmap map = {.n_columns = columns,
                             .n_rows = b->methods.n,
                             .values = values,
                             .row_names = (const char *const *)names,
                             .x_title = "layer",
                             .y_title = "",
                             .suffix = " %",
                             .missing = "not computed",
                             .low = 100 * all.low,
                             .high = 100 * all.high,
                             .row_height = 13,
                             .row_every = 1};
    if (!isfinite(all.low))
        map.low = map.high = 0;
    const double height = ol_heatmap_height(&map);
    ol_svg_open(c, OL_FIGURE_WIDTH, N_SITES * height);
    for (int i = 0; i < N_SITES; i++) {
        char *title = ol_xasprintf("relative error of %s, %%", sites[i]);
        map.scale_title = title;
        fill(b, sites[i], columns, values);
        ol_heatmap_put(c->out, &map, i * height);
        free(title);
    }
    ol_svg_close(c);
    for (size_t m = 0; m < n; m++)
        free(names[m]);
    free(names);
    free(values);
}

static const struct ol_figure figure = {
    "fp4",
    "Four-bit formats with scales by block",
    "Relative error (RMS of the error over RMS of the values) if activations were stored "
    "in NVFP4 (an E4M3 scale per 16), in NVFP4 with four over six, or in MXFP4 (a power "
    "of two per 32), as they are and after rotations by block or of all columns: of both "
    "norms' outputs, and of what goes into the layer's down projections. A row that is "
    "darker than that of its format without rotation is one where rotating harms.",
    OL_NEEDS_TENSORS,
    has_places,
    draw};

/* ---- section ---- */

static void say_best(const struct ol_fp4_block *b, struct ol_section_out *to)
{
    const struct ol_fp4_method *m = method_at(b, of_rank(b, 1));
    if (m == NULL || !isfinite(m->median))
        return;
    char *name = name_of(m);
    ol_section_say(to,
                   "The smallest median error of all places has %s: %.3g %% (worst place "
                   "%.3g %%).",
                   name, 100 * m->median, 100 * m->worst);
    free(name);
}

/* Of each format: what it does as it is, which rotation is best for it, and what one over
 * all columns does. */
static void say_format(const struct ol_fp4_block *b, int64_t plain,
                       struct ol_section_out *to)
{
    const struct ol_fp4_method *without = method_at(b, plain), *best = without,
                               *global = NULL;
    for (int64_t i = 0; i < b->methods.n; i++) {
        const struct ol_fp4_method *m = method_at(b, i);
        if (m->format == NULL || strcmp(m->format, without->format) != 0)
            continue;
        if (m->median < best->median)
            best = m;
        if (m->rotation != NULL && strcmp(m->rotation, "global") == 0)
            global = m;
    }
    char *better = best == without ? ol_xstrdup("no rotation has a smaller median")
                                   : ol_xasprintf("%.3g %% with %s", 100 * best->median,
                                                  best->rotation);
    if (global != NULL && isfinite(global->median) && global->n_worse != OL_ABSENT)
        ol_section_item(to,
                        "%s: %.3g %%; %s. A rotation of all columns: %.3g %%, worse than "
                        "none at %" PRId64 " of %" PRId64 " places.",
                        without->format, 100 * without->median, better,
                        100 * global->median, global->n_worse, b->places.n);
    else
        ol_section_item(to, "%s: %.3g %%; %s.", without->format, 100 * without->median,
                        better);
    free(better);
}

static void say_formats(const struct ol_fp4_block *b, struct ol_section_out *to)
{
    for (int64_t i = 0; i < b->methods.n; i++) {
        const struct ol_fp4_method *m = method_at(b, i);
        if (m->format != NULL && !rotates(m) && isfinite(m->median))
            say_format(b, i, to);
    }
}

/* Where layers mix tokens in several ways: which of them a format harms. */
static void say_kinds(const struct ol_fp4_block *b, const char *site,
                      struct ol_section_out *to)
{
    const struct ol_fp4_kind *kinds = b->kinds.items;
    char *list = ol_xstrdup("");
    int n = 0;
    for (int64_t i = 0; i < b->kinds.n; i++) {
        if (kinds[i].site == NULL || strcmp(kinds[i].site, site) != 0 ||
            !isfinite(kinds[i].median.items[0]))
            continue;
        char *longer =
            ol_xasprintf("%s%s%.3g %% in %" PRId64 " layers with %s attention", list,
                         n++ > 0 ? ", " : "", 100 * kinds[i].median.items[0],
                         kinds[i].n_layers, kinds[i].attention);
        free(list);
        list = longer;
    }
    if (n > 1) {
        char *name = name_of(method_at(b, 0));
        ol_section_item(to, "%s at %s: %s.", name, site, list);
        free(name);
    }
    free(list);
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    if (has_places(r)) {
        say_best(block_of(r), to);
        say_formats(block_of(r), to);
        for (int i = 0; i < N_SITES; i++)
            say_kinds(block_of(r), sites[i], to);
        ol_section_table(to, &methods_table);
    }
    ol_section_figure(to, &figure, &places_table);
    ol_section_table(to, &ranking_table);
    ol_section_table(to, &kinds_table);
    ol_section_table(to, &units_table);
}

static const struct ol_table_source *const tables[] = {
    &methods_table, &places_table, &ranking_table, &kinds_table, &units_table, NULL};
static const struct ol_figure *const figures[] = {&figure, NULL};

const struct ol_section ol_fp4_section = {"fp4",   "Four-bit formats", tables,
                                          figures, has_places,         write};
