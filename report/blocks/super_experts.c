/* Experts: the largest outputs. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/heatmap.h"
#include "report/section.h"
#include "report/text.h"
#include "report/sentences.h"

static const struct ol_column super_experts_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit=:unit", "unit", OL_COLUMN_TEXT},
    {"output", "max |output|", OL_COLUMN_MAGNITUDE},
    {"share_of_max", "of the largest, %", OL_COLUMN_PERCENT},
    {"share_of_median", "times the median", OL_COLUMN_MAGNITUDE},
    {"z", "robust z", OL_COLUMN_MAGNITUDE},
    {"feature", "feature", OL_COLUMN_LABEL},
    {"input", "max |input|", OL_COLUMN_MAGNITUDE},
    {"input_column", "input column", OL_COLUMN_LABEL},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"gate_mean", "mean gate", OL_COLUMN_MAGNITUDE},
    {"token_id", "token", OL_COLUMN_LABEL},
    {"piece", "text", OL_COLUMN_PIECE},
    {"sequence", "sequence", OL_COLUMN_LABEL},
    {"position", "position", OL_COLUMN_LABEL},
    {0}};

static const struct ol_table_source super_experts_table = {
    "super_experts", "Super experts by the published rule", super_experts_columns,
    "super_experts.experts", NULL};

static const struct ol_column robust_experts_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit=:unit", "unit", OL_COLUMN_TEXT},
    {"output", "max |output|", OL_COLUMN_MAGNITUDE},
    {"share_of_median", "times the median", OL_COLUMN_MAGNITUDE},
    {"z", "robust z", OL_COLUMN_MAGNITUDE},
    {0}};

static const struct ol_table_source robust_experts_table = {
    "robust_experts", "Super experts by robust z-score", robust_experts_columns,
    "super_experts.robust.experts", NULL};

static const struct ol_column units_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit=:unit", "unit", OL_COLUMN_TEXT},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"gate_mean", "mean gate", OL_COLUMN_MAGNITUDE},
    {"input", "max |input|", OL_COLUMN_MAGNITUDE},
    {"output", "max |output|", OL_COLUMN_MAGNITUDE},
    {0}};

static const struct ol_table_source units_table = {
    "units", "Largest input and output of every expert", units_columns,
    "super_experts.layers.units", NULL};

/* ---- figure ---- */

enum { NAME_BYTES = 24 };

static bool has_units(const struct ol_report_results *r)
{
    return r->blocks.super_experts != NULL && r->blocks.super_experts->layers.n > 0;
}

/* Rows: routed experts by number, then what has no number: shared experts, dense MLPs. */
static int64_t row_of(const char *kind, int64_t expert, int64_t n_routed)
{
    if (kind != NULL && strcmp(kind, "expert") == 0 && expert >= 0 && expert < n_routed)
        return expert;
    return n_routed;
}

static void mark(const struct ol_super_block *s, int64_t n_routed, int64_t columns,
                 bool *marked)
{
    const struct ol_super_expert *experts = s->experts.items;
    for (int64_t i = 0; i < s->experts.n; i++)
        if (experts[i].who.layer >= 0 && experts[i].who.layer < columns)
            marked[row_of(experts[i].who.kind, experts[i].who.expert, n_routed) *
                       columns +
                   experts[i].who.layer] = true;
}

static void draw_experts(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_super_block *s = r->blocks.super_experts;
    const struct ol_super_layer *layers = s->layers.items;
    const int64_t columns = ol_report_layers(r), n_routed = r->model->n_experts;
    bool others = n_routed == 0;
    double *values = ol_heatmap_values(n_routed + 1, columns);
    bool *marked = ol_xcalloc((size_t)((n_routed + 1) * columns), sizeof *marked);
    for (int64_t i = 0; i < s->layers.n; i++) {
        const struct ol_super_unit *units = layers[i].units.items;
        for (int64_t k = 0;
             k < layers[i].units.n && layers[i].layer >= 0 && layers[i].layer < columns;
             k++) {
            const int64_t row = row_of(units[k].kind, units[k].expert, n_routed);
            double *value = &values[row * columns + layers[i].layer];
            *value = fmax(*value, fabs(units[k].output)); /* fmax passes over NAN */
            others = others || row == n_routed;
        }
    }
    mark(s, n_routed, columns, marked);
    char(*names)[NAME_BYTES] = ol_xcalloc((size_t)(n_routed + 1), NAME_BYTES);
    const char **texts = ol_xcalloc((size_t)(n_routed + 1), sizeof *texts);
    for (int64_t i = 0; i <= n_routed; i++) {
        snprintf(names[i], NAME_BYTES, "%" PRId64, i);
        texts[i] = i < n_routed ? names[i] : "others";
    }
    const struct ol_heatmap map = {
        .n_columns = columns,
        .n_rows = n_routed + (others ? 1 : 0),
        .values = values,
        .row_names = texts,
        .x_title = "layer",
        .y_title = "expert",
        .scale_title = "largest |output| of down_proj (rings: super experts)",
        .suffix = "",
        .missing = "no tokens",
        .log = true,
        .marked = marked};
    ol_heatmap_draw(c, &map);
    free(texts);
    free(names);
    free(marked);
    free(values);
}

static const struct ol_figure experts_figure = {
    "experts",
    "Largest output of each expert",
    "One cell per expert and layer: the largest magnitude that its down projection put "
    "out, on a logarithmic scale; rings mark super experts. The last row, \"others\", "
    "holds shared experts and dense MLPs.",
    OL_NEEDS_EXPERTS,
    has_units,
    draw_experts};

/* ---- section ---- */

static bool has(const struct ol_report_results *r)
{
    return r->blocks.super_experts != NULL;
}

static void say_rule(const struct ol_super_block *s, struct ol_section_out *to)
{
    if (s->criterion != NULL)
        ol_section_say(
            to,
            "A super expert puts out a magnitude above the %g-th percentile of "
            "all experts and above %g %% of the largest (both: above %s here), in the "
            "first %g %% of the layers (arXiv 2507.23279).",
            s->criterion->percentile, 100 * s->criterion->min_share,
            ol_text_magnitude(s->limit).text, 100 * s->criterion->first_layers);
    char *tile = ol_text_super_experts(s), *noise = ol_text_super_noise(s);
    ol_section_say(to, "%s.%s%s", tile, noise != NULL ? " " : "",
                   noise != NULL ? noise : "");
    free(noise);
    free(tile);
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    if (has(r))
        say_rule(r->blocks.super_experts, to);
    ol_section_table(to, &super_experts_table);
    ol_section_figure(to, &experts_figure, NULL);
    ol_section_long(to, &robust_experts_table);
    ol_section_numbers(to, &units_table);
}

static const struct ol_table_source *const tables[] = {
    &super_experts_table, &robust_experts_table, &units_table, NULL};
static const struct ol_figure *const figures[] = {&experts_figure, NULL};

const struct ol_section ol_super_experts_section = {
    "experts", "Super experts", tables, figures, has, write};
