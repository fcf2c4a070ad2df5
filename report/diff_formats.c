/* A comparison of two results as Markdown and as a page. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/version.h"
#include "report/diff.h"
#include "report/diff_choices.h"
#include "report/format.h"
#include "report/markdown_text.h"
#include "report/page.h"
#include "report/runs.h"
#include "report/text.h"

static char *feature_sentence(const struct ol_diff *d)
{
    return ol_xasprintf("Of the unique features, %" PRId64 " are gained, %" PRId64
                        " lost, %" PRId64 " moved and %" PRId64 " kept as they are.",
                        d->n_features[OL_DIFF_GAINED], d->n_features[OL_DIFF_LOST],
                        d->n_features[OL_DIFF_MOVED], d->n_features[OL_DIFF_KEPT]);
}

/* The caller frees. */
static char *names(const struct ol_diff *d)
{
    char *a = ol_run_name(d->report, 0), *b = ol_run_name(d->report, 1),
         *text = ol_xasprintf("A is %s, B is %s", a, b);
    free(b);
    free(a);
    return text;
}

static char *expert_sentence(const struct ol_diff *d)
{
    if (!d->has_experts)
        return ol_xstrdup("One of the results has no super experts block.");
    return ol_xasprintf("%" PRId64 " super experts in A, %" PRId64 " in B, %" PRId64
                        " in both.",
                        d->n_experts_a, d->n_experts_b, d->n_experts_common);
}

/* ---- Markdown ---- */

static void markdown_grid(struct ol_grid *g, const char *title, int64_t top, FILE *out)
{
    const int64_t n = ol_grid_rows(g);
    if (n > 0) {
        fprintf(out, "\n### %s\n\n", title);
        if (n > top)
            fprintf(out, "The first %" PRId64 " of %" PRId64 ".\n\n", top, n);
        ol_grid_markdown(g, top, out);
    }
    ol_grid_free(g);
}

void ol_diff_markdown(const struct ol_report *report, FILE *out)
{
    struct ol_diff d;
    int state = 0;
    char *text;
    ol_diff_make(&d, report);
    fputs("# Outlier features: what changed\n\n", out);
    text = names(&d);
    ol_markdown_put(text, out);
    free(text);
    fputs(".\n", out);
    while ((text = ol_diff_warning(&d, &state)) != NULL) {
        fputc('\n', out);
        ol_markdown_warning(NULL, text, out);
        free(text);
    }
    fputs("\n## Runs\n\n", out);
    struct ol_grid *runs = ol_diff_runs(&d);
    ol_grid_markdown(runs, INT64_MAX, out);
    ol_grid_free(runs);
    fputs("\n## Counts\n\n", out);
    struct ol_grid *counts = ol_diff_counts(&d);
    ol_grid_markdown(counts, INT64_MAX, out);
    ol_grid_free(counts);
    if (d.comparable) {
        fprintf(out, "\n## Features\n\n%s\n", text = feature_sentence(&d));
        free(text);
        for (int c = OL_DIFF_GAINED; c < OL_DIFF_KEPT; c++)
            markdown_grid(ol_diff_features(&d, (enum ol_diff_change)c),
                          ol_diff_title((enum ol_diff_change)c), report->top, out);
    }
    fprintf(out, "\n## Super experts\n\n%s\n", text = expert_sentence(&d));
    free(text);
    markdown_grid(ol_diff_experts(&d), "In either", report->top, out);
    if (d.has_choices) {
        fprintf(out, "\n## Choices of the routers\n\n%s\n",
                text = ol_diff_flips_sentence(d.a, d.b));
        free(text);
        markdown_grid(ol_diff_flips_grid(d.a, d.b), "By layer", INT64_MAX, out);
    }
}

/* ---- HTML ---- */

static const struct ol_page_section sections[] = {{"runs", "Runs"},
                                                  {"counts", "Counts"},
                                                  {"features", "Features"},
                                                  {"experts", "Super experts"},
                                                  {"choices", "Choices of the routers"},
                                                  {NULL, NULL}};

static void html_grid(struct ol_grid *g, const char *title, FILE *out)
{
    if (ol_grid_rows(g) > 0)
        ol_grid_html(g, title, INT64_MAX, out);
    ol_grid_free(g);
}

static void html_sentence(char *owned, FILE *out)
{
    fputs("<p>", out);
    ol_text_escape(owned, out);
    fputs("</p>\n", out);
    free(owned);
}

static void html_features(const struct ol_diff *d, FILE *out)
{
    ol_page_begin_section(out, &sections[2]);
    if (d->comparable)
        html_sentence(feature_sentence(d), out);
    else
        ol_page_absent(out, "The comparison of features",
                       "Both results must have counts, of models of one lineage.");
    for (int c = OL_DIFF_GAINED; c < OL_DIFF_CHANGES; c++)
        html_grid(ol_diff_features(d, (enum ol_diff_change)c),
                  ol_diff_title((enum ol_diff_change)c), out);
    ol_page_end_section(out);
}

void ol_diff_html(const struct ol_report *report, FILE *out)
{
    struct ol_diff d;
    int state = 0;
    char *text;
    ol_diff_make(&d, report);
    char *subtitle = names(&d);
    ol_page_open(out, "Outlier features: what changed", subtitle, true, sections);
    free(subtitle);
    ol_page_begin_section(out, &sections[0]);
    while ((text = ol_diff_warning(&d, &state)) != NULL) {
        ol_page_warning(out, text);
        free(text);
    }
    html_grid(ol_diff_runs(&d), "The two runs", out);
    ol_page_end_section(out);
    ol_page_begin_section(out, &sections[1]);
    html_grid(ol_diff_counts(&d), "Counts", out);
    ol_page_end_section(out);
    html_features(&d, out);
    ol_page_begin_section(out, &sections[3]);
    html_sentence(expert_sentence(&d), out);
    html_grid(ol_diff_experts(&d), "Super experts in either", out);
    ol_page_end_section(out);
    ol_page_begin_section(out, &sections[4]);
    html_sentence(ol_diff_flips_sentence(d.a, d.b), out);
    html_grid(ol_diff_flips_grid(d.a, d.b), "Choices that differ, by layer", out);
    ol_page_end_section(out);
    ol_page_close(out, "Made by ol-report " OL_VERSION ".");
}
