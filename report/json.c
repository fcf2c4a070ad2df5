/* One object for one model or many (ol-report.1): the facts and counts of a results file
 * with all its blocks but without the lists of features of each batch, and the warnings.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/format.h"

static struct ol_json *copy(const struct ol_report_results *r, const char *key)
{
    const struct ol_json *value = ol_json_get(r->json, key);
    return value != NULL ? ol_json_new_copy(value) : ol_json_new_null();
}

static struct ol_json *describe_features(const struct ol_int8_features *block,
                                         int64_t top)
{
    struct ol_json *list = ol_json_new_array();
    for (int64_t i = 0; i < block->features.n && i < top; i++) {
        const struct ol_int8_feature *f = ol_report_feature(block, i);
        struct ol_json *one = ol_json_new_object();
        ol_json_set(one, "feature", ol_json_new_int(f->feature));
        ol_json_set(one, "max_magnitude", ol_json_new_real(f->max_magnitude));
        ol_json_set(one, "layer_fraction", ol_json_new_real(f->layer_fraction));
        ol_json_set(one, "position_fraction", ol_json_new_real(f->position_fraction));
        ol_json_set(one, "distinct_layer_fraction",
                    ol_json_new_real(f->extent.distinct_layer_fraction));
        ol_json_set(one, "occurrences", ol_json_new_int(f->occurrences));
        ol_json_set(one, "batches", ol_json_new_int(f->batches));
        ol_json_set(one, "one_sided", ol_json_new_bool(f->one_sided));
        ol_json_append(list, one);
    }
    return list;
}

static struct ol_json *describe_outliers(const struct ol_report_results *r, int64_t top)
{
    if (!r->has_outliers)
        return ol_json_new_null();
    struct ol_json *outliers = ol_json_new_object();
    ol_json_set(outliers, "pairs", ol_json_new_int(r->pairs->count));
    ol_json_set(outliers, "unique", ol_json_new_int(r->unique->count));
    ol_json_set(outliers, "pooled", ol_json_new_int(r->pooled->count));
    ol_json_set(outliers, "strict", ol_json_new_int(r->strict->count));
    ol_json_set(outliers, "n_batches", ol_json_new_int(r->n_batches));
    ol_json_set(outliers, "mean_layer_fraction",
                ol_json_new_real(r->pairs->mean_layer_fraction));
    ol_json_set(outliers, "mean_position_fraction",
                ol_json_new_real(r->pairs->mean_position_fraction));
    ol_json_set(outliers, "median_layer_fraction",
                ol_json_new_real(r->pairs->median_layer_fraction));
    ol_json_set(outliers, "median_position_fraction",
                ol_json_new_real(r->pairs->median_position_fraction));
    ol_json_set(
        outliers, "mean_distinct_layer_fraction",
        ol_json_new_real(r->has_pairs ? r->pairs->mean_distinct_layer_fraction : NAN));
    ol_json_set(
        outliers, "median_distinct_layer_fraction",
        ol_json_new_real(r->has_pairs ? r->pairs->median_distinct_layer_fraction : NAN));
    ol_json_set(outliers, "top", describe_features(r->unique, top));
    return outliers;
}

static struct ol_json *describe(const struct ol_report_results *r, int64_t top)
{
    static const char *const copied[] = {"model",       "run",       "input",
                                         "criterion",   "n_sites",   "n_tokens",
                                         "n_sequences", "perplexity"};
    struct ol_json *model = ol_json_new_object(), *warnings = ol_json_new_array();
    for (size_t i = 0; i < sizeof copied / sizeof copied[0]; i++)
        ol_json_set(model, copied[i], copy(r, copied[i]));
    ol_json_set(model, "outliers", describe_outliers(r, top));
    ol_json_set(model, "sites", copy(r, "sites"));
    for (const struct ol_field *f = ol_blocks_struct()->fields; f->key != NULL; f++)
        if (strcmp(f->key, "llm_int8") != 0)
            ol_json_set(model, f->key, copy(r, f->key));
    int state = 0;
    char *text;
    while ((text = ol_report_warning(r, &state)) != NULL) {
        ol_json_append(warnings, ol_json_new_string(text));
        free(text);
    }
    ol_json_set(model, "warnings", warnings);
    return model;
}

static void write(const struct ol_report *report, FILE *out)
{
    struct ol_json *top = ol_json_new_object(), *models = ol_json_new_array();
    ol_json_set(top, "format", ol_json_new_string("ol-report"));
    ol_json_set(top, "format_version", ol_json_new_int(1));
    for (int i = 0; i < report->n; i++)
        ol_json_append(models, describe(&report->results[i], report->top));
    ol_json_set(top, "models", models);
    char *text = ol_json_dump_text(top, 1);
    fprintf(out, "%s\n", text);
    free(text);
    ol_json_free(top);
}

const struct ol_format ol_json_format = {
    .name = "json", .write = write, .write_diff = ol_diff_json};
