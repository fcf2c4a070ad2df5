/* What number formats would do to each site and to each expert. */
#include <math.h>
#include <stdlib.h>

#include "report/sentences.h"
#include "report/tables.h"

static const struct ol_column quantisation_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"method=methods", "method", OL_COLUMN_TEXT},
    {"error", "error", OL_COLUMN_MAGNITUDE},
    {"error_without_dims", "without the worst dimensions", OL_COLUMN_MAGNITUDE},
    {"error_without_tokens", "without the worst tokens", OL_COLUMN_MAGNITUDE},
    {"token_median", "median token's", OL_COLUMN_MAGNITUDE},
    {"zeroed", "rounded to 0, %", OL_COLUMN_PERCENT},
    {0}};

const struct ol_table_source ol_quantisation_table = {
    "quantisation", "Relative error by site and number format", quantisation_columns,
    "quantisation.sites.error", NULL};

static const struct ol_column quantisation_ranking_columns[] = {
    {"method", "method", OL_COLUMN_TEXT},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"error", "relative error, %", OL_COLUMN_PERCENT},
    {0}};

const struct ol_table_source ol_quantisation_ranking_table = {
    "quantisation_ranking", "Sites by number format, the worst first",
    quantisation_ranking_columns, "quantisation.ranking", NULL};

static const struct ol_column expert_quantisation_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"expert", "expert", OL_COLUMN_LABEL},
    {"n_tokens", "tokens looked at", OL_COLUMN_COUNT},
    {"method", "method", OL_COLUMN_TEXT},
    {"error", "relative error", OL_COLUMN_MAGNITUDE},
    {0}};

static struct ol_grid *make_expert_quantisation(const struct ol_report_results *r)
{
    const struct ol_expert_quantisation *q = r->blocks.expert_quantisation;
    if (q == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(expert_quantisation_columns);
    const struct ol_quantised_experts *layers = q->layers.items;
    const char *const *methods = q->methods.items;
    for (int64_t i = 0; i < q->layers.n; i++)
        for (int64_t e = 0; e < q->n_experts; e++)
            for (int64_t m = 0; m < q->methods.n; m++) {
                ol_grid_int(g, layers[i].layer);
                ol_grid_int(g, e);
                ol_grid_whole(g, layers[i].n_tokens.items[e]);
                ol_grid_text(g, methods[m]);
                ol_grid_real(g, layers[i].error.items[m * q->n_experts + e]);
            }
    return g;
}

const struct ol_table_source ol_expert_quantisation_table = {
    .name = "expert_quantisation",
    .title = "Relative error by expert and number format",
    .make = make_expert_quantisation};

static const struct ol_column expert_ranking_columns[] = {
    {"method", "method", OL_COLUMN_TEXT},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"expert", "expert", OL_COLUMN_LABEL},
    {"n_tokens", "tokens looked at", OL_COLUMN_COUNT},
    {"error", "relative error", OL_COLUMN_MAGNITUDE},
    {0}};

const struct ol_table_source ol_expert_ranking_table = {
    "expert_ranking", "Experts by number format, the worst first", expert_ranking_columns,
    "expert_quantisation.ranking", NULL};

static const struct ol_column down_inputs_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit=:unit", "unit", OL_COLUMN_TEXT},
    {"largest", "largest |x|", OL_COLUMN_MAGNITUDE},
    {"column", "column", OL_COLUMN_LABEL},
    {"share_of_median", "times median", OL_COLUMN_MAGNITUDE},
    {"rms", "RMS", OL_COLUMN_MAGNITUDE},
    {"energy_share", "energy, %", OL_COLUMN_PERCENT},
    {"energy_column", "in column", OL_COLUMN_LABEL},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {0}};

const struct ol_table_source ol_down_inputs_table = {
    "down_inputs", "Largest inputs of the down projections", down_inputs_columns,
    "quantisation.down", NULL};

static const struct ol_column down_errors_columns[] = {
    {"method", "method", OL_COLUMN_TEXT},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit", "unit", OL_COLUMN_TEXT},
    {"error", "error, %", OL_COLUMN_PERCENT},
    {"sampled", "rows looked at", OL_COLUMN_COUNT},
    {0}};

/* Units by falling error of a method, what has none left out; returns their number. */
static int64_t order_units(const struct ol_quantisation *q, int64_t method,
                           int64_t *order)
{
    const struct ol_down_input *inputs = q->down.items;
    int64_t n = 0;
    for (int64_t i = 0; i < q->down.n; i++) {
        const double error = ol_quantised_at(&inputs[i].error, method);
        int64_t at = n;
        if (isnan(error))
            continue;
        for (; at > 0 && ol_quantised_at(&inputs[order[at - 1]].error, method) < error;
             at--)
            order[at] = order[at - 1];
        order[at] = i;
        n++;
    }
    return n;
}

struct ol_grid *ol_down_errors_grid(const struct ol_quantisation *q, int64_t most)
{
    struct ol_grid *g = ol_grid_new(down_errors_columns);
    const struct ol_down_input *inputs = q->down.items;
    int64_t *order = ol_xcalloc((size_t)q->down.n, sizeof *order);
    for (int64_t m = 0; m < q->methods.n; m++) {
        const int64_t n = order_units(q, m, order);
        for (int64_t k = 0; k < n && k < most; k++) {
            const struct ol_down_input *d = &inputs[order[k]];
            char *name = ol_table_unit(d->who.kind, d->who.expert);
            ol_grid_text(g, ((const char *const *)q->methods.items)[m]);
            ol_grid_int(g, d->who.layer);
            ol_grid_text(g, name);
            ol_grid_real(g, ol_quantised_at(&d->error, m));
            ol_grid_int(g, d->sampled);
            free(name);
        }
    }
    free(order);
    return g;
}

static struct ol_grid *make_down_errors(const struct ol_report_results *r)
{
    const struct ol_quantisation *q = r->blocks.quantisation;
    return q != NULL && q->down.n > 0 ? ol_down_errors_grid(q, INT64_MAX) : NULL;
}

const struct ol_table_source ol_down_errors_table = {
    .name = "down_errors",
    .title = "Relative error of the inputs of the down projections",
    .make = make_down_errors};
