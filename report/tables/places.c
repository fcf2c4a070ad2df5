/* On which tokens and at which positions. */
#include <math.h>

#include "report/tables.h"

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

const struct ol_table_source ol_tokens_table = {"tokens",
                                                "Tokens by how often they carry outliers",
                                                tokens_columns, "tokens.pieces", NULL};

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

const struct ol_table_source ol_token_shares_table = {
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

const struct ol_table_source ol_token_counts_table = {
    .name = "token_counts",
    .title = "Counts without first tokens and without tokens with a massive activation",
    .make = make_token_counts};

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

const struct ol_table_source ol_positions_table = {
    .name = "positions", .title = "Outliers by position", .make = make_positions};

/* ---- in two dimensions: a row per bucket ---- */

static void put_bucket(struct ol_grid *g, const struct ol_position_map *map, int64_t i,
                       const struct ol_reals *counts)
{
    const double *edges = map->bucket_edges.items, n = map->n_tokens.items[i];
    ol_grid_whole(g, edges[i]);
    ol_grid_whole(g, i + 1 < map->bucket_edges.n ? edges[i + 1] - 1 : NAN);
    ol_grid_whole(g, n);
    ol_grid_whole(g, counts->items[i]);
    ol_grid_real(g, n > 0 ? counts->items[i] / n : NAN);
}

static const struct ol_column feature_positions_columns[] = {
    {"feature", "feature", OL_COLUMN_LABEL},
    {"from", "from position", OL_COLUMN_LABEL},
    {"to", "to position", OL_COLUMN_LABEL},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"n_outliers", "with an occurrence", OL_COLUMN_COUNT},
    {"share", "share, %", OL_COLUMN_PERCENT},
    {0}};

static struct ol_grid *make_feature_positions(const struct ol_report_results *r)
{
    const struct ol_position_map *map = r->blocks.position_map;
    if (map == NULL || map->features.items == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(feature_positions_columns);
    const struct ol_position_feature *features = map->features.items;
    for (int64_t k = 0; k < map->features.n; k++)
        for (int64_t i = 0; i < map->bucket_edges.n; i++) {
            ol_grid_int(g, features[k].feature);
            put_bucket(g, map, i, &features[k].n_outliers);
        }
    return g;
}

const struct ol_table_source ol_feature_positions_table = {
    .name = "feature_positions",
    .title = "Outlier features by position",
    .make = make_feature_positions};

static const struct ol_column site_positions_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"from", "from position", OL_COLUMN_LABEL},
    {"to", "to position", OL_COLUMN_LABEL},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"occurrences", "occurrences", OL_COLUMN_COUNT},
    {"per_token", "per token", OL_COLUMN_MAGNITUDE},
    {0}};

static struct ol_grid *make_site_positions(const struct ol_report_results *r)
{
    const struct ol_position_map *map = r->blocks.position_map;
    if (map == NULL || map->sites.items == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(site_positions_columns);
    const struct ol_position_site *sites = map->sites.items;
    for (int64_t k = 0; k < map->sites.n; k++)
        for (int64_t i = 0; i < map->bucket_edges.n; i++) {
            ol_grid_int(g, sites[k].layer);
            ol_grid_text(g, sites[k].site);
            put_bucket(g, map, i, &sites[k].occurrences);
        }
    return g;
}

const struct ol_table_source ol_site_positions_table = {
    .name = "site_positions",
    .title = "Occurrences by site and position",
    .make = make_site_positions};
