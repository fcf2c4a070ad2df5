/* ol-analyze: activation files to a results file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/head.h"
#include "analyze/imatrix.h"
#include "analyze/statistics.h"
#include "common/infile.h"
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
        {0, "imatrix", OL_OPTION_FILE, &c->imatrix, "FILE",
         "write an importance matrix for llama.cpp (GGUF), and\nresults only with -o; "
         "needs ol-extract --imatrix",
         0, 0, NULL},
        {'o', "output", OL_OPTION_FILE, &c->output, "FILE",
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
    if (command->verify && (command->imatrix != NULL || command->output != NULL ||
                            command->statistics != NULL))
        return ol_usage_error("--verify only compares: --output, --imatrix and "
                              "--statistics exclude it");
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
    ol_infile_expect("-");
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
        ol_describe_head(&parts, c->label, &c->criterion, results);
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
