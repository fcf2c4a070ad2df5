/* Results files: any text is refused, or printed in every format, with every figure and
 * table, alone, in a survey, compared and put
 * in order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/results_file.h"
#include "report/figures.h"
#include "report/format.h"
#include "report/survey.h"
#include "report/tables.h"
#include "report/trend.h"
#include "tests/fuzz/fuzz.h"

const char *const fuzz_seeds[] = {"tests/fuzz/seeds/results/*.json", NULL};
const int fuzz_short_run = 1500;

static FILE *nowhere;

static void print(const struct ol_format *format, const struct ol_report *report)
{
    struct ol_error err = {0};
    if (format->check != NULL && format->check(report, &err) != 0) {
        if (err.text[0] == '\0')
            abort();
        return;
    }
    format->write(report, nowhere);
}

static void print_all(struct ol_report report)
{
    for (int i = 0; ol_formats[i] != NULL; i++)
        if (!ol_svg_format_is(ol_formats[i]))
            print(ol_formats[i], &report);
    for (int i = 0; ol_formats[i] != NULL; i++) {
        if (strcmp(ol_formats[i]->name, "csv") == 0)
            for (int k = 0; ol_table_at(k) != NULL; k++) {
                report.table = ol_table_at(k)->name;
                print(ol_formats[i], &report);
            }
        if (strcmp(ol_formats[i]->name, "svg") != 0)
            continue;
        for (int k = 0; report.n == 1 && ol_figure_at(k) != NULL; k++) {
            report.figure = ol_figure_at(k)->name;
            print(ol_formats[i], &report);
        }
        for (int k = 0; report.n > 1 && ol_survey_figures[k].name != NULL; k++) {
            report.figure = ol_survey_figures[k].name;
            print(ol_formats[i], &report);
        }
    }
}

static void compare(const struct ol_report *report)
{
    for (int i = 0; ol_formats[i] != NULL; i++) {
        if (ol_formats[i]->write_diff != NULL)
            ol_formats[i]->write_diff(report, nowhere);
        if (ol_formats[i]->write_trend != NULL)
            ol_formats[i]->write_trend(report, nowhere);
    }
}

/* What was read, beside itself by another name. */
static void use(const struct ol_report_results *r)
{
    struct ol_report_results two[] = {*r, *r};
    struct ol_results_model other = *r->model;
    other.name = "other";
    other.n_experts++;
    two[1].model = &other;
    const struct ol_report one = {.results = two, .n = 1, .top = 20},
                           both = {.results = two, .n = 2, .top = 20};
    print_all(one);
    print_all(both);
    compare(&both);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ol_report_results r = {0};
    struct ol_error err = {0};
    if (nowhere == NULL && (nowhere = fopen("/dev/null", "w")) == NULL)
        abort();
    struct ol_json *json =
        ol_results_parse((const char *)data, size, "results.json", &err);
    if (ol_report_take(&r, json, "results.json", &err) == 0) {
        if (ol_published_find(r.model->name, &r.published, &err) == 0)
            use(&r);
    } else if (err.text[0] == '\0' || strstr(err.text, "line -1") != NULL) {
        abort();
    }
    ol_report_clear(&r);
    return 0;
}
