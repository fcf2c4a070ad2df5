/* A trend as Markdown, as a page and as CSV. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/version.h"
#include "report/markdown_text.h"
#include "report/page.h"
#include "report/runs.h"
#include "report/text.h"
#include "report/trend.h"

void ol_trend_markdown(const struct ol_report *report, FILE *out)
{
    struct ol_trend t;
    int state = 0;
    char *text;
    ol_trend_make(&t, report);
    fprintf(out, "# Outlier features of %d runs, by %s\n", report->n, t.x_title);
    while ((text = ol_runs_warning(report, &state)) != NULL) {
        fputc('\n', out);
        ol_markdown_warning(NULL, text, out);
        free(text);
    }
    fputc('\n', out);
    for (int i = 0; (text = ol_trend_sentence(&t, i)) != NULL; i++) {
        if (*text != '\0') {
            fputs("- ", out);
            ol_markdown_put(text, out);
            fputc('\n', out);
        }
        free(text);
    }
    fputc('\n', out);
    struct ol_grid *g = ol_trend_grid(&t);
    ol_grid_markdown(g, INT64_MAX, out);
    ol_grid_free(g);
    ol_trend_clear(&t);
}

static const struct ol_page_section sections[] = {
    {"trend", "From first to last"}, {"figures", "Figures"}, {NULL, NULL}};

static void put_words(const struct ol_trend *t, FILE *out)
{
    int state = 0;
    char *text;
    while ((text = ol_runs_warning(t->report, &state)) != NULL) {
        ol_page_warning(out, text);
        free(text);
    }
    fputs("<ul>\n", out);
    for (int i = 0; (text = ol_trend_sentence(t, i)) != NULL; i++) {
        if (*text != '\0') {
            fputs("<li>", out);
            ol_text_escape(text, out);
            fputs("</li>\n", out);
        }
        free(text);
    }
    fputs("</ul>\n", out);
}

void ol_trend_html(const struct ol_report *report, FILE *out)
{
    struct ol_trend t;
    ol_trend_make(&t, report);
    char *title = ol_xasprintf("Outlier features of %d runs", report->n),
         *subtitle = ol_xasprintf("By %s", t.x_title);
    ol_page_open(out, title, subtitle, true, sections);
    ol_page_begin_section(out, &sections[0]);
    put_words(&t, out);
    struct ol_grid *g = ol_trend_grid(&t);
    ol_grid_html(g, "The runs in their order", INT64_MAX, out);
    ol_grid_free(g);
    ol_page_end_section(out);
    ol_page_begin_section(out, &sections[1]);
    for (const struct ol_trend_figure *f = ol_trend_figures; f->name != NULL; f++) {
        if (!ol_trend_has(&t, f)) {
            ol_page_absent(out, f->title, "Fewer than two of the results have it.");
            continue;
        }
        ol_page_begin_figure(out, f->name, f->title);
        ol_trend_draw(&t, f, &(struct ol_canvas){.out = out, .title = f->title});
        ol_page_end_figure(out, f->title, f->caption);
    }
    ol_page_end_section(out);
    ol_page_close(out, "Made by ol-report " OL_VERSION ".");
    free(subtitle);
    free(title);
    ol_trend_clear(&t);
}

void ol_trend_csv(const struct ol_report *report, FILE *out)
{
    struct ol_trend t;
    ol_trend_make(&t, report);
    for (int i = 0; i < report->n; i++) {
        struct ol_grid *g = ol_trend_row(&t, i);
        char *run = ol_run_mark(report, t.order[i]);
        if (i == 0)
            ol_grid_csv_header(g, out);
        ol_grid_csv(g, report->results[t.order[i]].model->name, run, out);
        free(run);
        ol_grid_free(g);
    }
    ol_trend_clear(&t);
}
