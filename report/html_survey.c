/* The page of several models. */
#include <math.h>
#include <stdlib.h>

#include "common/version.h"
#include "report/format.h"
#include "report/page.h"
#include "report/runs.h"
#include "report/survey.h"
#include "report/text.h"

enum { SECTIONS = 7, OPEN_WARNINGS = 6 };
static const struct ol_page_section sections[SECTIONS + 1] = {
    {"warnings", "What to compare with care"},
    {"models", "Models"},
    {"counts", "Outlier features"},
    {"published", "Published and measured"},
    {"depth", "Layer by layer"},
    {"quantisation", "Quantisation and routing"},
    {"scale", "Scale and sparsity"},
    {NULL, NULL}};

static void put_grid(struct ol_grid *g, const char *title, FILE *out)
{
    if (ol_grid_rows(g) > 0)
        ol_grid_html(g, title, INT64_MAX, out);
    ol_grid_free(g);
}

static void put_counts(const struct ol_report *report, FILE *out)
{
    fputs("<p>Outlier features by the criterion of LLM.int8. L% and S% are means and "
          "medians "
          "over the pairs. A dash is a value that the results do not have.</p>\n<p>",
          out);
    char *common = ol_survey_common(report);
    ol_text_escape(common, out);
    free(common);
    fputs("</p>\n", out);
    put_grid(ol_survey_runs(report), "The runs, where they differ", out);
    put_grid(ol_survey_counts(report), "Counts", out);
    char *few = ol_survey_few_experts(report);
    if (few != NULL) {
        fputs("<p>", out);
        ol_text_escape(few, out);
        fputs("</p>\n", out);
    }
    free(few);
    put_grid(ol_survey_sinks(report), "Massive dimensions and sinks", out);
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
    if (ol_survey_comparable(report) > 0) {
        fputs("<div class=\"pair\">\n", out);
        ol_page_begin_figure(out, "published", title);
        ol_survey_draw_published(report, &(struct ol_canvas){.out = out, .title = title});
        ol_page_end_figure(out, title,
                           "The longer the line between square and dot, the more the two "
                           "differ. Models whose counts answer another question are left "
                           "out.");
        fputs("</div>\n", out);
    }
    fputs(
        "<p>Counts stand side by side where model, criterion, windowing and amount of "
        "text "
        "are the same; only ol-extract --windowing reference cuts sequences as the study "
        "does.</p>\n",
        out);
    put_grid(ol_survey_published_table(report), "Published and measured", out);
}

/* Those of lines, or those of points, two beside each other. */
static void put_figures(const struct ol_report *report, bool lines, FILE *out)
{
    fputs(lines ? "" : "<div class=\"pair\">\n", out);
    for (const struct ol_survey_figure *f = ol_survey_figures; f->name != NULL; f++) {
        if ((f->line != NULL) != lines)
            continue;
        if (ol_survey_points(report, f) == 0) {
            ol_page_absent(out, f->title,
                           lines
                               ? "No model has it: run ol-extract without "
                                 "--no-summaries, then ol-analyze."
                               : "No model has both values; perplexity needs ol-extract "
                                 "--perplexity, counts need recorded tensors.");
            continue;
        }
        char *caption = ol_xasprintf("%s %d of %d models have %s.", f->caption,
                                     ol_survey_points(report, f), report->n,
                                     lines ? "a line" : "both values");
        ol_page_begin_figure(out, f->name, f->title);
        ol_survey_draw(report, f, &(struct ol_canvas){.out = out, .title = f->title});
        ol_page_end_figure(out, f->title, caption);
        free(caption);
    }
    fputs(lines ? "" : "</div>\n", out);
}

static void put_quantisation(const struct ol_report *report, FILE *out)
{
    fputs(
        "<p>Of each number format the median over the recorded norm outputs of the error "
        "of rounding them, and their worst; entropies are of the share of tokens that "
        "each expert has, 100 % where all have as many.</p>\n",
        out);
    put_grid(ol_survey_quantisation(report, false),
             "Errors of number formats, median site", out);
    put_grid(ol_survey_quantisation(report, true), "Errors of number formats, worst site",
             out);
    put_grid(ol_survey_routing(report), "Routing", out);
}

static void put_warnings(const struct ol_report *report, FILE *out)
{
    int state = 0, n = 0;
    char *text;
    while ((text = ol_runs_warning(report, &state)) != NULL) {
        ol_page_warning(out, text);
        free(text);
        n++;
    }
    struct ol_survey_warnings all;
    ol_survey_warnings_make(&all, report);
    const bool folded = all.n > OPEN_WARNINGS;
    if (folded)
        fprintf(out, "<details><summary>%d warnings of single results</summary>\n",
                all.n);
    for (int i = 0; i < all.n; i++) {
        char *whole = ol_xasprintf("%s: %s", all.items[i].runs, all.items[i].text);
        ol_page_warning(out, whole);
        free(whole);
    }
    fputs(folded ? "</details>\n" : "", out);
    if (n + all.n == 0)
        fputs("<p>There is no warning.</p>\n", out);
    ol_survey_warnings_clear(&all);
}

void ol_html_survey(const struct ol_report *report, FILE *out)
{
    char *title = ol_xasprintf("Outlier features of %d models", report->n);
    ol_page_open(out, title, "A survey of results files of ol-analyze, side by side",
                 true, sections);
    free(title);
    for (int i = 0; i < SECTIONS; i++) {
        ol_page_begin_section(out, &sections[i]);
        switch (i) {
        case 0:
            put_warnings(report, out);
            break;
        case 1:
            put_grid(ol_survey_architectures(report), "Architectures", out);
            break;
        case 2:
            put_counts(report, out);
            break;
        case 3:
            put_published(report, out);
            break;
        case 4:
            put_figures(report, true, out);
            break;
        case 5:
            put_quantisation(report, out);
            break;
        default:
            put_figures(report, false, out);
        }
        ol_page_end_section(out);
    }
    ol_page_close(out, "Made by ol-report " OL_VERSION ".");
}
