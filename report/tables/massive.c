/* Massive activations, and the distributions of all values. */
#include <math.h>

#include "report/tables.h"

static const struct ol_column distributions_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"n", "values", OL_COLUMN_COUNT},
    {"n_nan", "NaN", OL_COLUMN_COUNT},
    {"n_inf", "infinite", OL_COLUMN_COUNT},
    {"n_zero", "zeros", OL_COLUMN_COUNT},
    {"mean", "mean", OL_COLUMN_MAGNITUDE},
    {"std", "std", OL_COLUMN_MAGNITUDE},
    {"kurtosis_token_median", "kurtosis, median token", OL_COLUMN_MAGNITUDE},
    {"kurtosis", "kurtosis, all values", OL_COLUMN_MAGNITUDE},
    {"median_magnitude", "median |x|", OL_COLUMN_MAGNITUDE},
    {"magnitude_99", "99 %", OL_COLUMN_MAGNITUDE},
    {"magnitude_999", "99.9 %", OL_COLUMN_MAGNITUDE},
    {"magnitude_9999", "99.99 %", OL_COLUMN_MAGNITUDE},
    {"max_magnitude", "maximum", OL_COLUMN_MAGNITUDE},
    {0}};

/* NAN: the file has no such level. */
static double quantile(const struct ol_distributions *d, const struct ol_distribution *s,
                       double level)
{
    for (int64_t i = 0; i < d->quantile_levels.n; i++)
        if (fabs(d->quantile_levels.items[i] - level) < 1e-9)
            return s->magnitudes.items[i];
    return NAN;
}

static struct ol_grid *make_distributions(const struct ol_report_results *r)
{
    const struct ol_distributions *d = r->blocks.distributions;
    if (d == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(distributions_columns);
    const struct ol_distribution *sites = d->sites.items;
    for (int64_t i = 0; i < d->sites.n; i++) {
        const struct ol_distribution *s = &sites[i];
        ol_grid_int(g, s->layer);
        ol_grid_text(g, s->site);
        ol_grid_int(g, s->n);
        ol_grid_int(g, s->n_nan);
        ol_grid_int(g, s->n_inf);
        ol_grid_int(g, s->n_zero);
        ol_grid_real(g, s->mean);
        ol_grid_real(g, s->std);
        ol_grid_real(g, s->kurtosis_token_median);
        ol_grid_real(g, s->kurtosis);
        ol_grid_real(g, quantile(d, s, 0.5));
        ol_grid_real(g, quantile(d, s, 0.99));
        ol_grid_real(g, quantile(d, s, 0.999));
        ol_grid_real(g, quantile(d, s, 0.9999));
        ol_grid_real(g, quantile(d, s, 1));
    }
    return g;
}

const struct ol_table_source ol_distributions_table = {
    .name = "distributions",
    .title = "Distribution of values by site",
    .make = make_distributions};

static const struct ol_column massive_layers_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"median_magnitude", "median |x|", OL_COLUMN_MAGNITUDE},
    {"max_magnitude", "maximum |x|", OL_COLUMN_MAGNITUDE},
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"sequence", "sequence", OL_COLUMN_LABEL},
    {"position", "position", OL_COLUMN_LABEL},
    {"token_id", "token", OL_COLUMN_LABEL},
    {"piece", "text", OL_COLUMN_PIECE},
    {"n_values", "massive values", OL_COLUMN_COUNT},
    {"n_tokens", "tokens with one", OL_COLUMN_COUNT},
    {"token_top_1=mean_top.0", "mean largest of a token", OL_COLUMN_MAGNITUDE},
    {"sequence_top_1=mean_top_published.0", "of a sequence (published)",
     OL_COLUMN_MAGNITUDE},
    {"sequence_top_2=mean_top_published.1", "2nd", OL_COLUMN_MAGNITUDE},
    {"sequence_top_3=mean_top_published.2", "3rd", OL_COLUMN_MAGNITUDE},
    {0}};

const struct ol_table_source ol_massive_layers_table = {
    "massive_layers", "The residual stream after each layer", massive_layers_columns,
    "massive.layers", NULL};

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

const struct ol_table_source ol_massive_features_table = {
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

const struct ol_table_source ol_massive_life_table = {
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

const struct ol_table_source ol_massive_near_table = {
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

const struct ol_table_source ol_massive_tokens_table = {
    "massive_tokens", "Tokens that carry massive activations", massive_tokens_columns,
    "massive.tokens", NULL};
