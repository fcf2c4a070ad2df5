/* Attention sinks: what heads look at whatever they look for. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/heatmap.h"
#include "report/section.h"

static const struct ol_attention_sinks *block_of(const struct ol_report_results *r)
{
    return r->blocks.attention_sinks;
}

static bool has_layers(const struct ol_report_results *r)
{
    return block_of(r) != NULL && block_of(r)->layers.n > 0;
}

/* ---- tables ---- */

static const struct ol_column layers_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"attention", "attention", OL_COLUMN_TEXT},
    {"first", "to the first token, %", OL_COLUMN_PERCENT},
    {"sink_heads", "heads whose sink it is, %", OL_COLUMN_PERCENT},
    {"learned", "to the learned sink, %", OL_COLUMN_PERCENT},
    {"gate", "mean gate, %", OL_COLUMN_PERCENT},
    {0}};

static const struct ol_table_source layers_table = {
    "attention_layers", "Attention to the first token and to learned sinks",
    layers_columns, "attention_sinks.layers", NULL};

static const struct ol_column heads_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"head", "head", OL_COLUMN_LABEL},
    {"first", "to the first token, %", OL_COLUMN_PERCENT},
    {"first_sink", "sequences whose sink it is, %", OL_COLUMN_PERCENT},
    {"sinks", "sinks per sequence", OL_COLUMN_MAGNITUDE},
    {"learned", "to the learned sink, %", OL_COLUMN_PERCENT},
    {"gate", "mean gate, %", OL_COLUMN_PERCENT},
    {"gate_first", "of first tokens, %", OL_COLUMN_PERCENT},
    {"gate_sinks", "of sinks, %", OL_COLUMN_PERCENT},
    {0}};

static const struct ol_table_source heads_table = {
    "attention_heads", "Attention of every head", heads_columns,
    "attention_sinks.layers.heads", NULL};

static const struct ol_column keys_columns[] = {
    {"sequence", "sequence", OL_COLUMN_LABEL},
    {"position", "position", OL_COLUMN_LABEL},
    {"piece", "token", OL_COLUMN_PIECE},
    {"n_heads", "heads of all layers whose sink it is", OL_COLUMN_COUNT},
    {"share", "of all heads, %", OL_COLUMN_PERCENT},
    {"received", "mean attention, %", OL_COLUMN_PERCENT},
    {"massive", "massive activation", OL_COLUMN_YES},
    {0}};

static const struct ol_table_source keys_table = {
    "attention_keys", "Sinks that are no first tokens", keys_columns,
    "attention_sinks.keys", NULL};

static const struct ol_column tokens_columns[] = {
    {"token_id", "token id", OL_COLUMN_LABEL},
    {"piece", "token", OL_COLUMN_PIECE},
    {"n_tokens", "places where it is a sink", OL_COLUMN_COUNT},
    {0}};

static const struct ol_table_source tokens_table = {
    "attention_tokens", "Tokens that are sinks elsewhere than at the beginning",
    tokens_columns, "attention_sinks.tokens", NULL};

/* ---- figure ---- */

static void draw(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_attention_sinks *b = block_of(r);
    const struct ol_sink_layer *layers = b->layers.items;
    const int64_t columns = ol_report_layers(r);
    int64_t rows = 1;
    for (int64_t i = 0; i < b->layers.n; i++)
        rows = layers[i].heads.n > rows ? layers[i].heads.n : rows;
    double *values = ol_heatmap_values(rows, columns);
    for (int64_t i = 0; i < b->layers.n; i++) {
        const struct ol_sink_head *heads = layers[i].heads.items;
        for (int64_t h = 0; h < layers[i].heads.n && layers[i].layer < columns; h++)
            values[h * columns + layers[i].layer] = 100 * heads[h].first;
    }
    const struct ol_heatmap map = {.n_columns = columns,
                                   .n_rows = rows,
                                   .values = values,
                                   .x_title = "layer",
                                   .y_title = "head",
                                   .scale_title = "mean attention to the first token, %",
                                   .suffix = " %",
                                   .missing = "no attention",
                                   .low = 0,
                                   .high = 100};
    ol_heatmap_draw(c, &map);
    free(values);
}

static const struct ol_figure heads_figure = {
    "attention_sinks",
    "Attention to the first token, head by head",
    "One cell per head and layer: the share of its attention that a query gives to the "
    "first token of its sequence, mean over the queries that see it and over sequences.",
    "It needs summaries of ol-extract since 0.2, which describe attention, then "
    "ol-analyze.",
    has_layers,
    draw};

/* ---- section ---- */

static void say_first(const struct ol_attention_sinks *b, struct ol_section_out *to)
{
    const struct ol_sink_layer *layers = b->layers.items;
    const struct ol_sink_layer *most = NULL;
    for (int64_t i = 0; i < b->layers.n; i++)
        if (!isnan(layers[i].sink_heads) &&
            (most == NULL || layers[i].sink_heads > most->sink_heads))
            most = &layers[i];
    ol_section_say(to,
                   "A sink of a head is a token that gets more than %g %% of its "
                   "attention, mean over the queries that see it (arXiv 2410.10781). "
                   "Sequences begin %s special token: their first tokens get %.3g %% of "
                   "the attention, and are sinks of %.3g %% of the %" PRId64
                   " heads of all layers.",
                   100 * b->min_share, b->bos ? "with a" : "without a", 100 * b->first,
                   100 * b->sink_heads, b->n_heads);
    if (most != NULL && most->sink_heads > 0)
        ol_section_say(to, "Most are in layer %" PRId64 ": %.3g %% of its heads.",
                       most->layer, 100 * most->sink_heads);
    ol_section_say(to,
                   "%" PRId64 " other tokens, each seen by at least %" PRId64
                   " queries, are sinks of a head.",
                   b->n_keys, b->min_queries);
}

/* Means over the layers that have it; NaN: none has. */
static void say_layers(const struct ol_attention_sinks *b, struct ol_section_out *to)
{
    const struct ol_sink_layer *layers = b->layers.items;
    double learned = 0, gate = 0, n_learned = 0, n_gated = 0;
    int64_t n_compressed = 0;
    for (int64_t i = 0; i < b->layers.n; i++) {
        n_compressed +=
            layers[i].attention != NULL && strcmp(layers[i].attention, "compressed") == 0;
        learned += isnan(layers[i].learned) ? 0 : layers[i].learned;
        n_learned += !isnan(layers[i].learned);
        gate += isnan(layers[i].gate) ? 0 : layers[i].gate;
        n_gated += !isnan(layers[i].gate);
    }
    if (n_compressed > 0)
        ol_section_say(to,
                       "In %" PRId64 " of %" PRId64
                       " layers entries stand for earlier tokens: there the share of a "
                       "token is that of its own key, over the queries whose window "
                       "holds it, and what entries get is no token's.",
                       n_compressed, b->layers.n);
    if (n_learned > 0)
        ol_section_say(to, "Learned sinks take %.3g %% of the attention of their layers.",
                       100 * learned / n_learned);
    if (n_gated > 0)
        ol_section_say(to,
                       "The output of heads is gated: their gates are %.3g on average; "
                       "where they close, a head needs no sink to do nothing.",
                       gate / n_gated);
}

/* Whether sinks and massive activations are on the same tokens. */
static void say_massive(const struct ol_attention_sinks *b, struct ol_section_out *to)
{
    const struct ol_sinks_and_massive *m = b->massive;
    if (m == NULL)
        return;
    if (m->n_massive == 0 || m->n_sinks == 0) {
        ol_section_say(to, "%s: whether the two are on the same tokens cannot be told.",
                       m->n_massive > 0 ? "There are massive activations, but no sinks"
                       : m->n_sinks > 0 ? "There are sinks, but no massive activations"
                                        : "There are neither sinks nor massive "
                                          "activations");
        return;
    }
    ol_section_say(
        to,
        "Of the %" PRId64 " tokens with a massive activation %" PRId64
        " are sinks of a head (%.3g %%), %" PRId64
        " of them first tokens; of the %" PRId64
        " tokens that are sinks %.3g %% have one. Sinks weighed by the heads that look "
        "at them: %.3g %% of all (layer, head, sink) are on tokens with a massive "
        "activation.",
        m->n_massive, m->n_both, 100 * (double)m->n_both / (double)m->n_massive,
        m->n_both_first, m->n_sinks, 100 * (double)m->n_both / (double)m->n_sinks,
        100 * (double)m->n_pairs_massive / (double)m->n_pairs);
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    if (has_layers(r)) {
        say_first(block_of(r), to);
        say_layers(block_of(r), to);
        say_massive(block_of(r), to);
    }
    ol_section_figure(to, &heads_figure, &layers_table);
    ol_section_table(to, &keys_table);
    ol_section_table(to, &tokens_table);
}

static const struct ol_table_source *const tables[] = {&layers_table, &heads_table,
                                                       &keys_table, &tokens_table, NULL};
static const struct ol_figure *const figures[] = {&heads_figure, NULL};

const struct ol_section ol_attention_sinks_section = {
    "attention_sinks", "Attention sinks", tables, figures, has_layers, write};
