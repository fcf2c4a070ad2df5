/* Experts: the largest outputs. */
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
        char *name = ol_table_unit(e->who.kind, e->who.expert);
        ol_grid_int(g, e->who.layer);
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
        ol_grid_int(g, e->at.token.token_id);
        ol_grid_text(g, e->at.token.piece);
        ol_grid_int(g, e->at.sequence);
        ol_grid_int(g, e->at.position);
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
    const struct ol_robust_expert *experts =
        r->blocks.super_experts->robust->experts.items;
    for (int64_t i = 0; i < r->blocks.super_experts->robust->experts.n; i++) {
        const struct ol_robust_expert *e = &experts[i];
        char *name = ol_table_unit(e->who.kind, e->who.expert);
        ol_grid_int(g, e->who.layer);
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
        const struct ol_super_unit *units = layers[i].units.items;
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
