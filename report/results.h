/* A results file as plain numbers: what formats print. Everything is checked when it is
 * read, so that a format never meets a wrong type. */
#ifndef OL_REPORT_RESULTS_H
#define OL_REPORT_RESULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "common/results/run.h"
#include "report/published.h"

struct ol_report_results {
    struct ol_json *json;  /* owned */
    struct ol_arena arena; /* owned: what is pointed to below; texts may be the JSON's */
    const char *file, *tool_version, *command_line;
    struct ol_results_run *run;           /* "": not known */
    const struct ol_results_model *model; /* "": not known */
    const struct ol_results_input *input; /* "": not known */
    const struct ol_criterion *criterion;
    int64_t n_sites, n_tokens, n_sequences;
    struct ol_blocks blocks;
    /* Of blocks.llm_int8; empty where outliers could not be counted, or were not asked
     * for. */
    bool has_outliers;
    bool has_pairs; /* the means and medians are known */
    const struct ol_int8_pairs *pairs;
    const struct ol_int8_features *unique, *pooled, *strict;
    int64_t n_batches;
    bool has_perplexity;
    double perplexity; /* INFINITY where the file has null, though it has the mean */
    struct ol_published published;
};

/* Read a results file ("-" is stdin). Start from {0}; clear also after a failure. */
int ol_report_read(struct ol_report_results *r, const char *file, struct ol_error *err);
/* The same of a results object, which becomes r's; NULL fails. */
int ol_report_take(struct ol_report_results *r, struct ol_json *json, const char *file,
                   struct ol_error *err);
void ol_report_clear(struct ol_report_results *r);

/* The i-th of a list of features, the largest first. */
const struct ol_int8_feature *ol_report_feature(const struct ol_int8_features *block,
                                                int64_t i);
/* That of a number; NULL: it is not among them. */
const struct ol_int8_feature *ol_report_find(const struct ol_int8_features *block,
                                             int64_t feature);
/* "+", "-", "both": of a feature's occurrences. */
const char *ol_report_sign(const struct ol_int8_feature *f);

/* Columns of a figure that has one per layer: at least one. */
int64_t ol_report_layers(const struct ol_report_results *r);

/* ln sites that the model's layers have, whether or not they were recorded. */
int64_t ol_report_all_sites(const struct ol_report_results *r);

/* The largest magnitude at any site; NAN: not known. */
double ol_report_largest(const struct ol_report_results *r);

/* false: ol-analyze --statistics left it out. What could not be computed is null. */
bool ol_report_computed(const struct ol_report_results *r, const char *block);

#endif
