/* Tables for programs (RFC 4180). One model: a row per feature that qualifies anywhere;
 * several: a row per model; any other table by name. Numbers have all their digits; what
 * is unknown is empty, an infinite magnitude "inf". */
#include <inttypes.h>
#include <math.h>

#include "report/format.h"
#include "report/tables.h"

static const struct ol_report_feature *find(const struct ol_report_features *block,
                                            int64_t feature)
{
    for (int64_t i = 0; i < block->n; i++)
        if (block->features[i].feature == feature)
            return &block->features[i];
    return NULL;
}

static void put_feature(const struct ol_report_results *r,
                        const struct ol_report_feature *f, FILE *out)
{
    const struct ol_report_feature *strict = find(&r->strict, f->feature);
    ol_grid_csv_text(r->model.name, out);
    fprintf(out, ",%" PRId64 ",%.9g,%.17g,%.17g,%" PRId64 ",%" PRId64 ",%d,%d,%d,%d,",
            f->feature, f->max_magnitude, f->layer_fraction, f->position_fraction,
            f->occurrences, f->batches, f->batches > 0,
            find(&r->pooled, f->feature) != NULL, strict != NULL, f->one_sided);
    if (f->has_quartiles)
        fprintf(out, "%.9g,%.9g,%.9g\n", f->quartiles[0], f->quartiles[1],
                f->quartiles[2]);
    else
        fprintf(out, ",,\n");
}

static void write_features(const struct ol_report_results *r, FILE *out)
{
    fprintf(out, "model,feature,max_magnitude,layer_fraction,position_fraction,"
                 "occurrences,batches,unique,pooled,strict,one_sided,q1,median,q3\n");
    for (int64_t i = 0; i < r->unique.n; i++)
        put_feature(r, &r->unique.features[i], out);
    for (int64_t i = 0; i < r->pooled.n; i++)
        if (find(&r->unique, r->pooled.features[i].feature) == NULL)
            put_feature(r, &r->pooled.features[i], out);
}

static void put_known(bool known, double value, FILE *out)
{
    if (known)
        fprintf(out, ",%.17g", value);
    else
        fputc(',', out);
}

static void write_models(const struct ol_report *report, FILE *out)
{
    fprintf(out,
            "model,family,n_layers,d_model,n_experts,top_k,total_parameters,"
            "active_parameters,n_sequences,n_tokens,n_sites,threshold,min_layers,"
            "min_positions,batch_size,pairs,unique,pooled,strict,mean_layer_fraction,"
            "mean_position_fraction,median_layer_fraction,median_position_fraction,"
            "max_magnitude,perplexity\n");
    for (int i = 0; i < report->n; i++) {
        const struct ol_report_results *r = &report->results[i];
        double most = NAN;
        for (int64_t k = 0; k < r->n_listed_sites; k++)
            most = fmax(most, r->sites[k].max_magnitude);
        ol_grid_csv_text(r->model.name, out);
        fputc(',', out);
        ol_grid_csv_text(r->model.family, out);
        fprintf(out,
                ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64
                ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%.17g,%.17g,%.17g,%" PRId64,
                r->model.n_layers, r->model.d_model, r->model.n_experts, r->model.top_k,
                r->model.total_parameters, r->model.active_parameters, r->n_sequences,
                r->n_tokens, r->n_sites, r->criterion.threshold, r->criterion.min_layers,
                r->criterion.min_positions, r->criterion.batch_size);
        if (r->has_outliers)
            fprintf(out, ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, r->n_pairs,
                    r->unique.count, r->pooled.count, r->strict.count);
        else
            fprintf(out, ",,,,");
        put_known(r->has_pairs, r->mean_layers, out);
        put_known(r->has_pairs, r->mean_positions, out);
        put_known(r->has_pairs, r->median_layers, out);
        put_known(r->has_pairs, r->median_positions, out);
        put_known(!isnan(most), most, out);
        put_known(r->has_perplexity && !isnan(r->perplexity), r->perplexity, out);
        fputc('\n', out);
    }
}

/* One table of every result that has it; the first column is the model. */
static void write_table(const struct ol_report *report, FILE *out)
{
    const struct ol_table_source *table = ol_table_find(report->table);
    bool begun = false;
    for (int i = 0; i < report->n; i++) {
        struct ol_grid *g = table->make(&report->results[i]);
        if (g != NULL && !begun)
            ol_grid_csv_header(g, out);
        begun = begun || g != NULL;
        if (g != NULL)
            ol_grid_csv(g, report->results[i].model.name, out);
        ol_grid_free(g);
    }
}

static int check(const struct ol_report *report, struct ol_error *err)
{
    if (report->table == NULL)
        return 0;
    const struct ol_table_source *table = ol_table_find(report->table);
    for (int i = 0; i < report->n; i++) {
        struct ol_grid *g = table->make(&report->results[i]);
        ol_grid_free(g);
        if (g != NULL)
            return 0;
    }
    return ol_fail(err, "%s: table %s: not in these results", report->results[0].file,
                   table->name);
}

static void write(const struct ol_report *report, FILE *out)
{
    if (report->table != NULL)
        write_table(report, out);
    else if (report->n == 1)
        write_features(&report->results[0], out);
    else
        write_models(report, out);
}

const struct ol_format ol_csv_format = {.name = "csv", .write = write, .check = check};
