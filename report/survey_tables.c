/* Models side by side, a row each. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/compare.h"
#include "common/results/field.h"
#include "report/measures.h"
#include "report/runs.h"
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

static void put_name(struct ol_grid *g, const struct ol_report *report, int i)
{
    char *name = ol_run_name(report, i);
    ol_grid_text(g, name);
    free(name);
}

/* A dense model has no experts, which is not the same as not knowing how many. */
struct ol_grid *ol_survey_architectures(const struct ol_report *report)
{
    struct ol_grid *g = ol_grid_new(architecture_columns);
    for (int i = 0; i < report->n; i++) {
        const struct ol_report_results *r = &report->results[i];
        put_name(g, report, i);
        ol_grid_text(g, r->model->family);
        ol_grid_int(g, r->model->total_parameters > 0 ? r->model->total_parameters
                                                      : OL_ABSENT);
        ol_grid_int(g, r->model->active_parameters > 0 ? r->model->active_parameters
                                                       : OL_ABSENT);
        ol_grid_real(g, r->model->total_parameters > 0
                            ? (double)r->model->active_parameters /
                                  (double)r->model->total_parameters
                            : NAN);
        ol_grid_int(g, r->model->n_layers);
        ol_grid_int(g, r->model->d_model);
        ol_grid_int(g, r->model->n_experts > 0 ? r->model->n_experts : OL_ABSENT);
        ol_grid_int(g, r->model->n_experts > 0 ? r->model->top_k : OL_ABSENT);
        ol_grid_text(g, *r->model->routing != '\0' ? r->model->routing : NULL);
        ol_grid_text(g, r->model->weight_format);
    }
    return g;
}

/* Keys are names of measures. */
static const struct ol_column count_columns[] = {
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
enum { N_COUNTS = sizeof count_columns / sizeof count_columns[0] };

static void put_counts(struct ol_grid *g, const struct ol_report_results *r)
{
    for (const struct ol_column *c = count_columns; c->key != NULL; c++)
        ol_grid_number(g, ol_measure(r, c->key));
}

static int facts_that_vary(const struct ol_report *report,
                           const struct ol_run_fact *shown[OL_RUN_FACTS])
{
    int n = 0;
    for (const struct ol_run_fact *f = ol_run_facts; f->key != NULL; f++)
        if (ol_run_fact_varies(f, report))
            shown[n++] = f;
    return n;
}

static void put_fact(struct ol_grid *g, const struct ol_run_fact *f,
                     const struct ol_report_results *r)
{
    char *text = f->short_text != NULL ? f->short_text(r) : f->text(r);
    ol_grid_text(g, text);
    free(text);
}

static struct ol_column column_of(const struct ol_run_fact *f)
{
    return (struct ol_column){f->key, f->short_title != NULL ? f->short_title : f->title,
                              OL_COLUMN_TEXT};
}

struct ol_grid *ol_survey_runs(const struct ol_report *report)
{
    const struct ol_run_fact *shown[OL_RUN_FACTS];
    struct ol_column columns[2 + OL_RUN_FACTS] = {{"name", "model", OL_COLUMN_TEXT}};
    const int n = facts_that_vary(report, shown);
    for (int i = 0; i < n; i++)
        columns[1 + i] = column_of(shown[i]);
    struct ol_grid *g = ol_grid_new(columns);
    for (int i = 0; i < report->n && n > 0; i++) {
        put_name(g, report, i);
        for (int k = 0; k < n; k++)
            put_fact(g, shown[k], &report->results[i]);
    }
    return g;
}

/* The criterion stands beside the counts where it is not the same for all. */
struct ol_grid *ol_survey_counts(const struct ol_report *report)
{
    struct ol_column columns[2 + N_COUNTS] = {{"name", "model", OL_COLUMN_TEXT}};
    const struct ol_run_fact *criterion = ol_run_facts;
    while (criterion->doubt != OL_RUN_MEASURES)
        criterion++;
    const bool varies = ol_run_fact_varies(criterion, report);
    columns[1] = column_of(criterion);
    memcpy(columns + 1 + varies, count_columns, sizeof count_columns);
    struct ol_grid *g = ol_grid_new(columns);
    for (int i = 0; i < report->n; i++) {
        put_name(g, report, i);
        if (varies)
            put_fact(g, criterion, &report->results[i]);
        put_counts(g, &report->results[i]);
    }
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
    {"against", "not comparable", OL_COLUMN_TEXT},
    {0}};

/* What does not answer the published question does not stand beside its answer. */
struct ol_grid *ol_survey_published_table(const struct ol_report *report)
{
    struct ol_grid *g = ol_grid_new(published_columns);
    for (int i = 0; i < report->n; i++) {
        const struct ol_report_results *r = &report->results[i];
        const struct ol_published *p = &r->published;
        if (p->json == NULL)
            continue;
        char *against = ol_compare_published(r);
        const bool counted = against == NULL, averaged = counted && r->has_pairs;
        put_name(g, report, i);
        ol_grid_int(g, p->pairs);
        ol_grid_int(g, counted ? r->pairs->count : OL_ABSENT);
        ol_grid_real(g, p->mean_layer_percent / 100);
        ol_grid_real(g, averaged ? r->pairs->mean_layer_fraction : NAN);
        ol_grid_real(g, p->mean_position_percent / 100);
        ol_grid_real(g, averaged ? r->pairs->mean_position_fraction : NAN);
        ol_grid_text(g, p->study);
        ol_grid_text(g, against);
        free(against);
    }
    return g;
}

/* ---- number formats ---- */

/* The names of the formats that any model has, in the order of the first; at most `most`.
 */
static int find_methods(const struct ol_report *report, const char **methods, int most)
{
    int n = 0;
    for (int i = 0; i < report->n; i++) {
        const struct ol_quantisation *q = report->results[i].blocks.quantisation;
        for (int64_t m = 0; q != NULL && m < q->methods.n; m++) {
            const char *name = ((const char *const *)q->methods.items)[m];
            int k = 0;
            while (k < n && strcmp(methods[k], name) != 0)
                k++;
            if (k == n && n < most)
                methods[n++] = name;
        }
    }
    return n;
}

static int compare_reals(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Errors of a method at all sites, rising; returns how many are known. */
static int64_t errors_of(const struct ol_quantisation *q, const char *method,
                         double *errors)
{
    int64_t m = 0, n = 0;
    while (m < q->methods.n &&
           strcmp(((const char *const *)q->methods.items)[m], method) != 0)
        m++;
    const struct ol_quantised_site *sites = q->sites.items;
    for (int64_t i = 0; m < q->methods.n && i < q->sites.n; i++)
        if (!isnan(sites[i].error.items[m]))
            errors[n++] = sites[i].error.items[m];
    qsort(errors, (size_t)n, sizeof *errors, compare_reals);
    return n;
}

struct ol_grid *ol_survey_quantisation(const struct ol_report *report, bool worst)
{
    enum { MOST = 32 };
    const char *methods[MOST];
    struct ol_column columns[2 + MOST] = {{"name", "model", OL_COLUMN_TEXT}};
    const int n = find_methods(report, methods, MOST);
    for (int m = 0; m < n; m++)
        columns[1 + m] = (struct ol_column){methods[m], methods[m], OL_COLUMN_PERCENT};
    struct ol_grid *g = ol_grid_new(columns);
    for (int i = 0; i < report->n; i++) {
        const struct ol_quantisation *q = report->results[i].blocks.quantisation;
        if (q == NULL || q->sites.n == 0)
            continue;
        double *errors = ol_xcalloc((size_t)q->sites.n, sizeof *errors);
        put_name(g, report, i);
        for (int m = 0; m < n; m++) {
            const int64_t known = errors_of(q, methods[m], errors);
            const double median =
                known > 0 ? (errors[(known - 1) / 2] + errors[known / 2]) / 2 : NAN;
            ol_grid_real(g, worst && known > 0 ? errors[known - 1] : median);
        }
        free(errors);
    }
    return g;
}

/* ---- routing ---- */

static const struct ol_column routing_columns[] = {
    {"name", "model", OL_COLUMN_TEXT},
    {"n_experts", "experts", OL_COLUMN_COUNT},
    {"top_k", "top k", OL_COLUMN_COUNT},
    {"entropy", "mean entropy, % of the largest", OL_COLUMN_PERCENT},
    {"max_load", "busiest expert, times an even share", OL_COLUMN_MAGNITUDE},
    {"never_chosen", "experts never chosen", OL_COLUMN_COUNT},
    {"committee", "experts of standing committees", OL_COLUMN_COUNT},
    {0}};

/* (layer, expert) places that nearly all tokens choose; OL_ABSENT: not known. */
static int64_t in_committees(const struct ol_report_results *r)
{
    if (r->blocks.co_activation == NULL)
        return OL_ABSENT;
    const struct ol_co_layer *layers = r->blocks.co_activation->layers.items;
    int64_t n = 0;
    for (int64_t i = 0; i < r->blocks.co_activation->layers.n; i++)
        n += layers[i].committee.n;
    return n;
}

struct ol_grid *ol_survey_routing(const struct ol_report *report)
{
    struct ol_grid *g = ol_grid_new(routing_columns);
    for (int i = 0; i < report->n; i++) {
        const struct ol_routing *routing = report->results[i].blocks.router;
        if (routing == NULL || routing->layers.n == 0)
            continue;
        const struct ol_router_loads *layers = routing->layers.items;
        double entropy = 0, load = NAN;
        int64_t never = 0, n = 0;
        for (int64_t l = 0; l < routing->layers.n; l++) {
            never += layers[l].never_chosen.n;
            load = fmax(load, layers[l].max_load);
            if (isnan(layers[l].entropy))
                continue;
            entropy += layers[l].entropy;
            n++;
        }
        put_name(g, report, i);
        ol_grid_int(g, routing->n_experts);
        ol_grid_int(g, routing->top_k);
        ol_grid_real(g, n > 0 && routing->n_experts > 1
                            ? entropy / (double)n / log2((double)routing->n_experts)
                            : NAN);
        ol_grid_real(g, load);
        ol_grid_int(g, never);
        ol_grid_int(g, in_committees(&report->results[i]));
    }
    return g;
}
