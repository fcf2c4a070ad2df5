/* The page of several models. */
#include <math.h>
#include <stdlib.h>

#include "common/version.h"
#include "report/html.h"
#include "report/survey.h"
#include "report/text.h"

enum { SECTIONS = 5 };
static const struct ol_page_section sections[SECTIONS + 1] = {
    {"models", "Models"},
    {"counts", "Outlier features"},
    {"published", "Published and measured"},
    {"scale", "Scale and sparsity"},
    {"warnings", "Warnings"},
    {NULL, NULL}};

static void put_grid(struct ol_grid *g, const char *title, FILE *out)
{
    ol_grid_html(g, title, INT64_MAX, out);
    ol_grid_free(g);
}

static void put_counts(const struct ol_report *report, FILE *out)
{
    const struct ol_report_results *first = &report->results[0];
    fputs("<p>", out);
    if (ol_report_same_criterion(report))
        ol_text_print(
            out,
            "Counts by the criterion of LLM.int8: |x| \xe2\x89\xa5 %g at %g %% "
            "of the sites and %g %% of the positions. L%% and S%% are means and "
            "medians over the pairs. A dash is a value that the results do not "
            "have.",
            first->criterion.threshold, 100 * first->criterion.min_layers,
            100 * first->criterion.min_positions);
    fputs("</p>\n", out);
    if (!ol_report_same_criterion(report))
        ol_page_warning(out, "The models were analysed by different criteria; the counts "
                             "cannot be compared.");
    put_grid(ol_survey_counts(report), "Counts", out);
}

static void put_published(const struct ol_report *report, FILE *out)
{
    static const char title[] = "Published and measured pairs";
    if (ol_survey_published(report) == 0) {
        fputs("<p>Nothing has been published about these models, as far as the data that "
              "come with the tools know.</p>\n",
              out);
        return;
    }
    ol_page_begin_figure(out, "published", title);
    ol_survey_draw_published(report, &(struct ol_canvas){.out = out, .title = title});
    ol_page_end_figure(out, title,
                       "The longer the line between square and dot, the more the two "
                       "differ; texts and token counts often do too.");
    put_grid(ol_survey_published_table(report), "Published and measured", out);
}

static void put_scale(const struct ol_report *report, FILE *out)
{
    fputs("<div class=\"pair\">\n", out);
    for (const struct ol_survey_figure *f = ol_survey_figures; f->name != NULL; f++) {
        if (ol_survey_points(report, f) == 0) {
            ol_page_absent(out, f->title,
                           "No model has both values; perplexity needs ol-extract "
                           "--perplexity, counts need recorded tensors.");
            continue;
        }
        char *caption = ol_xasprintf("%s %d of %d models have both values.", f->caption,
                                     ol_survey_points(report, f), report->n);
        ol_page_begin_figure(out, f->name, f->title);
        ol_survey_draw(report, f, &(struct ol_canvas){.out = out, .title = f->title});
        ol_page_end_figure(out, f->title, caption);
        free(caption);
    }
    fputs("</div>\n", out);
}

static void put_warnings(const struct ol_report *report, FILE *out)
{
    int n = 0;
    for (int i = 0; i < report->n; i++) {
        int state = 0;
        char *text;
        while ((text = ol_report_warning(&report->results[i], &state)) != NULL) {
            char *whole = ol_xasprintf("%s: %s", report->results[i].model.name, text);
            ol_page_warning(out, whole);
            free(whole);
            free(text);
            n++;
        }
    }
    if (n == 0)
        fputs("<p>None.</p>\n", out);
}

void ol_html_survey(const struct ol_report *report, FILE *out)
{
    char *title = ol_xasprintf("Outlier features of %d models", report->n);
    ol_page_open(out, title, "A survey of results files of ol-analyze, side by side",
                 sections);
    free(title);
    for (int i = 0; i < SECTIONS; i++) {
        ol_page_begin_section(out, &sections[i]);
        switch (i) {
        case 0:
            put_grid(ol_survey_architectures(report), "Architectures", out);
            break;
        case 1:
            put_counts(report, out);
            break;
        case 2:
            put_published(report, out);
            break;
        case 3:
            put_scale(report, out);
            break;
        default:
            put_warnings(report, out);
        }
        ol_page_end_section(out);
    }
    ol_page_close(out, "Made by ol-report " OL_VERSION ".");
}
