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
    "distributions", "Distribution of values by site", make_distributions};

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
    {"token_top_1", "mean largest of a token", OL_COLUMN_MAGNITUDE},
    {"sequence_top_1", "of a sequence (published)", OL_COLUMN_MAGNITUDE},
    {"sequence_top_2", "2nd", OL_COLUMN_MAGNITUDE},
    {"sequence_top_3", "3rd", OL_COLUMN_MAGNITUDE},
    {0}};

static double at(const struct ol_reals *reals, int64_t i)
{
    return i < reals->n ? reals->items[i] : NAN;
}

static struct ol_grid *make_massive_layers(const struct ol_report_results *r)
{
    if (r->blocks.massive == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(massive_layers_columns);
    const struct ol_massive_after *layers = r->blocks.massive->layers.items;
    for (int64_t i = 0; i < r->blocks.massive->layers.n; i++) {
        const struct ol_massive_after *l = &layers[i];
        ol_grid_int(g, l->layer);
        ol_grid_real(g, l->median_magnitude);
        ol_grid_real(g, l->max_magnitude);
        ol_grid_int(g, l->feature);
        ol_grid_int(g, l->at.sequence);
        ol_grid_int(g, l->at.position);
        ol_grid_int(g, l->at.token.token_id);
        ol_grid_text(g, l->at.token.piece);
        ol_grid_int(g, l->n_values);
        ol_grid_int(g, l->n_tokens);
        ol_grid_real(g, at(&l->mean_top, 0));
        for (int64_t k = 0; k < 3; k++)
            ol_grid_real(g, at(&l->mean_top_published, k));
    }
    return g;
}

const struct ol_table_source ol_massive_layers_table = {
    "massive_layers", "The residual stream after each layer", make_massive_layers};

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

static struct ol_grid *make_massive_features(const struct ol_report_results *r)
{
    if (r->blocks.massive == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(massive_features_columns);
    const struct ol_massive_dimension *features = r->blocks.massive->features.items;
    for (int64_t i = 0; i < r->blocks.massive->features.n; i++) {
        const struct ol_massive_dimension *f = &features[i];
        ol_grid_int(g, f->values.feature);
        ol_grid_real(g, f->values.max_magnitude);
        ol_grid_int(g, f->values.max_layer);
        ol_grid_real(g, f->values.max_ratio);
        ol_grid_int(g, f->values.n_tokens);
        ol_grid_int(g, f->values.at_first_token);
        ol_grid_int(g, f->values.first_layer);
        ol_grid_int(g, f->values.last_layer);
        ol_grid_int(g, f->values.n_layers);
        ol_grid_int(g, f->values.n_values);
        ol_grid_int(g, f->above_until);
        ol_grid_int(g, f->above_until_at_most);
    }
    return g;
}

const struct ol_table_source ol_massive_features_table = {
    "massive_features", "Massive dimensions of the residual stream",
    make_massive_features};

static const struct ol_column massive_life_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"max_magnitude", "maximum |x|, all tokens", OL_COLUMN_MAGNITUDE},
    {"ratio", "times the median", OL_COLUMN_MAGNITUDE},
    {"n_massive", "tokens where it is massive", OL_COLUMN_COUNT},
    {"n_above", "of its tokens above 100", OL_COLUMN_COUNT},
    {"n_unknown", "not known", OL_COLUMN_COUNT},
    {0}};

static struct ol_grid *make_massive_life(const struct ol_report_results *r)
{
    if (r->blocks.massive == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(massive_life_columns);
    const struct ol_massive_dimension *features = r->blocks.massive->features.items;
    for (int64_t i = 0; i < r->blocks.massive->features.n; i++) {
        const struct ol_massive_life *life = features[i].layers.items;
        for (int64_t k = 0; k < features[i].layers.n; k++) {
            ol_grid_int(g, features[i].values.feature);
            ol_grid_int(g, life[k].layer);
            ol_grid_real(g, life[k].max_magnitude);
            ol_grid_real(g, life[k].ratio);
            ol_grid_int(g, life[k].n_massive);
            ol_grid_int(g, life[k].n_above);
            ol_grid_int(g, life[k].n_unknown);
        }
    }
    return g;
}

const struct ol_table_source ol_massive_life_table = {
    "massive_life", "Massive dimensions, layer by layer", make_massive_life};

static const struct ol_column massive_near_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"max_ratio", "x median", OL_COLUMN_MAGNITUDE},
    {"max_magnitude", "largest near miss", OL_COLUMN_MAGNITUDE},
    {"first_layer", "from layer", OL_COLUMN_LABEL},
    {"last_layer", "to layer", OL_COLUMN_LABEL},
    {"n_values", "values", OL_COLUMN_COUNT},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"at_first_token", "at position 0", OL_COLUMN_COUNT},
    {"piece", "most often on", OL_COLUMN_PIECE},
    {"n_of_piece", "tokens", OL_COLUMN_COUNT},
    {0}};

static struct ol_grid *make_massive_near(const struct ol_report_results *r)
{
    if (r->blocks.massive == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(massive_near_columns);
    const struct ol_massive_miss *near = r->blocks.massive->near.items;
    for (int64_t i = 0; i < r->blocks.massive->near.n; i++) {
        const struct ol_massive_miss *f = &near[i];
        const struct ol_counted_token *first = f->tokens.n > 0 ? f->tokens.items : NULL;
        ol_grid_int(g, f->values.feature);
        ol_grid_real(g, f->values.max_ratio);
        ol_grid_real(g, f->values.max_magnitude);
        ol_grid_int(g, f->values.first_layer);
        ol_grid_int(g, f->values.last_layer);
        ol_grid_int(g, f->values.n_values);
        ol_grid_int(g, f->values.n_tokens);
        ol_grid_int(g, f->values.at_first_token);
        ol_grid_text(g, first != NULL ? first->token.piece : NULL);
        ol_grid_int(g, first != NULL ? first->n_tokens : OL_ABSENT);
    }
    return g;
}

const struct ol_table_source ol_massive_near_table = {
    "massive_near", "Near misses: values of 500 to 1000 times the median",
    make_massive_near};

static const struct ol_column massive_tokens_columns[] = {
    {"token_id", "token", OL_COLUMN_LABEL},
    {"piece", "text", OL_COLUMN_PIECE},
    {"at_first", "massive at position 0", OL_COLUMN_COUNT},
    {"text_at_first", "of these in the text", OL_COLUMN_COUNT},
    {"elsewhere", "massive elsewhere", OL_COLUMN_COUNT},
    {"text_elsewhere", "of these in the text", OL_COLUMN_COUNT},
    {0}};

static struct ol_grid *make_massive_tokens(const struct ol_report_results *r)
{
    if (r->blocks.massive == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(massive_tokens_columns);
    const struct ol_massive_id *tokens = r->blocks.massive->tokens.items;
    for (int64_t i = 0; i < r->blocks.massive->tokens.n; i++) {
        const struct ol_massive_id *t = &tokens[i];
        ol_grid_int(g, t->token.token_id);
        ol_grid_text(g, t->token.piece);
        ol_grid_int(g, t->at_first);
        ol_grid_int(g, t->text_at_first);
        ol_grid_int(g, t->elsewhere);
        ol_grid_int(g, t->text_elsewhere);
    }
    return g;
}

const struct ol_table_source ol_massive_tokens_table = {
    "massive_tokens", "Tokens that carry massive activations", make_massive_tokens};
