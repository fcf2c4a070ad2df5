#include "report/results.h"

#include <math.h>
#include <stdlib.h>

#include "common/results_file.h"

static struct ol_json_section section(struct ol_json_section s, const char *key)
{
    return (struct ol_json_section){s.file, ol_json_get(s.json, key)};
}

static int need_count(struct ol_json_section s, const char *key, int64_t *value,
                      struct ol_error *err)
{
    return ol_json_need_int(s, key, 0, OL_FIELD_MOST, value, err);
}

/* null is infinity: how results files write an infinite magnitude. */
static int magnitude(struct ol_json_section s, double *value, struct ol_error *err)
{
    return ol_json_real_or(s, "max_magnitude", INFINITY, value, err);
}

static int need_array(struct ol_json_section s, const char *key,
                      const struct ol_json **array, struct ol_error *err)
{
    *array = ol_json_get(s.json, key);
    if (ol_json_kind(*array) == OL_JSON_ARRAY)
        return 0;
    return ol_fail(err, "%s: key \"%s\": expected an array", s.file, key);
}

/* null is infinity when the mean it is the exponential of is known, else not known. */
static int read_perplexity(struct ol_json_section s, double *value, struct ol_error *err)
{
    double mean_nll;
    if (ol_json_real_or(s, "mean_nll", NAN, &mean_nll, err) != 0)
        return -1;
    return ol_json_real_or(s, "value", isnan(mean_nll) ? NAN : INFINITY, value, err);
}

/* A text, "" where there is none; one that holds NUL has a symbol for it. */
static int read_text(struct ol_json_section s, const char *key, struct ol_arena *arena,
                     const char **text, struct ol_error *err)
{
    if (ol_json_string_or(s, key, "", text, err) != 0)
        return -1;
    const struct ol_json *json = ol_json_get(s.json, key);
    if (ol_json_kind(json) == OL_JSON_STRING)
        *text = ol_field_text(json, arena);
    return 0;
}

static int read_model(struct ol_report_results *r, struct ol_json_section top,
                      struct ol_error *err)
{
    const struct ol_json_section s = section(top, "model"), run = section(top, "run"),
                                 input = section(top, "input"),
                                 criterion = section(top, "criterion");
    if (read_text(s, "name", &r->arena, &r->model.name, err) != 0 ||
        read_text(s, "family", &r->arena, &r->model.family, err) != 0 ||
        read_text(s, "weight_format", &r->arena, &r->model.weight_format, err) != 0 ||
        read_text(s, "activations_config", &r->arena, &r->model.activations_config,
                  err) != 0 ||
        read_text(s, "routing", &r->arena, &r->model.routing, err) != 0 ||
        ol_json_need_int(s, "n_layers", 0, OL_REPORT_MOST_LAYERS, &r->model.n_layers,
                         err) != 0 ||
        need_count(s, "d_model", &r->model.d_model, err) != 0 ||
        need_count(s, "vocab_size", &r->model.vocab_size, err) != 0 ||
        ol_json_need_int(s, "n_experts", 0, OL_REPORT_MOST_EXPERTS, &r->model.n_experts,
                         err) != 0 ||
        need_count(s, "top_k", &r->model.top_k, err) != 0 ||
        need_count(s, "total_parameters", &r->model.total_parameters, err) != 0 ||
        need_count(s, "active_parameters", &r->model.active_parameters, err) != 0 ||
        read_text(s, "config_sha256", &r->arena, &r->model.config_sha256, err) != 0 ||
        read_text(s, "weights_sha256", &r->arena, &r->model.weights_sha256, err) != 0 ||
        read_text(run, "label", &r->arena, &r->run.label, err) != 0 ||
        read_text(run, "processor", &r->arena, &r->run.processor, err) != 0 ||
        read_text(run, "backend", &r->arena, &r->run.backend, err) != 0 ||
        read_text(run, "precision", &r->arena, &r->run.precision, err) != 0 ||
        read_text(run, "device", &r->arena, &r->run.device, err) != 0 ||
        read_text(run, "created", &r->arena, &r->run.created, err) != 0 ||
        read_text(input, "source", &r->arena, &r->input.source, err) != 0 ||
        read_text(input, "windowing", &r->arena, &r->input.windowing, err) != 0 ||
        read_text(input, "text_sha256", &r->arena, &r->input.text_sha256, err) != 0 ||
        read_text(input, "tokenizer_file", &r->arena, &r->input.tokenizer_file, err) !=
            0 ||
        read_text(top, "tool_version", &r->arena, &r->tool_version, err) != 0 ||
        read_text(top, "command_line", &r->arena, &r->command_line, err) != 0 ||
        ol_json_bool_or(input, "bos", false, &r->input.bos, err) != 0 ||
        ol_json_need_real(criterion, "threshold", &r->criterion.threshold, err) != 0 ||
        ol_json_need_real(criterion, "min_layers", &r->criterion.min_layers, err) != 0 ||
        ol_json_need_real(criterion, "min_positions", &r->criterion.min_positions, err) !=
            0 ||
        need_count(criterion, "batch_size", &r->criterion.batch_size, err) != 0 ||
        need_count(top, "n_sites", &r->n_sites, err) != 0 ||
        need_count(top, "n_tokens", &r->n_tokens, err) != 0 ||
        need_count(top, "n_sequences", &r->n_sequences, err) != 0)
        return -1;
    const struct ol_json_section perplexity = section(top, "perplexity");
    r->has_perplexity = ol_json_kind(perplexity.json) == OL_JSON_OBJECT;
    return r->has_perplexity ? read_perplexity(perplexity, &r->perplexity, err) : 0;
}

static int read_feature_sites(struct ol_report_feature *f, struct ol_json_section s,
                              struct ol_arena *arena, struct ol_error *err)
{
    const struct ol_json *sites;
    if (need_array(s, "sites", &sites, err) != 0)
        return -1;
    const size_t n = ol_json_length(sites);
    f->sites = ol_arena_calloc(arena, n, sizeof *f->sites);
    for (size_t i = 0; i < n; i++) {
        const struct ol_json_section at = {s.file, ol_json_at(sites, i)};
        struct ol_report_feature_site *site = &f->sites[f->n_sites++];
        if (need_count(at, "layer", &site->layer, err) != 0 ||
            read_text(at, "site", arena, &site->site, err) != 0 ||
            need_count(at, "occurrences", &site->occurrences, err) != 0 ||
            magnitude(at, &site->max_magnitude, err) != 0)
            return -1;
    }
    return 0;
}

static int read_feature(struct ol_report_feature *f, struct ol_json_section s,
                        struct ol_arena *arena, struct ol_error *err)
{
    if (need_count(s, "feature", &f->feature, err) != 0 ||
        need_count(s, "batches", &f->batches, err) != 0 ||
        need_count(s, "occurrences", &f->occurrences, err) != 0 ||
        magnitude(s, &f->max_magnitude, err) != 0 ||
        ol_json_need_real(s, "layer_fraction", &f->layer_fraction, err) != 0 ||
        ol_json_need_real(s, "position_fraction", &f->position_fraction, err) != 0 ||
        ol_json_real_or(s, "distinct_layer_fraction", NAN, &f->layers, err) != 0 ||
        ol_json_bool_or(s, "one_sided", false, &f->one_sided, err) != 0 ||
        read_feature_sites(f, s, arena, err) != 0)
        return -1;
    const struct ol_json *quartiles = ol_json_get(s.json, "quartiles");
    f->has_quartiles =
        ol_json_kind(quartiles) == OL_JSON_ARRAY && ol_json_length(quartiles) == 3;
    for (size_t i = 0; i < 3 && f->has_quartiles; i++) {
        const struct ol_json *q = ol_json_at(quartiles, i);
        if (ol_json_kind(q) != OL_JSON_REAL && ol_json_kind(q) != OL_JSON_INT)
            return ol_fail(err, "%s: key \"quartiles\": expected three numbers", s.file);
        f->quartiles[i] = ol_json_real(q);
    }
    return 0;
}

static int read_features(struct ol_report_features *block, struct ol_json_section s,
                         struct ol_arena *arena, struct ol_error *err)
{
    const struct ol_json *list;
    if (need_count(s, "count", &block->count, err) != 0 ||
        need_array(s, "features", &list, err) != 0)
        return -1;
    block->features =
        ol_arena_calloc(arena, ol_json_length(list), sizeof *block->features);
    for (size_t i = 0; i < ol_json_length(list); i++) {
        const struct ol_json_section f = {s.file, ol_json_at(list, i)};
        if (read_feature(&block->features[block->n++], f, arena, err) != 0)
            return -1;
    }
    return 0;
}

static int read_outliers(struct ol_report_results *r, struct ol_json_section s,
                         struct ol_error *err)
{
    const struct ol_json_section pairs = section(s, "pairs");
    const struct ol_json *batches;
    r->has_outliers = ol_json_kind(s.json) == OL_JSON_OBJECT;
    if (!r->has_outliers)
        return 0;
    if (need_count(pairs, "count", &r->n_pairs, err) != 0 ||
        ol_json_real_or(pairs, "mean_layer_fraction", NAN, &r->mean_layers, err) != 0 ||
        ol_json_real_or(pairs, "mean_position_fraction", NAN, &r->mean_positions, err) !=
            0 ||
        ol_json_real_or(pairs, "median_layer_fraction", NAN, &r->median_layers, err) !=
            0 ||
        ol_json_real_or(pairs, "median_position_fraction", NAN, &r->median_positions,
                        err) != 0 ||
        ol_json_real_or(pairs, "mean_distinct_layer_fraction", NAN, &r->mean_distinct,
                        err) != 0 ||
        ol_json_real_or(pairs, "median_distinct_layer_fraction", NAN, &r->median_distinct,
                        err) != 0 ||
        need_array(s, "batches", &batches, err) != 0)
        return -1;
    r->has_pairs = !isnan(r->mean_layers);
    r->n_batches = (int64_t)ol_json_length(batches);
    if (read_features(&r->unique, section(s, "unique"), &r->arena, err) != 0 ||
        read_features(&r->pooled, section(s, "pooled"), &r->arena, err) != 0)
        return -1;
    return read_features(&r->strict, section(s, "strict"), &r->arena, err);
}

static int read_sites(struct ol_report_results *r, struct ol_json_section top,
                      struct ol_error *err)
{
    const struct ol_json *list;
    if (ol_json_get(top.json, "sites") == NULL)
        return 0;
    if (need_array(top, "sites", &list, err) != 0)
        return -1;
    r->sites = ol_arena_calloc(&r->arena, ol_json_length(list), sizeof *r->sites);
    for (size_t i = 0; i < ol_json_length(list); i++) {
        const struct ol_json_section s = {top.file, ol_json_at(list, i)};
        struct ol_report_site *site = &r->sites[r->n_listed_sites++];
        if (need_count(s, "layer", &site->layer, err) != 0 ||
            read_text(s, "site", &r->arena, &site->site, err) != 0 ||
            ol_json_int_or(s, "occurrences", 0, OL_FIELD_MOST, OL_ABSENT,
                           &site->occurrences, err) != 0 ||
            need_count(s, "n_nan", &site->n_nan, err) != 0 ||
            need_count(s, "n_inf", &site->n_inf, err) != 0 ||
            ol_json_real_or(s, "max_magnitude", site->n_inf > 0 ? INFINITY : NAN,
                            &site->max_magnitude, err) != 0)
            return -1;
    }
    return 0;
}

static int read_router(struct ol_report_results *r, struct ol_json_section s,
                       struct ol_error *err)
{
    const struct ol_json *list, *never;
    if (ol_json_kind(s.json) != OL_JSON_OBJECT)
        return 0;
    if (ol_json_need_int(s, "n_experts", 0, OL_REPORT_MOST_EXPERTS, &r->n_router_experts,
                         err) != 0 ||
        need_array(s, "layers", &list, err) != 0)
        return -1;
    r->router = ol_arena_calloc(&r->arena, ol_json_length(list), sizeof *r->router);
    for (size_t i = 0; i < ol_json_length(list); i++) {
        const struct ol_json_section layer = {s.file, ol_json_at(list, i)};
        struct ol_report_router_layer *l = &r->router[r->n_router_layers++];
        if (need_count(layer, "layer", &l->layer, err) != 0 ||
            ol_json_real_or(layer, "entropy", NAN, &l->entropy, err) != 0 ||
            ol_json_real_or(layer, "max_load", NAN, &l->max_load, err) != 0 ||
            need_array(layer, "never_chosen", &never, err) != 0)
            return -1;
        l->n_never = (int64_t)ol_json_length(never);
    }
    return 0;
}

int ol_report_read(struct ol_report_results *r, const char *file, struct ol_error *err)
{
    return ol_report_take(r, ol_results_read(file, err), file, err);
}

int ol_report_take(struct ol_report_results *r, struct ol_json *json, const char *file,
                   struct ol_error *err)
{
    r->json = json;
    r->file = file;
    if (json == NULL)
        return -1;
    const struct ol_json_section top = {file, r->json};
    if (read_model(r, top, err) != 0 ||
        read_outliers(r, section(top, "llm_int8"), err) != 0 ||
        read_sites(r, top, err) != 0)
        return -1;
    if (read_router(r, section(top, "router"), err) != 0)
        return -1;
    return ol_fields_read(ol_blocks_struct(), top, &r->blocks, &r->arena, err);
}

double ol_report_largest(const struct ol_report_results *r)
{
    double most = NAN;
    for (int64_t i = 0; i < r->n_listed_sites; i++)
        most = fmax(most, r->sites[i].max_magnitude);
    return most;
}

bool ol_report_computed(const struct ol_report_results *r, const char *block)
{
    return ol_json_get(r->json, block) != NULL;
}

void ol_report_clear(struct ol_report_results *r)
{
    ol_published_clear(&r->published);
    ol_arena_clear(&r->arena);
    ol_json_free(r->json);
    *r = (struct ol_report_results){0};
}
