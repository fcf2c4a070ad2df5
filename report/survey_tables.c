/* Models side by side, a row each. */
#include <inttypes.h>
#include <math.h>

#include "report/fields.h"
#include "report/survey.h"

static const struct ol_column architecture_columns[] = {
    {"name", "model", OL_COLUMN_TEXT},
    {"family", "family", OL_COLUMN_TEXT},
    {"total", "parameters", OL_COLUMN_SIZE},
    {"active", "active", OL_COLUMN_SIZE},
    {"active_share", "active, %", OL_COLUMN_PERCENT},
    {"n_layers", "layers", OL_COLUMN_COUNT},
    {"d_model", "d_model", OL_COLUMN_COUNT},
    {"n_experts", "experts", OL_COLUMN_COUNT},
    {"top_k", "top k", OL_COLUMN_COUNT},
    {"routing", "routing", OL_COLUMN_TEXT},
    {"weight_format", "weights", OL_COLUMN_TEXT},
    {0}};

/* A dense model has no experts, which is not the same as not knowing how many. */
struct ol_grid *ol_survey_architectures(const struct ol_report *report)
{
    struct ol_grid *g = ol_grid_new(architecture_columns);
    for (int i = 0; i < report->n; i++) {
        const struct ol_report_results *r = &report->results[i];
        ol_grid_text(g, r->model.name);
        ol_grid_text(g, r->model.family);
        ol_grid_int(g, r->model.total_parameters > 0 ? r->model.total_parameters
                                                     : OL_ABSENT);
        ol_grid_int(g, r->model.active_parameters > 0 ? r->model.active_parameters
                                                      : OL_ABSENT);
        ol_grid_real(g, r->model.total_parameters > 0
                            ? (double)r->model.active_parameters /
                                  (double)r->model.total_parameters
                            : NAN);
        ol_grid_int(g, r->model.n_layers);
        ol_grid_int(g, r->model.d_model);
        ol_grid_int(g, r->model.n_experts > 0 ? r->model.n_experts : OL_ABSENT);
        ol_grid_int(g, r->model.n_experts > 0 ? r->model.top_k : OL_ABSENT);
        ol_grid_text(g, *r->model.routing != '\0' ? r->model.routing : NULL);
        ol_grid_text(g, r->model.weight_format);
    }
    return g;
}

static const struct ol_column count_columns[] = {
    {"name", "model", OL_COLUMN_TEXT},
    {"pairs", "pairs", OL_COLUMN_COUNT},
    {"unique", "unique", OL_COLUMN_COUNT},
    {"pooled", "pooled", OL_COLUMN_COUNT},
    {"strict", "strict", OL_COLUMN_COUNT},
    {"mean_layer_fraction", "mean L%", OL_COLUMN_PERCENT},
    {"median_layer_fraction", "median L%", OL_COLUMN_PERCENT},
    {"mean_position_fraction", "mean S%", OL_COLUMN_PERCENT},
    {"median_position_fraction", "median S%", OL_COLUMN_PERCENT},
    {"max_magnitude", "max |x|", OL_COLUMN_MAGNITUDE},
    {"massive", "massive dimensions", OL_COLUMN_COUNT},
    {"super_experts", "super experts", OL_COLUMN_COUNT},
    {"perplexity", "perplexity", OL_COLUMN_MAGNITUDE},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {0}};

static void put_counts(struct ol_grid *g, const struct ol_report_results *r)
{
    const bool known = r->has_outliers;
    double most = NAN;
    for (int64_t k = 0; k < r->n_listed_sites; k++)
        most = fmax(most, r->sites[k].max_magnitude);
    ol_grid_text(g, r->model.name);
    ol_grid_int(g, known ? r->n_pairs : OL_ABSENT);
    ol_grid_int(g, known ? r->unique.count : OL_ABSENT);
    ol_grid_int(g, known ? r->pooled.count : OL_ABSENT);
    ol_grid_int(g, known ? r->strict.count : OL_ABSENT);
    ol_grid_real(g, r->has_pairs ? r->mean_layers : NAN);
    ol_grid_real(g, r->has_pairs ? r->median_layers : NAN);
    ol_grid_real(g, r->has_pairs ? r->mean_positions : NAN);
    ol_grid_real(g, r->has_pairs ? r->median_positions : NAN);
    ol_grid_real(g, most);
    ol_grid_int(g, r->blocks.massive != NULL ? r->blocks.massive->features.n : OL_ABSENT);
    ol_grid_int(g, r->blocks.super_experts != NULL ? r->blocks.super_experts->experts.n
                                                   : OL_ABSENT);
    ol_grid_real(g, r->has_perplexity ? r->perplexity : NAN);
    ol_grid_int(g, r->n_tokens);
}

struct ol_grid *ol_survey_counts(const struct ol_report *report)
{
    struct ol_grid *g = ol_grid_new(count_columns);
    for (int i = 0; i < report->n; i++)
        put_counts(g, &report->results[i]);
    return g;
}

static const struct ol_column published_columns[] = {
    {"name", "model", OL_COLUMN_TEXT},
    {"published_pairs", "published pairs", OL_COLUMN_COUNT},
    {"pairs", "measured", OL_COLUMN_COUNT},
    {"published_layers", "published L%", OL_COLUMN_PERCENT},
    {"layers", "measured", OL_COLUMN_PERCENT},
    {"published_positions", "published S%", OL_COLUMN_PERCENT},
    {"positions", "measured", OL_COLUMN_PERCENT},
    {"study", "study", OL_COLUMN_TEXT},
    {0}};

struct ol_grid *ol_survey_published_table(const struct ol_report *report)
{
    struct ol_grid *g = ol_grid_new(published_columns);
    for (int i = 0; i < report->n; i++) {
        const struct ol_report_results *r = &report->results[i];
        const struct ol_published *p = &r->published;
        const bool known = p->json != NULL;
        ol_grid_text(g, r->model.name);
        ol_grid_int(g, known ? p->pairs : OL_ABSENT);
        ol_grid_int(g, r->has_outliers ? r->n_pairs : OL_ABSENT);
        ol_grid_real(g, known ? p->mean_layer_percent / 100 : NAN);
        ol_grid_real(g, r->has_pairs ? r->mean_layers : NAN);
        ol_grid_real(g, known ? p->mean_position_percent / 100 : NAN);
        ol_grid_real(g, r->has_pairs ? r->mean_positions : NAN);
        ol_grid_text(g, known ? p->study : NULL);
    }
    return g;
}
