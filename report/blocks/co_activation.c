/* Experts that are chosen together, and those that nearly all tokens choose. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/chart.h"
#include "report/section.h"
#include "report/sentences.h"

/* ---- tables ---- */

static const struct ol_column committees_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"n_for_half", "experts with half of the choices", OL_COLUMN_COUNT},
    {"n_for_most", "with nine tenths", OL_COLUMN_COUNT},
    {"n_members", "standing committee", OL_COLUMN_COUNT},
    {"members", "its experts", OL_COLUMN_TEXT},
    {0}};

/* "3, 11": the experts of a committee. The caller frees. */
static char *members(const struct ol_co_layer *l)
{
    const struct ol_committee_member *m = l->committee.items;
    char *text = ol_xstrdup("");
    for (int64_t i = 0; i < l->committee.n; i++) {
        char *longer = ol_xasprintf("%s%s%" PRId64, text, i > 0 ? ", " : "", m[i].expert);
        free(text);
        text = longer;
    }
    return text;
}

static struct ol_grid *make_committees(const struct ol_report_results *r)
{
    const struct ol_co_activation *c = r->blocks.co_activation;
    if (c == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(committees_columns);
    const struct ol_co_layer *layers = c->layers.items;
    for (int64_t i = 0; i < c->layers.n; i++) {
        char *experts = members(&layers[i]);
        ol_grid_int(g, layers[i].layer);
        ol_grid_int(g, layers[i].n_tokens);
        ol_grid_int(g, layers[i].n_for_half);
        ol_grid_int(g, layers[i].n_for_most);
        ol_grid_int(g, layers[i].committee.n);
        ol_grid_text(g, *experts != '\0' ? experts : NULL);
        free(experts);
    }
    return g;
}

static const struct ol_table_source committees_table = {
    .name = "committees",
    .title = "How many experts have most of the choices",
    .make = make_committees};

static const struct ol_column pairs_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"a", "expert a", OL_COLUMN_LABEL},
    {"b", "expert b", OL_COLUMN_LABEL},
    {"n_both", "tokens of both", OL_COLUMN_COUNT},
    {"share_a", "of a's tokens, %", OL_COLUMN_PERCENT},
    {"share_b", "of b's tokens, %", OL_COLUMN_PERCENT},
    {"lift", "times independent choices", OL_COLUMN_MAGNITUDE},
    {"excess", "more than these, % of the tokens", OL_COLUMN_PERCENT},
    {0}};

static const struct ol_table_source pairs_table = {
    "expert_pairs", "Experts that are chosen together", pairs_columns,
    "co_activation.layers.pairs", NULL};

static const struct ol_column coverage_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"n_experts=#1", "the most chosen experts", OL_COLUMN_COUNT},
    {"coverage", "have of the choices, %", OL_COLUMN_PERCENT},
    {"complete", "tokens that choose no other, %", OL_COLUMN_PERCENT},
    {0}};

static const struct ol_table_source coverage_table = {
    "coverage", "Choices that the most chosen experts have", coverage_columns,
    "co_activation.layers.coverage", NULL};

/* ---- figure ---- */

static bool has_layers(const struct ol_report_results *r)
{
    return r->blocks.co_activation != NULL && r->blocks.co_activation->layers.n > 0;
}

static double count(int64_t n)
{
    return n != OL_ABSENT ? (double)n : NAN;
}

static void draw(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_list *list = &r->blocks.co_activation->layers;
    const struct ol_co_layer *layers = list->items;
    const size_t n = (size_t)list->n;
    double *x = ol_xcalloc(n, sizeof *x), *y = ol_xcalloc(3 * n, sizeof *y);
    for (size_t i = 0; i < n; i++) {
        x[i] = (double)layers[i].layer;
        y[i] = count(layers[i].n_for_half);
        y[n + i] = count(layers[i].n_for_most);
        y[2 * n + i] = (double)layers[i].committee.n;
    }
    const struct ol_series series[] = {
        {.name = "half of the choices", .x = x, .y = y, .n = (long)n},
        {.name = "nine tenths", .x = x, .y = y + n, .n = (long)n},
        {.name = "standing committee", .x = x, .y = y + 2 * n, .n = (long)n}};
    const struct ol_chart chart = {.series = series,
                                   .n_series = 3,
                                   .x = {.title = "layer", .whole = true},
                                   .y = {.title = "experts"},
                                   .y_from_zero = true,
                                   .x_high = fmax(1, (double)r->model->n_layers - 1),
                                   .height = 260};
    ol_chart_draw(c, &chart);
    free(y);
    free(x);
}

static const struct ol_figure committees_figure = {
    "committees",
    "How many experts do most of the work",
    "At each layer the least number of experts that have half of all (token, expert) "
    "pairs, or nine tenths, and the size of the standing committee: experts that nearly "
    "all tokens choose.",
    OL_NEEDS_ROUTERS,
    has_layers,
    draw};

/* ---- section ---- */

/* More would be a list, which tables are better at. */
enum { MOST_SENTENCES = 8 };

static void say_committees(const struct ol_co_activation *c, struct ol_section_out *to)
{
    const struct ol_co_layer *layers = c->layers.items;
    int64_t n_with = 0;
    for (int64_t i = 0; i < c->layers.n; i++)
        n_with += layers[i].committee.n > 0;
    ol_section_say(to,
                   "A standing committee is made of experts that at least %g %% of the "
                   "tokens choose. %" PRId64 " of %" PRId64 " layers with routers have "
                   "one.",
                   100 * c->min_share, n_with, c->layers.n);
    for (int64_t i = 0, n = 0; i < c->layers.n && n < MOST_SENTENCES; i++) {
        if (layers[i].committee.n == 0)
            continue;
        char *experts = members(&layers[i]);
        ol_section_item(to, "layer %" PRId64 ": expert%s %s", layers[i].layer,
                        layers[i].committee.n > 1 ? "s" : "", experts);
        free(experts);
        n++;
    }
}

static bool has_pairs(const struct ol_co_activation *c)
{
    const struct ol_co_layer *layers = c->layers.items;
    bool any = false;
    for (int64_t i = 0; i < c->layers.n && !any; i++)
        any = layers[i].pairs.n > 0;
    return any;
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    if (r->model->n_experts == 0) {
        ol_section_say(to, "This is a dense model: it has no routers.");
        return;
    }
    if (r->model->top_k >= r->model->n_experts)
        ol_section_say(to, OL_TEXT_ALL_CHOSEN, r->model->n_experts);
    else if (has_layers(r))
        say_committees(r->blocks.co_activation, to);
    ol_section_figure(to, &committees_figure, &committees_table);
    if (has_layers(r) && has_pairs(r->blocks.co_activation))
        ol_section_say(to, "Pairs of experts that more tokens choose than would if "
                           "experts were chosen independently of each other. As a token "
                           "chooses a fixed number, most pairs are below that.");
    ol_section_table(to, &pairs_table);
}

static const struct ol_table_source *const tables[] = {&committees_table, &pairs_table,
                                                       &coverage_table, NULL};
static const struct ol_figure *const figures[] = {&committees_figure, NULL};

const struct ol_section ol_co_activation_section = {
    "co_activation", "Experts chosen together", tables, figures, has_layers, write};
