/* Massive activations of the residual stream. */
#include "report/section.h"
#include "report/sentences_stream.h"

static const struct ol_column massive_features_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"max_magnitude", "maximum |x|", OL_COLUMN_MAGNITUDE},
    {"max_layer", "after layer", OL_COLUMN_LABEL},
    {"max_ratio", "x median", OL_COLUMN_MAGNITUDE},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"at_first_token", "at position 0", OL_COLUMN_COUNT},
    {"first_layer", "from layer", OL_COLUMN_LABEL},
    {"last_layer", "to layer", OL_COLUMN_LABEL},
    {"n_layers", "layers", OL_COLUMN_COUNT},
    {"n_values", "values", OL_COLUMN_COUNT},
    {"above_until", "above 100 until", OL_COLUMN_LABEL},
    {"above_until_at_most", "or until", OL_COLUMN_LABEL},
    {0}};

static const struct ol_table_source massive_features_table = {
    "massive_features", "Massive dimensions of the residual stream",
    massive_features_columns, "massive.features", NULL};

static const struct ol_column massive_life_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"max_magnitude", "maximum |x|, all tokens", OL_COLUMN_MAGNITUDE},
    {"ratio", "times the median", OL_COLUMN_MAGNITUDE},
    {"n_massive", "tokens where it is massive", OL_COLUMN_COUNT},
    {"n_above", "of its tokens above 100", OL_COLUMN_COUNT},
    {"n_unknown", "not known", OL_COLUMN_COUNT},
    {0}};

static const struct ol_table_source massive_life_table = {
    "massive_life", "Massive dimensions, layer by layer", massive_life_columns,
    "massive.features.layers", NULL};

static const struct ol_column massive_near_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"max_ratio", "x median", OL_COLUMN_MAGNITUDE},
    {"max_magnitude", "largest near miss", OL_COLUMN_MAGNITUDE},
    {"first_layer", "from layer", OL_COLUMN_LABEL},
    {"last_layer", "to layer", OL_COLUMN_LABEL},
    {"n_values", "values", OL_COLUMN_COUNT},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"at_first_token", "at position 0", OL_COLUMN_COUNT},
    {"piece=tokens.piece", "most often on", OL_COLUMN_PIECE},
    {"n_of_piece=tokens.n_tokens", "tokens", OL_COLUMN_COUNT},
    {0}};

static const struct ol_table_source massive_near_table = {
    "massive_near", "Near misses: values of 500 to 1000 times the median",
    massive_near_columns, "massive.near", NULL};

static const struct ol_column massive_tokens_columns[] = {
    {"token_id", "token", OL_COLUMN_LABEL},
    {"piece", "text", OL_COLUMN_PIECE},
    {"at_first", "massive at position 0", OL_COLUMN_COUNT},
    {"text_at_first", "of these in the text", OL_COLUMN_COUNT},
    {"elsewhere", "massive elsewhere", OL_COLUMN_COUNT},
    {"text_elsewhere", "of these in the text", OL_COLUMN_COUNT},
    {0}};

static const struct ol_table_source massive_tokens_table = {
    "massive_tokens", "Tokens that carry massive activations", massive_tokens_columns,
    "massive.tokens", NULL};

/* ---- section ---- */

static bool has(const struct ol_report_results *r)
{
    return r->blocks.massive != NULL;
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    const struct ol_massive_block *m = r->blocks.massive;
    if (m == NULL) {
        ol_section_absent(to, "The list of massive activations", OL_NEEDS_SUMMARIES);
        return;
    }
    if (m->criterion != NULL)
        ol_section_say(
            to,
            "A massive activation is a value of the residual stream with |x| > "
            "%g that is at least %g times the median of its layer (arXiv "
            "2402.17762). Each token's four largest values are looked at.",
            m->criterion->min_magnitude, m->criterion->min_ratio);
    if (m->onset_layer == OL_ABSENT)
        ol_section_say(to, "No layer has one.");
    const struct ol_massive_dimension *all = m->features.items;
    for (int64_t i = 0; i < m->features.n && i < OL_SECTION_SENTENCES; i++)
        ol_section_sentence(to, ol_sentence_massive(&all[i]));
    ol_section_table(to, &massive_features_table);
    ol_section_long(to, &massive_life_table);
    if (m->near.n > 0 && m->criterion != NULL) {
        ol_section_heading(to, "Near misses");
        ol_section_say(to,
                       "Near misses are more than %g and %g to %g times the median: not "
                       "massive by the criterion, and often the same dimensions earlier, "
                       "later or on other tokens.",
                       m->criterion->min_magnitude, m->criterion->near_ratio,
                       m->criterion->min_ratio);
    }
    ol_section_table(to, &massive_near_table);
    if (m->tokens.n > 0)
        ol_section_heading(to, "Their tokens");
    ol_section_table(to, &massive_tokens_table);
}

static const struct ol_table_source *const tables[] = {
    &massive_features_table, &massive_life_table, &massive_near_table,
    &massive_tokens_table, NULL};
static const struct ol_figure *const figures[] = {NULL};

const struct ol_section ol_massive_section = {
    "massive", "Massive activations", tables, figures, has, write};
