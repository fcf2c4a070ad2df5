/* On which tokens and at which positions. */
#include <math.h>

#include "report/tables.h"

static const struct ol_column tokens_columns[] = {
    {"token_id", "token", OL_COLUMN_LABEL},
    {"piece", "text", OL_COLUMN_PIECE},
    {"n_tokens", "in the text", OL_COLUMN_COUNT},
    {"n_outliers", "outliers", OL_COLUMN_COUNT},
    {"per_token", "per token", OL_COLUMN_MAGNITUDE},
    {0}};

static struct ol_grid *make_tokens(const struct ol_report_results *r)
{
    if (r->blocks.tokens == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(tokens_columns);
    const struct ol_token_piece *pieces = r->blocks.tokens->pieces.items;
    for (int64_t i = 0; i < r->blocks.tokens->pieces.n; i++) {
        const struct ol_token_piece *p = &pieces[i];
        ol_grid_int(g, p->token_id);
        ol_grid_text(g, p->piece);
        ol_grid_int(g, p->n_tokens);
        ol_grid_int(g, p->n_outliers);
        ol_grid_real(g, p->per_token);
    }
    return g;
}

const struct ol_table_source ol_tokens_table = {"tokens", "Tokens with the most outliers",
                                                make_tokens};

static const struct ol_column token_counts_columns[] = {
    {"left_out", "left out", OL_COLUMN_TEXT},    {"pairs", "pairs", OL_COLUMN_COUNT},
    {"unique", "unique", OL_COLUMN_COUNT},       {"pooled", "pooled", OL_COLUMN_COUNT},
    {"n_sinks", "sink tokens", OL_COLUMN_COUNT}, {0}};

static void put_counts(struct ol_grid *g, const char *what,
                       const struct ol_token_counts *c)
{
    ol_grid_text(g, what);
    ol_grid_int(g, c->pairs);
    ol_grid_int(g, c->unique);
    ol_grid_int(g, c->pooled);
    ol_grid_int(g, c->n_sinks);
}

static struct ol_grid *make_token_counts(const struct ol_report_results *r)
{
    const struct ol_tokens *t = r->blocks.tokens;
    if (t == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(token_counts_columns);
    if (r->has_outliers)
        put_counts(g, "nothing",
                   &(struct ol_token_counts){r->n_pairs, r->unique.count, r->pooled.count,
                                             OL_ABSENT});
    if (t->without_first != NULL)
        put_counts(g, "first token", t->without_first);
    if (t->without_sinks != NULL)
        put_counts(g, "sink tokens", t->without_sinks);
    return g;
}

const struct ol_table_source ol_token_counts_table = {
    "token_counts", "Counts without the first token and without sink tokens",
    make_token_counts};

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

const struct ol_table_source ol_positions_table = {"positions", "Outliers by position",
                                                   make_positions};
