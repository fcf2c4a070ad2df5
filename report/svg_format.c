/* One figure as a file, --figure NAME: --format svg, png or pdf; and pages as PDF. */
#include <string.h>

#include "report/convert.h"
#include "report/figures.h"
#include "report/format.h"
#include "report/survey.h"
#include "report/trend.h"

static const char published[] = "published";

int ol_svg_format_find(const char *name)
{
    return ol_figure_find(name) != NULL || ol_survey_find(name) != NULL ||
                   ol_trend_find(name) != NULL || strcmp(name, published) == 0
               ? 0
               : -1;
}

void ol_svg_format_list(FILE *out)
{
    fputs("Of one model:\n", out);
    for (int i = 0; ol_figure_at(i) != NULL; i++)
        fprintf(out, "  %-18s %s\n", ol_figure_at(i)->name, ol_figure_at(i)->title);
    fputs("Of several models:\n", out);
    for (const struct ol_survey_figure *f = ol_survey_figures; f->name != NULL; f++)
        fprintf(out, "  %-18s %s\n", f->name, f->title);
    fprintf(out, "  %-18s %s\n", published, "Published and measured pairs");
    for (const struct ol_trend_figure *f = ol_trend_figures; f->name != NULL; f++)
        fprintf(out, "  %-18s %s\n", f->name, f->title);
}

static int check_trend(const struct ol_report *report, const struct ol_trend_figure *f,
                       struct ol_error *err)
{
    struct ol_trend t;
    ol_trend_make(&t, report);
    const bool has = ol_trend_has(&t, f);
    ol_trend_clear(&t);
    return has ? 0
               : ol_fail(err, "--figure %s: fewer than two of the results have it",
                         f->name);
}

static int check(const struct ol_report *report, struct ol_error *err)
{
    const struct ol_figure *f = ol_figure_find(report->figure);
    const struct ol_trend_figure *trend = ol_trend_find(report->figure);
    const struct ol_survey_figure *s = ol_survey_find(report->figure);
    if (report->n == 1 && f == NULL)
        return ol_fail(err, "--figure %s compares several results, but there is one",
                       report->figure);
    if (report->n > 1 && f != NULL)
        return ol_fail(err, "--figure %s is of one model, but there are %d results",
                       report->figure, report->n);
    if (f != NULL && !f->has(&report->results[0]))
        return ol_fail(err, "%s: figure %s: not in these results. %s",
                       report->results[0].file, f->name, f->needs);
    if (trend != NULL)
        return check_trend(report, trend, err);
    if (s != NULL && ol_survey_points(report, s) == 0)
        return ol_fail(err, "--figure %s: no model has both values", s->name);
    if (f == NULL && s == NULL && ol_survey_comparable(report) == 0)
        return ol_fail(err,
                       "--figure %s: nothing comparable is published about these models",
                       published);
    return 0;
}

static void draw(const struct ol_report *report, double width, FILE *out)
{
    const struct ol_figure *f = ol_figure_find(report->figure);
    const struct ol_survey_figure *s = ol_survey_find(report->figure);
    const struct ol_trend_figure *trend = ol_trend_find(report->figure);
    struct ol_canvas canvas = {.out = out, .standalone = true, .width = width};
    if (f != NULL) {
        canvas.title = f->title;
        f->draw(&report->results[0], &canvas);
    } else if (s != NULL) {
        canvas.title = s->title;
        ol_survey_draw(report, s, &canvas);
    } else if (trend != NULL) {
        struct ol_trend t;
        canvas.title = trend->title;
        ol_trend_make(&t, report);
        ol_trend_draw(&t, trend, &canvas);
        ol_trend_clear(&t);
    } else {
        canvas.title = "Published and measured pairs";
        ol_survey_draw_published(report, &canvas);
    }
}

static void write(const struct ol_report *report, FILE *out)
{
    draw(report, 0, out);
}

static int to_png(const struct ol_report *report, FILE *written, FILE *out,
                  struct ol_error *err)
{
    (void)report;
    return ol_convert_to_png(written, out, err);
}

const struct ol_format ol_svg_format = {.name = "svg", .write = write, .check = check};
const struct ol_format ol_png_format = {
    .name = "png", .write = write, .check = check, .convert = to_png};

/* ---- PDF: a figure as wide as a column of a paper, or the page ---- */

static int check_pdf(const struct ol_report *report, struct ol_error *err)
{
    return report->figure != NULL ? check(report, err) : 0;
}

static void write_pdf(const struct ol_report *report, FILE *out)
{
    if (report->figure != NULL)
        draw(report, OL_COLUMN_PIXELS, out);
    else
        ol_html_format.write(report, out);
}

static void write_pdf_diff(const struct ol_report *report, FILE *out)
{
    ol_html_format.write_diff(report, out);
}

static void write_pdf_trend(const struct ol_report *report, FILE *out)
{
    ol_html_format.write_trend(report, out);
}

static int to_pdf(const struct ol_report *report, FILE *written, FILE *out,
                  struct ol_error *err)
{
    return (report->figure != NULL ? ol_convert_to_pdf : ol_convert_page)(written, out,
                                                                          err);
}

const struct ol_format ol_pdf_format = {.name = "pdf",
                                        .write = write_pdf,
                                        .check = check_pdf,
                                        .convert = to_pdf,
                                        .write_diff = write_pdf_diff,
                                        .write_trend = write_pdf_trend};

bool ol_svg_format_is(const struct ol_format *format)
{
    return format == &ol_svg_format || format == &ol_png_format;
}
