/* The file that the Python study's plots read, final_analysis_results.json: every
 * (feature, batch) pair in the study's words. Which layers a pair is in and examples of
 * its values are not in a results file, and are left out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/format.h"

static int check(const struct ol_report *report, struct ol_error *err)
{
    if (report->n != 1)
        return ol_fail(err, "--format study describes one model, %d results were given",
                       report->n);
    if (!report->results[0].has_outliers)
        return ol_fail(err, "%s: there are no outlier features to tell: %s",
                       report->results[0].file,
                       ol_report_computed(&report->results[0], "llm_int8")
                           ? "the run recorded neither tensors nor summaries"
                           : "llm_int8 is not among its statistics");
    return 0;
}

static struct ol_json *describe_pair(const struct ol_batch_feature *pair)
{
    struct ol_json *one = ol_json_new_object();
    ol_json_set(one, "feature_dim", ol_json_new_int(pair->feature));
    ol_json_set(one, "layer_percentage", ol_json_new_real(pair->layer_fraction));
    ol_json_set(one, "seq_percentage", ol_json_new_real(pair->position_fraction));
    ol_json_set(one, "max_magnitude", ol_json_new_real(pair->max_magnitude));
    ol_json_set(one, "total_occurrences", ol_json_new_int(pair->occurrences));
    return one;
}

static struct ol_json *describe_parameters(const struct ol_report_results *r)
{
    struct ol_json *parameters = ol_json_new_object();
    ol_json_set(parameters, "magnitude_threshold",
                ol_json_new_real(r->criterion->threshold));
    ol_json_set(parameters, "min_layer_percentage",
                ol_json_new_real(r->criterion->min_layers));
    ol_json_set(parameters, "min_seq_percentage",
                ol_json_new_real(r->criterion->min_positions));
    return parameters;
}

struct top {
    int64_t feature, n_batches, first; /* first: of its pairs */
    double max_magnitude;
};

static int by_feature(const void *a, const void *b)
{
    const struct top *x = a, *y = b;
    if (x->feature != y->feature)
        return x->feature < y->feature ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

static int by_magnitude(const void *a, const void *b)
{
    const struct top *x = a, *y = b;
    if (x->max_magnitude != y->max_magnitude)
        return x->max_magnitude > y->max_magnitude ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

/* Features of pairs: a feature counts once per batch in which it qualifies, and its
 * magnitude is the largest of these batches, not of those in which it does not. */
static struct ol_json *describe_top(const struct ol_json *pairs)
{
    const size_t n = ol_json_length(pairs);
    struct top *tops = ol_xcalloc(n, sizeof *tops);
    for (size_t i = 0; i < n; i++) {
        const struct ol_json *pair = ol_json_at(pairs, i);
        const struct ol_json *magnitude = ol_json_get(pair, "max_magnitude");
        tops[i] = (struct top){
            ol_json_int(ol_json_get(pair, "feature_dim")), 1, (int64_t)i,
            ol_json_kind(magnitude) == OL_JSON_NULL ? (double)INFINITY
                                                    : ol_json_real(magnitude)};
    }
    qsort(tops, n, sizeof *tops, by_feature);
    size_t n_tops = 0;
    for (size_t i = 0; i < n; i++) {
        struct top *last = n_tops > 0 ? &tops[n_tops - 1] : NULL;
        if (last == NULL || last->feature != tops[i].feature) {
            tops[n_tops++] = tops[i];
            continue;
        }
        last->n_batches++;
        last->max_magnitude = fmax(last->max_magnitude, tops[i].max_magnitude);
    }
    qsort(tops, n_tops, sizeof *tops, by_magnitude);
    struct ol_json *list = ol_json_new_array();
    for (size_t i = 0; i < n_tops; i++) {
        struct ol_json *one = ol_json_new_object();
        ol_json_set(one, "feature_dim", ol_json_new_int(tops[i].feature));
        ol_json_set(one, "max_magnitude", ol_json_new_real(tops[i].max_magnitude));
        ol_json_set(one, "occurrences", ol_json_new_int(tops[i].n_batches));
        ol_json_append(list, one);
    }
    free(tops);
    return list;
}

/* The layers that have a recorded site, once each. */
static struct ol_json *list_layers(const struct ol_report_results *r)
{
    struct ol_json *list = ol_json_new_array();
    const struct ol_site_values *sites = r->blocks.sites.items;
    int64_t last = -1;
    for (int64_t i = 0; i < r->blocks.sites.n; i++)
        if (sites[i].layer > last)
            ol_json_append(list, ol_json_new_int(last = sites[i].layer));
    return list;
}

/* The first and the last sequence, of those that the text was cut into. */
static struct ol_json *describe_range(const struct ol_report_results *r)
{
    struct ol_json *range = ol_json_new_array();
    ol_json_append(range, ol_json_new_int(0));
    ol_json_append(range, ol_json_new_int(r->n_sequences - 1));
    return range;
}

/* The study's plots look for "model" near the beginning of the file. */
static struct ol_json *describe_config(const struct ol_report_results *r)
{
    struct ol_json *config = ol_json_new_object();
    const bool even = r->n_sequences > 0 && r->n_tokens % r->n_sequences == 0;
    ol_json_set(config, "model", ol_json_new_string(r->model->name));
    ol_json_set(config, "dataset", ol_json_new_string(r->input->source));
    ol_json_set(config, "num_sequences", ol_json_new_int(r->n_sequences));
    ol_json_set(config, "sequence_length",
                even ? ol_json_new_int(r->n_tokens / r->n_sequences)
                     : ol_json_new_null());
    ol_json_set(config, "batch_size", ol_json_new_int(r->criterion->batch_size));
    ol_json_set(config, "threshold", ol_json_new_real(r->criterion->threshold));
    ol_json_set(config, "layers", list_layers(r));
    ol_json_set(config, "shard_range_inclusive", describe_range(r));
    ol_json_set(config, "experiment_name", ol_json_new_string(r->run->label));
    return config;
}

static struct ol_json *describe_summary(const struct ol_report_results *r)
{
    struct ol_json *summary = ol_json_new_object();
    ol_json_set(summary, "total_batches", ol_json_new_int(r->n_batches));
    ol_json_set(summary, "total_sequences", ol_json_new_int(r->n_sequences));
    ol_json_set(summary, "total_systematic_outliers", ol_json_new_int(r->pairs->count));
    ol_json_set(summary, "analysis_params", describe_parameters(r));
    ol_json_set(summary, "completion_time", ol_json_new_string(r->run->created));
    ol_json_set(summary, "model_name", ol_json_new_string(r->model->name));
    return summary;
}

static void write(const struct ol_report *report, FILE *out)
{
    const struct ol_report_results *r = &report->results[0];
    const struct ol_int8_batch *batches = r->blocks.llm_int8->batches.items;
    struct ol_json *top = ol_json_new_object(), *all = ol_json_new_array(),
                   *each = ol_json_new_array();
    for (int64_t i = 0; i < r->n_batches; i++) {
        const struct ol_batch_feature *features = batches[i].features.items;
        struct ol_json *one = ol_json_new_object(), *list = ol_json_new_array();
        for (int64_t k = 0; k < batches[i].features.n; k++) {
            ol_json_append(all, describe_pair(&features[k]));
            ol_json_append(list, describe_pair(&features[k]));
        }
        ol_json_set(one, "batch_id", ol_json_new_int(i + 1));
        ol_json_set(one, "sequences_processed", ol_json_new_int(batches[i].sequences.n));
        ol_json_set(one, "systematic_outliers", list);
        ol_json_set(one, "analysis_params", describe_parameters(r));
        ol_json_set(one, "timestamp", ol_json_new_string(r->run->created));
        ol_json_append(each, one);
    }
    ol_json_set(top, "analysis_summary", describe_summary(r));
    ol_json_set(top, "run_config", describe_config(r));
    ol_json_set(top, "top_features", describe_top(all));
    ol_json_set(top, "all_systematic_outliers", all);
    ol_json_set(top, "batch_results", each);
    char *text = ol_json_dump_text(top, 2);
    fprintf(out, "%s\n", text);
    free(text);
    ol_json_free(top);
}

const struct ol_format ol_study_format = {
    .name = "study", .write = write, .check = check};
