/* A results file as plain numbers: what formats print. Everything is checked when it is
 * read, so that a format never meets a wrong type. */
#ifndef OL_REPORT_RESULTS_H
#define OL_REPORT_RESULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "common/results/blocks.h"
#include "report/published.h"

/* More is no model but a damaged file, and would make figures of that size. */
enum { OL_REPORT_MOST_LAYERS = 4096, OL_REPORT_MOST_EXPERTS = 8192 };

struct ol_report_site {
    int64_t layer, n_nan, n_inf;
    int64_t occurrences;  /* OL_ABSENT: not known, all values are NaN */
    const char *site;     /* "ln_attn", "ln_mlp" */
    double max_magnitude; /* INFINITY where a value is; NAN: not known */
};

struct ol_report_feature_site {
    int64_t layer, occurrences;
    const char *site;
    double max_magnitude; /* INFINITY where the file has null */
};

struct ol_report_feature {
    int64_t feature, batches, occurrences, n_sites;
    struct ol_report_feature_site *sites;     /* [n_sites], layer by layer */
    double max_magnitude;                     /* INFINITY where the file has null */
    double layer_fraction, position_fraction; /* layer_fraction: of the sites */
    double layers; /* share of the layers with an occurrence; NAN: not known */
    bool one_sided, has_quartiles;
    double quartiles[3];
};

struct ol_report_features {
    int64_t count;
    struct ol_report_feature *features; /* [n], the largest first */
    int64_t n;
};

struct ol_report_router_layer {
    int64_t layer, n_never;
    double entropy, max_load; /* bits; times an even share; NAN: not known */
};

/* Texts are borrowed from the JSON. */
struct ol_report_results {
    struct ol_json *json;  /* owned */
    struct ol_arena arena; /* owned: what is pointed to below, as far as it is no text */
    const char *file, *tool_version, *command_line;
    struct {
        /* "": not known */
        const char *name, *family, *weight_format, *activations_config, *routing;
        const char *config_sha256, *weights_sha256;
        int64_t n_layers, d_model, vocab_size, n_experts, top_k;
        int64_t total_parameters, active_parameters;
    } model;
    struct {
        const char *label; /* "": none */
        const char *backend, *precision, *device, *processor, *created;
    } run;
    struct {
        const char *source, *windowing, *text_sha256, *tokenizer_file;
        bool bos;
    } input;
    struct {
        double threshold, min_layers, min_positions;
        int64_t batch_size;
    } criterion;
    int64_t n_sites, n_tokens, n_sequences;
    bool has_perplexity;
    double perplexity;
    bool has_outliers; /* false: they could not be counted, or were not asked for */
    int64_t n_pairs, n_batches;
    bool has_pairs; /* the four means and medians are known */
    /* Shares over the pairs; layers: of the sites, distinct: of the layers (NAN: not
     * known). */
    double mean_layers, mean_positions, median_layers, median_positions;
    double mean_distinct, median_distinct;
    struct ol_report_features unique, pooled, strict;
    struct ol_report_site *sites; /* [n_listed_sites] */
    int64_t n_listed_sites;
    int64_t n_router_experts;
    struct ol_report_router_layer *router; /* [n_router_layers] */
    int64_t n_router_layers;
    struct ol_blocks blocks;
    struct ol_published published;
};

/* Read a results file ("-" is stdin). Start from {0}; clear also after a failure. */
int ol_report_read(struct ol_report_results *r, const char *file, struct ol_error *err);
/* The same of a results object, which becomes r's; NULL fails. */
int ol_report_take(struct ol_report_results *r, struct ol_json *json, const char *file,
                   struct ol_error *err);
void ol_report_clear(struct ol_report_results *r);

/* The largest magnitude at any site; NAN: not known. */
double ol_report_largest(const struct ol_report_results *r);

/* false: ol-analyze --statistics left it out. What could not be computed is null. */
bool ol_report_computed(const struct ol_report_results *r, const char *block);

#endif
