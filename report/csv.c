/* Tables for programs (RFC 4180). One model: a row per feature that qualifies anywhere;
 * several: a row per model; any other table by name. Numbers have all their digits; what
 * is unknown is empty, an infinite magnitude "inf". */
#include <math.h>
#include <stdlib.h>

#include "report/format.h"
#include "report/runs.h"
#include "report/tables.h"

static const struct ol_column feature_columns[] = {
    {"feature", "", OL_COLUMN_LABEL},
    {"max_magnitude", "", OL_COLUMN_NUMBER},
    {"layer_fraction", "", OL_COLUMN_NUMBER},
    {"position_fraction", "", OL_COLUMN_NUMBER},
    {"occurrences", "", OL_COLUMN_COUNT},
    {"batches", "", OL_COLUMN_COUNT},
    {"unique", "", OL_COLUMN_YES},
    {"pooled", "", OL_COLUMN_YES},
    {"strict", "", OL_COLUMN_YES},
    {"one_sided", "", OL_COLUMN_YES},
    {"q1", "", OL_COLUMN_NUMBER},
    {"median", "", OL_COLUMN_NUMBER},
    {"q3", "", OL_COLUMN_NUMBER},
    {"distinct_layer_fraction", "", OL_COLUMN_NUMBER},
    {0}};

static void put_feature(struct ol_grid *g, const struct ol_report_results *r,
                        const struct ol_int8_feature *f)
{
    ol_grid_int(g, f->feature);
    ol_grid_real(g, f->max_magnitude);
    ol_grid_real(g, f->layer_fraction);
    ol_grid_real(g, f->position_fraction);
    ol_grid_int(g, f->occurrences);
    ol_grid_int(g, f->batches);
    ol_grid_yes(g, f->batches > 0);
    ol_grid_yes(g, ol_report_find(r->pooled, f->feature) != NULL);
    ol_grid_yes(g, ol_report_find(r->strict, f->feature) != NULL);
    ol_grid_yes(g, f->one_sided);
    for (int i = 0; i < 3; i++)
        ol_grid_real(g, f->quartiles.n > 0 ? f->quartiles.items[i] : NAN);
    ol_grid_real(g, f->extent.distinct_layer_fraction);
}

static struct ol_grid *make_features(const struct ol_report_results *r)
{
    struct ol_grid *g = ol_grid_new(feature_columns);
    for (int64_t i = 0; i < r->unique->features.n; i++)
        put_feature(g, r, ol_report_feature(r->unique, i));
    for (int64_t i = 0; i < r->pooled->features.n; i++)
        if (ol_report_find(r->unique, ol_report_feature(r->pooled, i)->feature) == NULL)
            put_feature(g, r, ol_report_feature(r->pooled, i));
    return g;
}

static const struct ol_column model_columns[] = {
    {"family", "", OL_COLUMN_TEXT},
    {"n_layers", "", OL_COLUMN_COUNT},
    {"d_model", "", OL_COLUMN_COUNT},
    {"n_experts", "", OL_COLUMN_COUNT},
    {"top_k", "", OL_COLUMN_COUNT},
    {"total_parameters", "", OL_COLUMN_COUNT},
    {"active_parameters", "", OL_COLUMN_COUNT},
    {"n_sequences", "", OL_COLUMN_COUNT},
    {"n_tokens", "", OL_COLUMN_COUNT},
    {"n_sites", "", OL_COLUMN_COUNT},
    {"threshold", "", OL_COLUMN_NUMBER},
    {"min_layers", "", OL_COLUMN_NUMBER},
    {"min_positions", "", OL_COLUMN_NUMBER},
    {"batch_size", "", OL_COLUMN_COUNT},
    {"pairs", "", OL_COLUMN_COUNT},
    {"unique", "", OL_COLUMN_COUNT},
    {"pooled", "", OL_COLUMN_COUNT},
    {"strict", "", OL_COLUMN_COUNT},
    {"mean_layer_fraction", "", OL_COLUMN_NUMBER},
    {"mean_position_fraction", "", OL_COLUMN_NUMBER},
    {"median_layer_fraction", "", OL_COLUMN_NUMBER},
    {"median_position_fraction", "", OL_COLUMN_NUMBER},
    {"max_magnitude", "", OL_COLUMN_NUMBER},
    {"perplexity", "", OL_COLUMN_NUMBER},
    {"mean_distinct_layer_fraction", "", OL_COLUMN_NUMBER},
    {"median_distinct_layer_fraction", "", OL_COLUMN_NUMBER},
    {"label", "", OL_COLUMN_TEXT},
    {"weight_format", "", OL_COLUMN_TEXT},
    {"precision", "", OL_COLUMN_TEXT},
    {"backend", "", OL_COLUMN_TEXT},
    {"device", "", OL_COLUMN_TEXT},
    {"processor", "", OL_COLUMN_TEXT},
    {"text", "", OL_COLUMN_TEXT},
    {"text_sha256", "", OL_COLUMN_TEXT},
    {"windowing", "", OL_COLUMN_TEXT},
    {"bos", "", OL_COLUMN_YES},
    {"file", "", OL_COLUMN_TEXT},
    {0}};

static void put_model(struct ol_grid *g, const struct ol_report_results *r)
{
    const struct ol_int8_features *const counts[] = {r->unique, r->pooled, r->strict};
    const double means[] = {
        r->pairs->mean_layer_fraction, r->pairs->mean_position_fraction,
        r->pairs->median_layer_fraction, r->pairs->median_position_fraction};
    ol_grid_text(g, r->model->family);
    ol_grid_int(g, r->model->n_layers);
    ol_grid_int(g, r->model->d_model);
    ol_grid_int(g, r->model->n_experts);
    ol_grid_int(g, r->model->top_k);
    ol_grid_int(g, r->model->total_parameters);
    ol_grid_int(g, r->model->active_parameters);
    ol_grid_int(g, r->n_sequences);
    ol_grid_int(g, r->n_tokens);
    ol_grid_int(g, r->n_sites);
    ol_grid_real(g, r->criterion->threshold);
    ol_grid_real(g, r->criterion->min_layers);
    ol_grid_real(g, r->criterion->min_positions);
    ol_grid_int(g, r->criterion->batch_size);
    ol_grid_int(g, r->has_outliers ? r->pairs->count : OL_ABSENT);
    for (int i = 0; i < 3; i++)
        ol_grid_int(g, r->has_outliers ? counts[i]->count : OL_ABSENT);
    for (int i = 0; i < 4; i++)
        ol_grid_real(g, r->has_pairs ? means[i] : NAN);
    ol_grid_real(g, ol_report_largest(r));
    ol_grid_real(g, r->has_perplexity ? r->perplexity : NAN);
    ol_grid_real(g, r->has_pairs ? r->pairs->mean_distinct_layer_fraction : NAN);
    ol_grid_real(g, r->has_pairs ? r->pairs->median_distinct_layer_fraction : NAN);
}

static void put_run(struct ol_grid *g, const struct ol_report_results *r)
{
    ol_grid_text(g, r->run->label);
    ol_grid_text(g, r->model->weight_format);
    ol_grid_text(g, r->run->precision);
    ol_grid_text(g, r->run->backend);
    ol_grid_text(g, r->run->device);
    ol_grid_text(g, r->run->processor);
    ol_grid_text(g, r->input->source);
    ol_grid_text(g, r->input->text_sha256);
    ol_grid_text(g, r->input->windowing);
    ol_grid_yes(g, r->input->bos);
    ol_grid_text(g, r->file);
}

static struct ol_grid *make_model(const struct ol_report_results *r)
{
    struct ol_grid *g = ol_grid_new(model_columns);
    put_model(g, r);
    put_run(g, r);
    return g;
}

/* One table of every result that has it; the first columns are model and run. */
static void write(const struct ol_report *report, FILE *out)
{
    bool begun = false;
    for (int i = 0; i < report->n; i++) {
        const struct ol_report_results *r = &report->results[i];
        struct ol_grid *g = report->table != NULL
                                ? ol_table_make(ol_table_find(report->table), r)
                            : report->n == 1 ? make_features(r)
                                             : make_model(r);
        if (g == NULL)
            continue;
        if (!begun)
            ol_grid_csv_header(g, out);
        begun = true;
        char *run = ol_run_mark(report, i);
        ol_grid_csv(g, r->model->name, run, out);
        free(run);
        ol_grid_free(g);
    }
}

static int check(const struct ol_report *report, struct ol_error *err)
{
    if (report->table == NULL)
        return 0;
    const struct ol_table_source *table = ol_table_find(report->table);
    for (int i = 0; i < report->n; i++) {
        struct ol_grid *g = ol_table_make(table, &report->results[i]);
        ol_grid_free(g);
        if (g != NULL)
            return 0;
    }
    return ol_fail(err, "%s: table %s: not in these results", report->results[0].file,
                   table->name);
}

const struct ol_format ol_csv_format = {
    .name = "csv", .write = write, .check = check, .write_trend = ol_trend_csv};
