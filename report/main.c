/* ol-report: results files to a report. */
#include <stdlib.h>
#include <string.h>

#include "common/atomic_file.h"
#include "common/options.h"
#include "report/format.h"

struct command {
    const char *format, *output;
    int64_t top;
};

static enum ol_options_result parse(struct command *c, int argc, char **argv,
                                    struct ol_texts *files)
{
    const struct ol_option options[] = {
        {'f', "format", OL_OPTION_TEXT, &c->format, "FORMAT",
         "markdown (default), json or csv", 0, 0, NULL},
        {'o', "output", OL_OPTION_TEXT, &c->output, "FILE",
         "report (default: standard output)", 0, 0, NULL},
        {0, "top", OL_OPTION_INT, &c->top, "N", "rows of long tables (default: 20)", 1,
         1e9, NULL},
        {0},
    };
    const struct ol_tool tool = {
        .name = "ol-report",
        .usage = "[options] [RESULTS.json]...",
        .summary = "Print a report of a model from its results file, or compare several "
                   "models.\nWithout a file, results are read from standard input.",
        .options = options,
    };
    return ol_options_parse(&tool, argc, argv, files);
}

/* NULL: a usage error was printed. */
static const struct ol_format *find_format(const char *name)
{
    for (int i = 0; ol_formats[i] != NULL; i++)
        if (strcmp(ol_formats[i]->name, name) == 0)
            return ol_formats[i];
    ol_usage_error("--format: '%s' is not one of markdown, json, csv", name);
    return NULL;
}

static int read_one(struct ol_report_results *r, const char *file, struct ol_error *err)
{
    if (ol_report_read(r, file, err) != 0)
        return -1;
    return ol_published_find(r->model.name, &r->published, err);
}

static int print_report(const struct command *c, const struct ol_format *format,
                        const struct ol_texts *files, struct ol_error *err)
{
    const size_t n = files->n > 0 ? files->n : 1;
    struct ol_report_results *results = ol_xcalloc(n, sizeof *results);
    int status = 0;
    for (size_t i = 0; i < n && status == 0; i++)
        status = read_one(&results[i], files->n > 0 ? files->items[i] : "-", err);
    if (status == 0) {
        const struct ol_report report = {results, (int)n, c->top};
        struct ol_atomic_file *file = ol_atomic_open(c->output, err);
        if (file != NULL)
            format->write(&report, ol_atomic_stream(file));
        status = file != NULL ? ol_atomic_commit(file, err) : -1;
    }
    for (size_t i = 0; i < n; i++)
        ol_report_clear(&results[i]);
    free(results);
    return status;
}

int main(int argc, char **argv)
{
    struct command command = {.format = "markdown", .top = 20};
    struct ol_texts files = {0};
    struct ol_error err = {0};
    const struct ol_format *format;
    int status = 2;
    switch (parse(&command, argc, argv, &files)) {
    case OL_OPTIONS_DONE:
        status = 0;
        break;
    case OL_OPTIONS_USAGE:
        break;
    case OL_OPTIONS_RUN:
        format = find_format(command.format);
        if (format == NULL)
            break;
        status = 0;
        if (print_report(&command, format, &files, &err) != 0 ||
            ol_stdout_close(&err) != 0) {
            ol_warn("%s", err.text);
            status = 1;
        }
    }
    ol_texts_free(&files);
    return status;
}
