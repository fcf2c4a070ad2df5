/* How sure the counts are, and how they hang on the criterion. */
#include <math.h>

#include "report/tables.h"

static const struct ol_column sweep_columns[] = {
    {"threshold", "threshold", OL_COLUMN_NUMBER},
    {"layer_fraction", "sites, %", OL_COLUMN_PERCENT},
    {"position_fraction", "positions, %", OL_COLUMN_PERCENT},
    {"pairs", "pairs", OL_COLUMN_COUNT},
    {"unique", "unique", OL_COLUMN_COUNT},
    {0}};

static struct ol_grid *make_sweep(const struct ol_report_results *r)
{
    const struct ol_sweep *s = r->blocks.sweep;
    if (s == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(sweep_columns);
    const int64_t n_l = s->layer_fractions.n, n_p = s->position_fractions.n;
    for (int64_t i = 0; i < s->thresholds.n * n_l * n_p; i++) {
        ol_grid_real(g, s->thresholds.items[i / (n_l * n_p)]);
        ol_grid_real(g, s->layer_fractions.items[i / n_p % n_l]);
        ol_grid_real(g, s->position_fractions.items[i % n_p]);
        ol_grid_whole(g, i < s->pairs.n ? s->pairs.items[i] : NAN);
        ol_grid_whole(g, i < s->unique.n ? s->unique.items[i] : NAN);
    }
    return g;
}

const struct ol_table_source ol_sweep_table = {
    .name = "sweep",
    .title = "Counts at other thresholds, shares of sites and of positions",
    .make = make_sweep};

static const struct ol_column uncertainty_columns[] = {
    {"quantity", "quantity", OL_COLUMN_TEXT},
    {"value", "value", OL_COLUMN_NUMBER},
    {"low", "low", OL_COLUMN_NUMBER},
    {"high", "high", OL_COLUMN_NUMBER},
    {0}};

static void put_interval(struct ol_grid *g, const char *what, const struct ol_interval *i)
{
    if (i == NULL)
        return;
    ol_grid_text(g, what);
    ol_grid_real(g, i->value);
    ol_grid_real(g, i->low);
    ol_grid_real(g, i->high);
}

static struct ol_grid *make_uncertainty(const struct ol_report_results *r)
{
    const struct ol_uncertainty *u = r->blocks.uncertainty;
    if (u == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(uncertainty_columns);
    put_interval(g, "pairs", u->pairs);
    put_interval(g, "unique", u->unique);
    put_interval(g, "pooled", u->pooled);
    put_interval(g, "mean share of sites", u->mean_layer_fraction);
    put_interval(g, "mean share of positions", u->mean_position_fraction);
    return g;
}

const struct ol_table_source ol_uncertainty_table = {
    .name = "uncertainty",
    .title = "Intervals from resampled sequences, of the mean over such sequences",
    .make = make_uncertainty};

static const struct ol_column margin_columns[] = {
    {"change", "change of the threshold", OL_COLUMN_TEXT},
    {"threshold", "threshold", OL_COLUMN_NUMBER},
    {"pairs", "pairs", OL_COLUMN_COUNT},
    {0}};

static struct ol_grid *make_margin(const struct ol_report_results *r)
{
    const struct ol_uncertainty *u = r->blocks.uncertainty;
    if (u == NULL || u->margin == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(margin_columns);
    const struct ol_margin_count *counts = u->margin->counts.items;
    bool known = false;
    for (int64_t i = 0; i < u->margin->counts.n; i++) {
        if (i == u->margin->counts.n / 2) {
            ol_grid_text(g, "none");
            ol_grid_real(g, r->criterion->threshold);
            ol_grid_int(g, r->pairs->count);
        }
        ol_grid_text(g, counts[i].change);
        ol_grid_real(g, counts[i].threshold);
        ol_grid_int(g, counts[i].pairs);
        known = known || counts[i].pairs != OL_ABSENT;
    }
    if (known)
        return g;
    ol_grid_free(g);
    return NULL;
}

const struct ol_table_source ol_margin_table = {
    .name = "margin", .title = "Pairs with a threshold nearby", .make = make_margin};

static const struct ol_column consistency_columns[] = {
    {"batches", "batches", OL_COLUMN_LABEL},
    {"n_features", "features", OL_COLUMN_COUNT},
    {0}};

const struct ol_table_source ol_consistency_table = {
    "consistency", "Features by the number of batches in which they qualify",
    consistency_columns, "uncertainty.consistency", NULL};
