/* Experts: the largest outputs, who writes into the stream, and what links them. */
#include <math.h>
#include <stdlib.h>

#include "report/tables.h"

static const struct ol_column super_experts_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit", "unit", OL_COLUMN_TEXT},
    {"output", "max |output|", OL_COLUMN_MAGNITUDE},
    {"share_of_max", "of the largest, %", OL_COLUMN_PERCENT},
    {"share_of_median", "times the median", OL_COLUMN_MAGNITUDE},
    {"z", "robust z", OL_COLUMN_MAGNITUDE},
    {"feature", "feature", OL_COLUMN_LABEL},
    {"input", "max |input|", OL_COLUMN_MAGNITUDE},
    {"input_column", "input column", OL_COLUMN_LABEL},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"gate_mean", "mean gate", OL_COLUMN_MAGNITUDE},
    {"token_id", "token", OL_COLUMN_LABEL},
    {"piece", "text", OL_COLUMN_PIECE},
    {"sequence", "sequence", OL_COLUMN_LABEL},
    {"position", "position", OL_COLUMN_LABEL},
    {0}};

static struct ol_grid *make_super_experts(const struct ol_report_results *r)
{
    if (r->blocks.super_experts == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(super_experts_columns);
    const struct ol_super_expert *experts = r->blocks.super_experts->experts.items;
    for (int64_t i = 0; i < r->blocks.super_experts->experts.n; i++) {
        const struct ol_super_expert *e = &experts[i];
        char *name = ol_table_unit(e->kind, e->expert);
        ol_grid_int(g, e->layer);
        ol_grid_text(g, name);
        ol_grid_real(g, e->output);
        ol_grid_real(g, e->share_of_max);
        ol_grid_real(g, e->share_of_median);
        ol_grid_real(g, e->z);
        ol_grid_int(g, e->feature);
        ol_grid_real(g, e->input);
        ol_grid_int(g, e->input_column);
        ol_grid_int(g, e->n_tokens);
        ol_grid_real(g, e->gate_mean);
        ol_grid_int(g, e->token_id);
        ol_grid_text(g, e->piece);
        ol_grid_int(g, e->sequence);
        ol_grid_int(g, e->position);
        free(name);
    }
    return g;
}

const struct ol_table_source ol_super_experts_table = {
    "super_experts", "Super experts by the published rule", make_super_experts};

static const struct ol_column robust_experts_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit", "unit", OL_COLUMN_TEXT},
    {"output", "max |output|", OL_COLUMN_MAGNITUDE},
    {"share_of_median", "times the median", OL_COLUMN_MAGNITUDE},
    {"z", "robust z", OL_COLUMN_MAGNITUDE},
    {0}};

static struct ol_grid *make_robust_experts(const struct ol_report_results *r)
{
    if (r->blocks.super_experts == NULL || r->blocks.super_experts->robust == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(robust_experts_columns);
    const struct ol_super_expert *experts =
        r->blocks.super_experts->robust->experts.items;
    for (int64_t i = 0; i < r->blocks.super_experts->robust->experts.n; i++) {
        const struct ol_super_expert *e = &experts[i];
        char *name = ol_table_unit(e->kind, e->expert);
        ol_grid_int(g, e->layer);
        ol_grid_text(g, name);
        ol_grid_real(g, e->output);
        ol_grid_real(g, e->share_of_median);
        ol_grid_real(g, e->z);
        free(name);
    }
    return g;
}

const struct ol_table_source ol_robust_experts_table = {
    "robust_experts", "Super experts by robust z-score", make_robust_experts};

static const struct ol_column units_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit", "unit", OL_COLUMN_TEXT},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"gate_mean", "mean gate", OL_COLUMN_MAGNITUDE},
    {"input", "max |input|", OL_COLUMN_MAGNITUDE},
    {"output", "max |output|", OL_COLUMN_MAGNITUDE},
    {0}};

static struct ol_grid *make_units(const struct ol_report_results *r)
{
    if (r->blocks.super_experts == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(units_columns);
    const struct ol_super_layer *layers = r->blocks.super_experts->layers.items;
    for (int64_t i = 0; i < r->blocks.super_experts->layers.n; i++) {
        const struct ol_unit *units = layers[i].units.items;
        for (int64_t k = 0; k < layers[i].units.n; k++) {
            char *name = ol_table_unit(units[k].kind, units[k].expert);
            ol_grid_int(g, layers[i].layer);
            ol_grid_text(g, name);
            ol_grid_int(g, units[k].n_tokens);
            ol_grid_real(g, units[k].gate_mean);
            ol_grid_real(g, units[k].input);
            ol_grid_real(g, units[k].output);
            free(name);
        }
    }
    return g;
}

const struct ol_table_source ol_units_table = {
    "units", "Largest input and output of every expert", make_units};

static const struct ol_column attribution_columns[] = {
    {"feature", "feature", OL_COLUMN_LABEL},
    {"max_magnitude", "maximum |x|", OL_COLUMN_MAGNITUDE},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit", "unit", OL_COLUMN_TEXT},
    {"n_values", "values", OL_COLUMN_COUNT},
    {"sum", "sum", OL_COLUMN_MAGNITUDE},
    {"mean", "mean", OL_COLUMN_MAGNITUDE},
    {"share", "share, %", OL_COLUMN_PERCENT},
    {0}};

static struct ol_grid *make_attribution(const struct ol_report_results *r)
{
    if (r->blocks.attribution == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(attribution_columns);
    const struct ol_attributed_feature *features = r->blocks.attribution->features.items;
    for (int64_t i = 0; i < r->blocks.attribution->features.n; i++) {
        const struct ol_writer *w = features[i].writers.items;
        for (int64_t k = 0; k < features[i].writers.n; k++) {
            char *name = ol_table_unit(w[k].kind, w[k].expert);
            ol_grid_int(g, features[i].feature);
            ol_grid_real(g, features[i].max_magnitude);
            ol_grid_int(g, w[k].layer);
            ol_grid_text(g, name);
            ol_grid_int(g, w[k].n_values);
            ol_grid_real(g, w[k].sum);
            ol_grid_real(g, w[k].mean);
            ol_grid_real(g, w[k].share);
            free(name);
        }
    }
    return g;
}

static const struct ol_column attribution_tokens_columns[] = {
    {"feature", "feature", OL_COLUMN_LABEL},
    {"token_id", "token", OL_COLUMN_LABEL},
    {"piece", "text", OL_COLUMN_PIECE},
    {"n_values", "values", OL_COLUMN_COUNT},
    {0}};

static struct ol_grid *make_attribution_tokens(const struct ol_report_results *r)
{
    if (r->blocks.attribution == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(attribution_tokens_columns);
    const struct ol_attributed_feature *features = r->blocks.attribution->features.items;
    for (int64_t i = 0; i < r->blocks.attribution->features.n; i++) {
        const struct ol_massive_token *tokens = features[i].tokens.items;
        for (int64_t k = 0; k < features[i].tokens.n; k++) {
            ol_grid_int(g, features[i].feature);
            ol_grid_int(g, tokens[k].token_id);
            ol_grid_text(g, tokens[k].piece);
            ol_grid_int(g, tokens[k].n_values);
        }
    }
    return g;
}

const struct ol_table_source ol_attribution_tokens_table = {
    "attribution_tokens", "Tokens on which these dimensions are among the largest",
    make_attribution_tokens};

const struct ol_table_source ol_attribution_table = {
    "attribution", "Who wrote the largest dimensions of the stream", make_attribution};

static const struct ol_column writes_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"attention", "attention", OL_COLUMN_MAGNITUDE},
    {"mlp", "MLP", OL_COLUMN_MAGNITUDE},
    {0}};

static struct ol_grid *make_writes(const struct ol_report_results *r)
{
    if (r->blocks.attribution == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(writes_columns);
    const struct ol_attribution_layer *layers = r->blocks.attribution->layers.items;
    for (int64_t i = 0; i < r->blocks.attribution->layers.n; i++) {
        const struct ol_attribution_layer *l = &layers[i];
        ol_grid_int(g, l->layer);
        ol_grid_real(g, l->attention);
        ol_grid_real(g, l->mlp);
    }
    return g;
}

const struct ol_table_source ol_writes_table = {
    "writes", "Mean |write| into each token's top dimension", make_writes};

static const struct ol_column links_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"max_magnitude", "maximum |x|", OL_COLUMN_MAGNITUDE},
    {"onset_layer", "onset layer", OL_COLUMN_LABEL},
    {"norm_gain", "norm gain", OL_COLUMN_MAGNITUDE},
    {"ln_layer", "most at layer", OL_COLUMN_LABEL},
    {"ln_site", "site", OL_COLUMN_TEXT},
    {"ln_max_magnitude", "normed maximum", OL_COLUMN_MAGNITUDE},
    {"is_outlier_feature", "outlier feature", OL_COLUMN_YES},
    {"writer_layer", "writer layer", OL_COLUMN_LABEL},
    {"writer", "writer", OL_COLUMN_TEXT},
    {"is_super_expert", "super expert", OL_COLUMN_YES},
    {0}};

static struct ol_grid *make_links(const struct ol_report_results *r)
{
    if (r->blocks.links.items == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(links_columns);
    const struct ol_link *links = r->blocks.links.items;
    for (int64_t i = 0; i < r->blocks.links.n; i++) {
        const struct ol_link *l = &links[i];
        char *name =
            l->writer != NULL ? ol_table_unit(l->writer->kind, l->writer->expert) : NULL;
        ol_grid_int(g, l->feature);
        ol_grid_real(g, l->max_magnitude);
        ol_grid_int(g, l->onset_layer);
        ol_grid_real(g, l->norm_gain);
        ol_grid_int(g, l->ln_site != NULL ? l->ln_site->layer : OL_ABSENT);
        ol_grid_text(g, l->ln_site != NULL ? l->ln_site->site : NULL);
        ol_grid_real(g, l->ln_site != NULL ? l->ln_site->max_magnitude : NAN);
        ol_grid_yes(g, l->is_outlier_feature);
        ol_grid_int(g, l->writer != NULL ? l->writer->layer : OL_ABSENT);
        ol_grid_text(g, name);
        ol_grid_yes(g, l->is_super_expert);
        free(name);
    }
    return g;
}

const struct ol_table_source ol_links_table = {
    "links", "From residual dimension to normed feature to writer", make_links};
