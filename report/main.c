/* ol-report: results files to a report. */
#include <stdlib.h>
#include <string.h>

#include "common/atomic_file.h"
#include "common/options.h"
#include "common/output.h"
#include "common/process.h"
#include "report/format.h"
#include "report/tables.h"
#include "report/trend.h"

/* The first operand may say what to do with the others. */
enum mode { REPORT, DIFF, TREND, N_MODES };
static const char *const words[N_MODES] = {[DIFF] = "diff", [TREND] = "trend"};

struct command {
    const char *format, *output, *figure, *table;
    struct ol_texts labels;
    int64_t top;
    enum mode mode;
};

static const char formats[] =
    "markdown, html, pdf, json, csv, svg, png, study, super-experts";

static enum ol_options_result parse(struct command *c, int argc, char **argv,
                                    struct ol_texts *files)
{
    const struct ol_option options[] = {
        {'f', "format", OL_OPTION_TEXT, &c->format, "FORMAT",
         "markdown (default), html, pdf, json, csv, svg, png, study\nor super-experts", 0,
         0, NULL},
        {'o', "output", OL_OPTION_FILE, &c->output, "FILE",
         "report (default: standard output)", 0, 0, NULL},
        {0, "figure", OL_OPTION_TEXT, &c->figure, "NAME",
         "the figure of --format svg, png or pdf; \"help\" lists\nthem", 0, 0, NULL},
        {0, "table", OL_OPTION_TEXT, &c->table, "NAME",
         "a table for --format csv; \"help\" lists them", 0, 0, NULL},
        {0, "label", OL_OPTION_TEXTS, &c->labels, "TEXT",
         "what the first file's run is called; given again, the second's, ...", 0, 0,
         NULL},
        {0, "top", OL_OPTION_INT, &c->top, "N", "rows of long tables (default: 20)", 1,
         1e9, NULL},
        {0},
    };
    const struct ol_tool tool = {
        .name = "ol-report",
        .usage = "[options] [RESULTS.json]...\n"
                 "       ol-report [options] diff A.json B.json\n"
                 "       ol-report [options] trend A.json B.json...",
        .summary =
            "Print a report of a model from its results file, or compare several "
            "models,\nor say what changed between two, or over several in their order. "
            "Without\na file, results are read from standard input.",
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
    ol_usage_error("--format: '%s' is not one of %s", name, formats);
    return NULL;
}

static bool is(const char *text, const char *word)
{
    return text != NULL && strcmp(text, word) == 0;
}

/* Whether a list was asked for, and printed. */
static bool print_lists(const struct command *c)
{
    if (is(c->figure, "help"))
        ol_svg_format_list(stdout);
    if (is(c->table, "help"))
        for (int i = 0; ol_table_at(i) != NULL; i++)
            printf("%-22s %s\n", ol_table_at(i)->name, ol_table_at(i)->title);
    return is(c->figure, "help") || is(c->table, "help");
}

static int check_trend(const struct command *c, const struct ol_format *format,
                       size_t n_files)
{
    if (n_files < 2)
        return ol_usage_error("trend needs two results files or more, found %zu",
                              n_files);
    if (c->figure == NULL && format->write_trend == NULL)
        return ol_usage_error("trend is written as markdown, html, pdf or csv, or as a "
                              "figure, not as %s",
                              format->name);
    if (c->figure != NULL && ol_trend_find(c->figure) == NULL)
        return ol_usage_error("--figure: '%s' is none of trend; --figure help lists them",
                              c->figure);
    if (c->table != NULL)
        return ol_usage_error("trend has one table: --table is for reports");
    return 0;
}

/* The combinations that make sense; 2 after a usage error, else 0. */
static int check_command(const struct command *c, const struct ol_format *format,
                         size_t n_files)
{
    const bool draws = ol_svg_format_is(format);
    if (draws && c->figure == NULL)
        return ol_usage_error("--format %s needs --figure NAME", format->name);
    if (!draws && c->figure != NULL && !is(format->name, "pdf"))
        return ol_usage_error("--figure needs --format svg, png or pdf");
    if (c->figure != NULL && ol_svg_format_find(c->figure) != 0)
        return ol_usage_error("--figure: there is no '%s'; --figure help lists them",
                              c->figure);
    if (c->table != NULL && !is(format->name, "csv"))
        return ol_usage_error("--table needs --format csv");
    if (c->table != NULL && ol_table_find(c->table) == NULL)
        return ol_usage_error("--table: there is no '%s'; --table help lists them",
                              c->table);
    if (c->labels.n > (n_files > 0 ? n_files : 1))
        return ol_usage_error("--label: %zu labels for %zu files", c->labels.n,
                              n_files > 0 ? n_files : 1);
    if (c->mode == DIFF && n_files != 2)
        return ol_usage_error("diff needs two results files, found %zu", n_files);
    if (c->mode == DIFF && (format->write_diff == NULL || c->figure != NULL))
        return ol_usage_error("diff is written as markdown, html, pdf or json, not as %s",
                              format->name);
    return c->mode == TREND ? check_trend(c, format, n_files) : 0;
}

static int read_one(struct ol_report_results *r, const char *file, struct ol_error *err)
{
    if (ol_report_read(r, file, err) != 0)
        return -1;
    ol_detail("%s: %s in %s on %s, %lld sequences, %lld tokens of %s, by ol-analyze %s",
              r->file, r->model->name, r->run->precision, r->run->device,
              (long long)r->n_sequences, (long long)r->n_tokens, r->input->source,
              r->tool_version);
    return ol_published_find(r->model->name, &r->published, err);
}

static void write_as(const struct command *c, const struct ol_format *format,
                     const struct ol_report *report, FILE *out)
{
    switch (c->mode) {
    case DIFF:
        format->write_diff(report, out);
        return;
    case TREND:
        (c->figure != NULL ? format->write : format->write_trend)(report, out);
        return;
    case REPORT:
    case N_MODES:
        format->write(report, out);
    }
}

static int write_converted(const struct command *c, const struct ol_format *format,
                           const struct ol_report *report, struct ol_atomic_file *file,
                           struct ol_error *err)
{
    FILE *written = tmpfile();
    if (written == NULL)
        return ol_fail_errno(err, "no temporary file");
    write_as(c, format, report, written);
    int status = -1;
    if (fflush(written) != 0 || ferror(written))
        ol_fail(err, "the temporary file of what is converted cannot be written whole");
    else
        status = format->convert(report, written, ol_atomic_stream(file), err);
    fclose(written);
    return status;
}

static int write_report(const struct command *c, const struct ol_format *format,
                        const struct ol_report *report, struct ol_error *err)
{
    if (format->check != NULL && format->check(report, err) != 0)
        return -1;
    struct ol_atomic_file *file = ol_atomic_open(c->output, err);
    if (file == NULL)
        return -1;
    if (format->convert == NULL) {
        write_as(c, format, report, ol_atomic_stream(file));
    } else if (write_converted(c, format, report, file, err) != 0) {
        ol_atomic_discard(file);
        return -1;
    }
    return ol_atomic_commit(file, err);
}

static int print_report(const struct command *c, const struct ol_format *format,
                        const char *const *files, size_t n_files, struct ol_error *err)
{
    const size_t n = n_files > 0 ? n_files : 1;
    struct ol_report_results *results = ol_xcalloc(n, sizeof *results);
    int status = ol_output_check(c->output, OL_OUTPUT_STREAM, err);
    for (size_t i = 0; i < n && status == 0; i++)
        status = read_one(&results[i], n_files > 0 ? files[i] : "-", err);
    for (size_t i = 0; i < c->labels.n && status == 0; i++)
        results[i].run->label = c->labels.items[i];
    if (status == 0) {
        const struct ol_report report = {.results = results,
                                         .n = (int)n,
                                         .top = c->top,
                                         .figure = c->figure,
                                         .table = c->table};
        status = write_report(c, format, &report, err);
    }
    for (size_t i = 0; i < n; i++)
        ol_report_clear(&results[i]);
    free(results);
    return status;
}

static int run(struct command *c, const struct ol_texts *operands)
{
    struct ol_error err = {0};
    if (print_lists(c))
        return ol_options_status(OL_OPTIONS_DONE);
    const struct ol_format *format = find_format(c->format);
    if (format == NULL)
        return 2;
    for (int mode = DIFF; mode < N_MODES; mode++)
        if (operands->n > 0 && is(operands->items[0], words[mode]))
            c->mode = (enum mode)mode;
    const size_t n_words = c->mode != REPORT ? 1 : 0, n = operands->n - n_words;
    if (check_command(c, format, n) != 0)
        return 2;
    if (print_report(c, format, operands->items + n_words, n, &err) == 0 &&
        ol_stdout_close(&err) == 0)
        return 0;
    ol_warn("%s", err.text);
    return 1;
}

int main(int argc, char **argv)
{
    ol_process_begin();
    struct command command = {.format = "markdown", .top = 20};
    struct ol_texts operands = {0};
    int status = 2;
    const enum ol_options_result result = parse(&command, argc, argv, &operands);
    switch (result) {
    case OL_OPTIONS_DONE:
    case OL_OPTIONS_USAGE:
        status = ol_options_status(result);
        break;
    case OL_OPTIONS_RUN:
        status = run(&command, &operands);
    }
    ol_texts_free(&operands);
    ol_texts_free(&command.labels);
    return status;
}
