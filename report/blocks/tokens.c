/* The tokens on which outliers are found. */
#include "report/section.h"
#include "report/text.h"
#include "report/sentences_stream.h"

/* ---- tables ---- */

static const struct ol_column tokens_columns[] = {
    {"token_id", "token", OL_COLUMN_LABEL},
    {"piece", "text", OL_COLUMN_PIECE},
    {"n_tokens", "in the text", OL_COLUMN_COUNT},
    {"n_outliers", "outliers", OL_COLUMN_COUNT},
    {"per_token", "per token", OL_COLUMN_MAGNITUDE},
    {"base_rate", "share of the text, %", OL_COLUMN_PERCENT},
    {"share", "share of the outliers, %", OL_COLUMN_PERCENT},
    {"lift", "lift", OL_COLUMN_MAGNITUDE},
    {0}};

static const struct ol_table_source tokens_table = {
    "tokens", "Tokens by how often they carry outliers", tokens_columns, "tokens.pieces",
    NULL};

static const struct ol_column token_shares_columns[] = {
    {"of", "tokens", OL_COLUMN_TEXT},
    {"n_tokens", "in the text", OL_COLUMN_COUNT},
    {"n_outliers", "outliers", OL_COLUMN_COUNT},
    {"base_rate", "share of the text, %", OL_COLUMN_PERCENT},
    {"share", "share of the outliers, %", OL_COLUMN_PERCENT},
    {"lift", "lift", OL_COLUMN_MAGNITUDE},
    {0}};

static void put_share(struct ol_grid *g, const char *of, const struct ol_token_share *s)
{
    if (s == NULL)
        return;
    ol_grid_text(g, of);
    ol_grid_int(g, s->n_tokens);
    ol_grid_int(g, s->n);
    ol_grid_real(g, s->lift.base_rate);
    ol_grid_real(g, s->lift.share);
    ol_grid_real(g, s->lift.lift);
}

static struct ol_grid *make_token_shares(const struct ol_report_results *r)
{
    if (r->blocks.tokens == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(token_shares_columns);
    put_share(g, "first of a sequence", r->blocks.tokens->first_token);
    put_share(g, "delimiters", r->blocks.tokens->delimiters);
    return g;
}

static const struct ol_table_source token_shares_table = {
    .name = "token_shares",
    .title = "First tokens and delimiters: their share beside their base rate",
    .make = make_token_shares};

static const struct ol_column token_counts_columns[] = {
    {"left_out", "left out", OL_COLUMN_TEXT},     {"pairs", "pairs", OL_COLUMN_COUNT},
    {"unique", "unique", OL_COLUMN_COUNT},        {"pooled", "pooled", OL_COLUMN_COUNT},
    {"n_tokens", "such tokens", OL_COLUMN_COUNT}, {0}};

static void put_counts(struct ol_grid *g, const char *what,
                       const struct ol_token_counts *c)
{
    ol_grid_text(g, what);
    ol_grid_int(g, c->pairs);
    ol_grid_int(g, c->unique);
    ol_grid_int(g, c->pooled);
    ol_grid_int(g, c->n_tokens);
}

static struct ol_grid *make_token_counts(const struct ol_report_results *r)
{
    const struct ol_tokens *t = r->blocks.tokens;
    if (t == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(token_counts_columns);
    if (r->has_outliers)
        put_counts(g, "nothing",
                   &(struct ol_token_counts){r->pairs->count, r->unique->count,
                                             r->pooled->count, OL_ABSENT});
    if (t->without_first != NULL)
        put_counts(g, "first token", t->without_first);
    if (t->without_massive != NULL)
        put_counts(g, "tokens with a massive activation", t->without_massive);
    return g;
}

static const struct ol_table_source token_counts_table = {
    .name = "token_counts",
    .title = "Counts without first tokens and without tokens with a massive activation",
    .make = make_token_counts};

/* ---- section ---- */

static bool has(const struct ol_report_results *r)
{
    return r->blocks.tokens != NULL;
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    const struct ol_tokens *t = r->blocks.tokens;
    if (t == NULL) {
        ol_section_absent(to, "The tokens that carry outliers",
                          "It needs summaries made with the threshold of this analysis "
                          "(ol-extract --threshold, without --no-summaries).");
        return;
    }
    ol_section_heading(to, "Tokens");
    if (t->first_token != NULL)
        ol_section_sentence(to, ol_sentence_share("First tokens", t->first_token));
    if (t->delimiters != NULL)
        ol_section_sentence(to, ol_sentence_share("Delimiters", t->delimiters));
    ol_section_long(to, &token_shares_table);
    ol_section_table(to, &token_counts_table);
    if (t->min_tokens != OL_ABSENT && t->pieces.n > 0)
        ol_section_say(to, "Tokens that are %s times or more in the text.",
                       ol_text_count(t->min_tokens).text);
    ol_section_table(to, &tokens_table);
}

static const struct ol_table_source *const tables[] = {&tokens_table, &token_shares_table,
                                                       &token_counts_table, NULL};
static const struct ol_figure *const figures[] = {NULL};

/* Goes on in the section of positions. */
const struct ol_section ol_tokens_section = {NULL, NULL, tables, figures, has, write};
