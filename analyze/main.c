/* ol-analyze: activation files to a results file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/imatrix.h"
#include "analyze/statistics.h"
#include "common/options.h"
#include "common/output.h"
#include "common/process.h"
#include "common/results_file.h"

struct command {
    struct ol_criterion criterion;
    int64_t n_threads;
    struct ol_chosen chosen;
    const char *output, *imatrix, *statistics, *label;
    bool only_summaries, verify;
};

static enum ol_options_result parse(struct command *c, int argc, char **argv,
                                    struct ol_texts *files)
{
    const struct ol_option options[] = {
        {0, "threshold", OL_OPTION_REAL, &c->criterion.threshold, "X",
         "magnitude of an occurrence (default: 6.0)", 0, 0, NULL},
        {0, "min-layers", OL_OPTION_REAL, &c->criterion.min_layers, "FRACTION",
         "sites with an occurrence, of all (default: 0.25)", 0, 0, NULL},
        {0, "min-positions", OL_OPTION_REAL, &c->criterion.min_positions, "FRACTION",
         "positions with an occurrence, of all (default: 0.06)", 0, 0, NULL},
        {0, "batch-size", OL_OPTION_INT, &c->criterion.batch_size, "N",
         "sequences of a batch (default: 1)", 1, 1e9, NULL},
        {0, "statistics", OL_OPTION_TEXT, &c->statistics, "NAMES",
         "compute these only: names of blocks of the results, with\ncommas between them",
         0, 0, NULL},
        {0, "label", OL_OPTION_TEXT, &c->label, "TEXT",
         "what reports call this run, beside the model's name", 0, 0, NULL},
        {0, "summaries", OL_OPTION_FLAG, &c->only_summaries, NULL,
         "do not read the tensors: what the summaries say is the\nsame where they say "
         "it",
         0, 0, NULL},
        {0, "verify", OL_OPTION_FLAG, &c->verify, NULL,
         "compare all of the files with their checksums, say so,\nand stop", 0, 0, NULL},
        {0, "threads", OL_OPTION_INT, &c->n_threads, "N",
         "default: as many as processors", 1, 4096, NULL},
        {0, "imatrix", OL_OPTION_TEXT, &c->imatrix, "FILE",
         "write an importance matrix for llama.cpp (GGUF), and\nresults only with -o; "
         "needs ol-extract --imatrix",
         0, 0, NULL},
        {'o', "output", OL_OPTION_TEXT, &c->output, "FILE",
         "results (default: standard output)", 0, 0, NULL},
        {0},
    };
    const struct ol_tool tool = {
        .name = "ol-analyze",
        .usage = "[options] [RUN.h5]...",
        .summary =
            "Compute statistics of activation files; several are parts of one run.\n"
            "Without a file, names are read from standard input, one per line.",
        .options = options,
    };
    return ol_options_parse(&tool, argc, argv, files);
}

/* 0, or the exit status of a usage error. */
static int check(struct command *command)
{
    const struct ol_criterion *c = &command->criterion;
    struct ol_error err = {0};
    if (!(c->threshold > 0))
        return ol_usage_error("--threshold must be greater than 0");
    if (!(c->min_layers > 0 && c->min_layers <= 1))
        return ol_usage_error("--min-layers must be greater than 0 and at most 1");
    if (!(c->min_positions > 0 && c->min_positions <= 1))
        return ol_usage_error("--min-positions must be greater than 0 and at most 1");
    if (command->imatrix != NULL && command->output == NULL &&
        (command->statistics != NULL || command->only_summaries))
        return ol_usage_error("--imatrix writes no results, but with --output");
    if (ol_statistics_choose(command->statistics, &command->chosen, &err) != 0)
        return ol_usage_error("%s", err.text);
    return 0;
}

/* Names from stdin, one per line; empty lines are passed over. */
static int read_names(struct ol_texts *files, char ***owned, size_t *n_owned,
                      struct ol_error *err)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    while ((n = getline(&line, &room, stdin)) >= 0) {
        if (n > 0 && line[n - 1] == '\n')
            line[n - 1] = '\0';
        if (line[0] == '\0')
            continue;
        *owned = ol_xrealloc_array(*owned, *n_owned + 1, sizeof **owned);
        (*owned)[*n_owned] = ol_xstrdup(line);
        ol_texts_append(files, (*owned)[(*n_owned)++]);
    }
    free(line);
    if (ferror(stdin))
        return ol_fail_errno(err, "standard input cannot be read");
    return files->n > 0 ? 0
                        : ol_fail(err, "no activation file: none was named, and standard "
                                       "input is empty");
}

static void set_text(struct ol_json *object, const char *key, const char *text)
{
    ol_json_set(object, key, ol_json_new_string(text));
}

static void set_int(struct ol_json *object, const char *key, int64_t value)
{
    ol_json_set(object, key, ol_json_new_int(value));
}

static void set_real(struct ol_json *object, const char *key, double value)
{
    ol_json_set(object, key, ol_json_new_real(value));
}

static struct ol_json *describe_receipt(const struct ol_parts *parts)
{
    const struct ol_activation_receipt r = ol_parts_receipt(parts);
    struct ol_json *receipt = ol_json_new_object();
    set_int(receipt, "bytes_read", r.bytes_read);
    set_int(receipt, "link_bytes", r.link_bytes);
    set_int(receipt, "peak_memory", r.peak_memory);
    set_int(receipt, "peak_device_memory", r.peak_device_memory);
    set_int(receipt, "n_devices", r.n_devices);
    set_real(receipt, "seconds", r.seconds);
    set_real(receipt, "disk_seconds", r.disk_seconds);
    set_real(receipt, "link_seconds", r.link_seconds);
    set_real(receipt, "compute_seconds", r.compute_seconds);
    set_real(receipt, "writer_seconds", r.writer_seconds);
    return receipt;
}

/* How the first layer with experts routes, in words; null: dense, or not known. */
static struct ol_json *describe_routing(const char *layers_json)
{
    struct ol_error err = {0};
    struct ol_json *layers =
        ol_json_load_text(layers_json, strlen(layers_json), "layers_json", &err);
    struct ol_json *routing = NULL;
    for (size_t i = 0; routing == NULL && i < ol_json_length(layers); i++) {
        const struct ol_json_section layer = {"layers_json", ol_json_at(layers, i)};
        const char *score = "";
        int64_t n_group = 1, topk_group = 1;
        if (ol_json_string_or(layer, "router", "", &score, &err) != 0 || *score == '\0' ||
            ol_json_int_or(layer, "n_group", 1, INT64_MAX, 1, &n_group, &err) != 0 ||
            ol_json_int_or(layer, "topk_group", 1, INT64_MAX, 1, &topk_group, &err) != 0)
            continue;
        char *text = n_group > 1 ? ol_xasprintf("%s, %lld of %lld groups", score,
                                                (long long)topk_group, (long long)n_group)
                                 : ol_xstrdup(score);
        routing = ol_json_new_string(text);
        free(text);
    }
    ol_json_free(layers);
    return routing != NULL ? routing : ol_json_new_null();
}

/* Parts may have run on several kinds of processors. */
static void set_processors(struct ol_json *run, const struct ol_parts *parts)
{
    char *all = ol_xstrdup("");
    for (int i = 0; i < parts->n_files; i++) {
        const char *next = ol_activation_info(parts->files[i])->processor;
        bool known = false;
        for (int k = 0; k < i; k++)
            known |= strcmp(ol_activation_info(parts->files[k])->processor, next) == 0;
        if (known)
            continue;
        char *longer = ol_xasprintf("%s%s%s", all, *all != '\0' ? ", " : "",
                                    *next != '\0' ? next : "unknown");
        free(all);
        all = longer;
    }
    if (strcmp(all, "unknown") != 0)
        set_text(run, "processor", all);
    free(all);
}

static void describe_run(const struct ol_parts *parts, const struct command *command,
                         struct ol_json *results)
{
    const struct ol_criterion *c = &command->criterion;
    const struct ol_activation_info *info = ol_parts_info(parts);
    struct ol_json *run = ol_json_new_object(), *model = ol_json_new_object(),
                   *input = ol_json_new_object(), *criterion = ol_json_new_object();
    if (command->label != NULL)
        set_text(run, "label", command->label);
    set_text(run, "tool", info->tool);
    set_text(run, "tool_version", info->tool_version);
    set_text(run, "command_line", info->command_line);
    set_text(run, "created", info->created);
    set_text(run, "backend", info->backend);
    set_text(run, "precision", info->precision);
    set_text(run, "device", info->device);
    set_processors(run, parts);
    set_int(run, "parts", parts->n_files);
    ol_json_set(run, "receipt", describe_receipt(parts));
    set_text(model, "name", info->model.name);
    set_text(model, "family", info->model.family);
    set_int(model, "n_layers", info->model.n_layers);
    set_int(model, "d_model", info->model.d_model);
    set_int(model, "vocab_size", info->model.vocab_size);
    set_int(model, "n_experts", info->model.n_experts);
    set_int(model, "top_k", info->model.top_k);
    ol_json_set(model, "routing", describe_routing(info->model.layers_json));
    set_int(model, "total_parameters", info->model.total_parameters);
    set_int(model, "active_parameters", info->model.active_parameters);
    set_text(model, "weight_format", info->model.weight_format);
    if (*info->model.activations_config != '\0')
        set_text(model, "activations_config", info->model.activations_config);
    set_text(model, "config_sha256", info->model.config_sha256);
    set_text(model, "weights_sha256", info->model.weights_sha256);
    set_text(input, "source", info->input.source);
    set_text(input, "text_sha256", info->input.text_sha256);
    if (*info->input.tokenizer_file != '\0')
        set_text(input, "tokenizer_file", info->input.tokenizer_file);
    set_text(input, "tokenizer_sha256", info->input.tokenizer_sha256);
    set_text(input, "windowing", info->input.windowing);
    ol_json_set(input, "bos", ol_json_new_bool(info->input.bos));
    set_real(criterion, "threshold", c->threshold);
    set_real(criterion, "min_layers", c->min_layers);
    set_real(criterion, "min_positions", c->min_positions);
    set_int(criterion, "batch_size", c->batch_size);
    ol_json_set(results, "run", run);
    ol_json_set(results, "model", model);
    ol_json_set(results, "input", input);
    ol_json_set(results, "criterion", criterion);
}

static int check_outputs(const struct command *c, struct ol_error *err)
{
    struct ol_output results = {0}, imatrix = {0};
    int status = 0;
    if (c->imatrix != NULL)
        status = ol_output_find(c->imatrix, OL_OUTPUT_STREAM, &imatrix, err);
    if (status == 0 && (c->imatrix == NULL || c->output != NULL))
        status = ol_output_find(c->output, OL_OUTPUT_STREAM, &results, err);
    if (status == 0 && c->imatrix != NULL && c->output != NULL &&
        ol_output_same(&results, &imatrix))
        status = ol_fail(err, "--imatrix %s and --output %s are one file", c->imatrix,
                         c->output);
    ol_output_clear(&results);
    ol_output_clear(&imatrix);
    return status;
}

/* What --verbose is for: what the files are. */
static void tell_details(const struct ol_parts *parts)
{
    for (int i = 0; i < parts->n_files; i++) {
        const struct ol_activation_file *f = parts->files[i];
        const struct ol_activation_info *info = ol_activation_info(f);
        const struct ol_activation_layout *layout = ol_activation_layout(f);
        ol_detail("%s: %s in %s on %s, %lld sequences of up to %lld tokens of %s, %d "
                  "layers recorded, %s",
                  ol_activation_path(f), info->model.name, info->precision, info->device,
                  (long long)layout->n_sequences, (long long)layout->n_tokens,
                  info->input.source, layout->n_layers,
                  layout->summary ? "with summaries" : "without summaries");
    }
}

static int verify(const struct ol_parts *parts, struct ol_error *err)
{
    for (int i = 0; i < parts->n_files; i++) {
        const int64_t n = ol_activation_verify(parts->files[i], err);
        if (n < 0)
            return -1;
        char *shown = ol_shown(ol_activation_path(parts->files[i]));
        if (n == 0)
            printf("%s: format version 1, without checksums\n", shown);
        else
            printf("%s: intact by %lld checksums\n", shown, (long long)n);
        free(shown);
    }
    return 0;
}

static int analyse(const struct command *c, const struct ol_texts *files,
                   const char *command_line, struct ol_error *err)
{
    struct ol_parts parts = {0};
    struct ol_pool *pool = NULL;
    int status = check_outputs(c, err);
    if (status == 0)
        status = ol_parts_open(&parts, files->items, (int)files->n, err);
    /* The inputs are known now: none of them is to be replaced. */
    if (status == 0)
        status = check_outputs(c, err);
    if (status == 0 && c->verify) {
        status = verify(&parts, err);
        ol_parts_clear(&parts);
        return status;
    }
    if (status == 0)
        status = ol_parts_join(&parts, err);
    if (status == 0 && c->imatrix != NULL)
        status = ol_imatrix_write(&parts, c->imatrix, err);
    if (status != 0 || (c->imatrix != NULL && c->output == NULL)) {
        ol_parts_clear(&parts);
        return status;
    }
    tell_details(&parts);
    if (status == 0) {
        pool = ol_pool_new((int)c->n_threads, err);
        status = pool != NULL ? 0 : -1;
    }
    if (status == 0) {
        struct ol_json *results = ol_results_new(command_line);
        describe_run(&parts, c, results);
        status = ol_analyse(&parts, &c->criterion, &c->chosen, c->only_summaries, pool,
                            results, err);
        if (status == 0)
            status = ol_parts_intact(&parts, err);
        if (status == 0)
            status = ol_results_write(results, c->output, err);
        ol_json_free(results);
    }
    ol_pool_free(pool);
    ol_parts_clear(&parts);
    return status;
}

int main(int argc, char **argv)
{
    ol_process_begin();
    struct command command = {.criterion = {6.0, 0.25, 0.06, 1}};
    struct ol_texts files = {0};
    struct ol_error err = {0};
    char **names = NULL;
    size_t n_names = 0;
    char *command_line = ol_command_line(argc, argv);
    int status = 2;
    const enum ol_options_result result = parse(&command, argc, argv, &files);
    switch (result) {
    case OL_OPTIONS_DONE:
    case OL_OPTIONS_USAGE:
        status = ol_options_status(result);
        break;
    case OL_OPTIONS_RUN:
        status = check(&command);
        if (status != 0)
            break;
        if ((files.n == 0 && read_names(&files, &names, &n_names, &err) != 0) ||
            analyse(&command, &files, command_line, &err) != 0 ||
            ol_stdout_close(&err) != 0) {
            ol_warn("%s", err.text);
            status = 1;
        }
    }
    for (size_t i = 0; i < n_names; i++)
        free(names[i]);
    free(names);
    ol_texts_free(&files);
    free(command_line);
    return status;
}
