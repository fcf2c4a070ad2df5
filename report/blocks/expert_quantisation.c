/* What number formats would do to the input of each routed expert. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/heatmap.h"
#include "report/section.h"
#include "report/text.h"

/* ---- tables ---- */

static const struct ol_column expert_quantisation_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"expert", "expert", OL_COLUMN_LABEL},
    {"n_tokens", "tokens looked at", OL_COLUMN_COUNT},
    {"method", "method", OL_COLUMN_TEXT},
    {"error", "relative error", OL_COLUMN_MAGNITUDE},
    {0}};

static struct ol_grid *make_expert_quantisation(const struct ol_report_results *r)
{
    const struct ol_expert_quantisation *q = r->blocks.expert_quantisation;
    if (q == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(expert_quantisation_columns);
    const struct ol_quantised_experts *layers = q->layers.items;
    const char *const *methods = q->methods.items;
    for (int64_t i = 0; i < q->layers.n; i++)
        for (int64_t e = 0; e < q->n_experts; e++)
            for (int64_t m = 0; m < q->methods.n; m++) {
                ol_grid_int(g, layers[i].layer);
                ol_grid_int(g, e);
                ol_grid_whole(g, layers[i].n_tokens.items[e]);
                ol_grid_text(g, methods[m]);
                ol_grid_real(g, layers[i].error.items[m * q->n_experts + e]);
            }
    return g;
}

static const struct ol_table_source expert_quantisation_table = {
    .name = "expert_quantisation",
    .title = "Relative error by expert and number format",
    .make = make_expert_quantisation};

static const struct ol_column expert_ranking_columns[] = {
    {"method", "method", OL_COLUMN_TEXT},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"expert", "expert", OL_COLUMN_LABEL},
    {"n_tokens", "tokens looked at", OL_COLUMN_COUNT},
    {"error", "relative error", OL_COLUMN_MAGNITUDE},
    {0}};

static const struct ol_table_source expert_ranking_table = {
    "expert_ranking", "Experts by number format, the worst first", expert_ranking_columns,
    "expert_quantisation.ranking", NULL};

/* ---- figure ---- */

/* A scale per token does not depend on how many tokens an expert has. */
static const char *const drawn_method = "int8_token";

static int64_t find_method(const struct ol_list *methods)
{
    const char *const *names = methods->items;
    for (int64_t m = 0; m < methods->n; m++)
        if (names[m] != NULL && strcmp(names[m], drawn_method) == 0)
            return m;
    return -1;
}

static bool has_expert_quantisation(const struct ol_report_results *r)
{
    const struct ol_expert_quantisation *q = r->blocks.expert_quantisation;
    return q != NULL && q->layers.n > 0 && q->n_experts > 0 &&
           find_method(&q->methods) >= 0;
}

static void draw_expert_quantisation(const struct ol_report_results *r,
                                     const struct ol_canvas *c)
{
    const struct ol_expert_quantisation *q = r->blocks.expert_quantisation;
    const struct ol_quantised_experts *layers = q->layers.items;
    const int64_t columns = ol_report_layers(r), method = find_method(&q->methods);
    double *values = ol_heatmap_values(q->n_experts, columns);
    for (int64_t i = 0; i < q->layers.n; i++)
        for (int64_t e = 0;
             e < q->n_experts && layers[i].layer >= 0 && layers[i].layer < columns; e++)
            values[e * columns + layers[i].layer] =
                100 * layers[i].error.items[method * q->n_experts + e];
    const struct ol_heatmap map = {.n_columns = columns,
                                   .n_rows = q->n_experts,
                                   .values = values,
                                   .x_title = "layer",
                                   .y_title = "expert",
                                   .scale_title =
                                       "relative error of INT8 with a scale per token, %",
                                   .suffix = " %",
                                   .missing = "no tokens, or no experts",
                                   .log = true};
    ol_heatmap_draw(c, &map);
    free(values);
}

static const struct ol_figure expert_quantisation_figure = {
    "expert_quantisation",
    "Error of quantising each expert's input",
    "One cell per expert and layer: the relative error if what goes into the expert were "
    "stored in 8-bit integers with a scale per token (int8_token), over a sample of the "
    "tokens that were routed to it. An expert that stands out from its layer gets "
    "the tokens with outliers. The tables have the other formats.",
    "It needs a Mixture-of-Experts model and recorded tensors of ln_mlp: run ol-extract "
    "with --store bf16 (the default), then ol-analyze.",
    has_expert_quantisation,
    draw_expert_quantisation};

/* ---- where there are no figures ---- */

/* The worst few by each method: the rest is in HTML and CSV. */
static void print_worst(const struct ol_expert_quantisation *q, FILE *out)
{
    enum { MOST = 3 };
    static const struct ol_column columns[] = {
        {"method", "method", OL_COLUMN_TEXT},
        {"layer", "layer", OL_COLUMN_LABEL},
        {"expert", "expert", OL_COLUMN_LABEL},
        {"n_tokens", "tokens looked at", OL_COLUMN_COUNT},
        {"error", "relative error, %", OL_COLUMN_MAGNITUDE},
        {0}};
    const struct ol_expert_rank *ranks = q->ranking.items;
    struct ol_grid *g = ol_grid_new(columns);
    int n = 0;
    for (int64_t i = 0; i < q->ranking.n; i++) {
        if (ranks[i].method == NULL)
            continue;
        n = i > 0 && ranks[i - 1].method != NULL &&
                    strcmp(ranks[i].method, ranks[i - 1].method) == 0
                ? n + 1
                : 0;
        if (n >= MOST)
            continue;
        ol_grid_text(g, ranks[i].method);
        ol_grid_int(g, ranks[i].layer);
        ol_grid_int(g, ranks[i].expert);
        ol_grid_int(g, ranks[i].n_tokens);
        ol_grid_real(g, 100 * ranks[i].error);
    }
    fputs("\nThe routed experts whose input suffers most, by each format:\n\n", out);
    ol_grid_markdown(g, INT64_MAX, out);
    ol_grid_free(g);
}

/* ---- section ---- */

static bool has(const struct ol_report_results *r)
{
    const struct ol_expert_quantisation *q = r->blocks.expert_quantisation;
    return q != NULL ? q->ranking.n > 0 : *r->model->experts_read != '\0';
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    const struct ol_expert_quantisation *e = r->blocks.expert_quantisation;
    if (r->model->n_experts == 0)
        return;
    ol_section_heading(to, "Experts");
    if (e == NULL && *r->model->experts_read != '\0') {
        ol_section_say(to,
                       "What goes into a routed expert here (%s) is not ln_mlp, and is "
                       "not recorded: its error in number formats is not known.",
                       r->model->experts_read);
        return;
    }
    ol_section_figure(to, &expert_quantisation_figure, NULL);
    if (e != NULL && e->most_tokens != OL_ABSENT)
        ol_section_say(
            to,
            "Computed over up to %s tokens of each expert, drawn at random with "
            "a fixed seed. Scales that tokens share are those of all tokens of "
            "the layer.",
            ol_text_count(e->most_tokens).text);
    if (ol_section_text(to) != NULL)
        print_worst(e, ol_section_text(to));
    ol_section_long(to, &expert_ranking_table);
    ol_section_long(to, &expert_quantisation_table);
}

static const struct ol_table_source *const tables[] = {&expert_quantisation_table,
                                                       &expert_ranking_table, NULL};
static const struct ol_figure *const figures[] = {&expert_quantisation_figure, NULL};

/* Goes on in the section of quantisation. */
const struct ol_section ol_expert_quantisation_section = {NULL,    NULL, tables,
                                                          figures, has,  write};
