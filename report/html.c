/* The report as one HTML page: of one model here, of several in html_survey.c. */
#include "report/format.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "common/version.h"
#include "report/compare.h"
#include "report/page.h"
#include "report/section.h"
#include "report/sentences.h"
#include "report/text.h"

enum { OPEN_ROWS = 12, LONG_ROWS = 100, MOST_SECTIONS = 64 };

/* With its caption; or a sentence that says what would be needed. */
static void put_figure(const struct ol_report_results *r, const struct ol_figure *f,
                       FILE *out)
{
    if (!f->has(r)) {
        ol_page_absent(out, f->title, f->needs);
        return;
    }
    ol_page_begin_figure(out, f->name, f->title);
    f->draw(r, &(struct ol_canvas){.out = out, .title = f->title});
    ol_page_end_figure(out, f->title, f->caption);
}

/* Folded: one that is long, or repeats a figure. */
static void put_table(const struct ol_report_results *r, const struct ol_table_source *t,
                      int64_t top, bool repeats, FILE *out)
{
    struct ol_grid *g = ol_table_make(t, r);
    const int64_t n = g != NULL ? ol_grid_rows(g) : 0,
                  most = top > LONG_ROWS ? top : LONG_ROWS;
    const bool folded = n > 0 && (repeats || n > OPEN_ROWS);
    if (folded) {
        fputs("<details><summary>", out);
        ol_text_print(out, repeats ? "%s: the figure in numbers, %s rows" : "%s: %s rows",
                      t->title, ol_text_count(n).text);
        fputs("</summary>\n", out);
    }
    if (n > most) {
        fputs("<p class=\"mu\">", out);
        ol_text_print(out,
                      "The first %" PRId64 " of %s; all of them: ol-report --format "
                      "csv --table %s",
                      most, ol_text_count(n).text, t->name);
        fputs("</p>\n", out);
    }
    if (n > 0)
        ol_grid_html(g, t->title, most, out);
    fputs(folded ? "</details>\n" : "", out);
    ol_grid_free(g);
}

/* ---- what the model is, and what was found ---- */

static void fact(FILE *out, const char *name, const char *text)
{
    fprintf(out, "<dt>%s</dt><dd>", name);
    ol_text_escape(text[0] != '\0' ? text : "not known", out);
    fputs("</dd>\n", out);
}

static void put_facts(const struct ol_report_results *r, FILE *out)
{
    char *total = ol_report_parameters(r->model->total_parameters),
         *active = ol_report_parameters(r->model->active_parameters),
         *experts = r->model->n_experts > 0
                        ? ol_xasprintf("%" PRId64 ", top %" PRId64, r->model->n_experts,
                                       r->model->top_k)
                        : ol_xstrdup("none (dense)"),
         *size = ol_xasprintf("%" PRId64 " layers, d_model %" PRId64, r->model->n_layers,
                              r->model->d_model),
         *parameters = ol_xasprintf("%s, %s active; stored as %s", total, active,
                                    r->model->weight_format),
         *run = ol_report_run(r),
         *text = ol_xasprintf("%s; %s tokens in %s sequences, windowing %s, %s%s%s",
                              r->input->source, ol_text_count(r->n_tokens).text,
                              ol_text_count(r->n_sequences).text, r->input->windowing,
                              r->input->bos ? "begun with BOS" : "no BOS",
                              *r->input->tokenizer_file != '\0' ? ", ids by " : "",
                              r->input->tokenizer_file);
    fputs("<dl class=\"facts\">\n", out);
    fact(out, "family", r->model->family);
    fact(out, "size", size);
    fact(out, "experts", experts);
    fact(out, "parameters", parameters);
    if (*r->model->activations_config != '\0') {
        char *activations =
            ol_xasprintf(OL_TEXT_ACTIVATIONS, r->model->activations_config);
        fact(out, "activations", activations);
        free(activations);
    }
    fact(out, "text", text);
    fact(out, "run", run);
    if (*r->run->label != '\0')
        fact(out, "label", r->run->label);
    fputs("</dl>\n", out);
    free(text);
    free(run);
    free(parameters);
    free(size);
    free(experts);
    free(active);
    free(total);
}

static void interval_note(const struct ol_uncertainty *u, const struct ol_interval *i,
                          const char *otherwise, char note[128])
{
    if (u != NULL && i != NULL && !isnan(i->low) && !isnan(i->high))
        snprintf(note, 128, "%.4g to %.4g (%.0f %% interval)", i->low, i->high,
                 100 * u->level);
    else
        snprintf(note, 128, "%s", otherwise);
}

static void count_card(const struct ol_report_results *r, const char *name, int64_t n,
                       const struct ol_interval *i, const char *meaning, FILE *out)
{
    char note[128];
    interval_note(r->blocks.uncertainty, i, meaning, note);
    ol_page_card(out, name, ol_text_count(n).text, note);
}

/* An interval knows nothing of other thresholds. */
static void pairs_card(const struct ol_report_results *r, const struct ol_interval *i,
                       FILE *out)
{
    char note[128];
    char *margin = ol_text_margin_range(r);
    interval_note(r->blocks.uncertainty, i, "(feature, batch) pairs", note);
    char *whole = ol_xasprintf("%s%s%s", note, margin != NULL ? "; " : "",
                               margin != NULL ? margin : "");
    ol_page_card(out, "pairs", ol_text_count(r->pairs->count).text, whole);
    free(whole);
    free(margin);
}

static void put_cards(const struct ol_report_results *r, FILE *out)
{
    const struct ol_uncertainty *u = r->blocks.uncertainty;
    fputs("<dl class=\"cards\">\n", out);
    if (r->has_outliers) {
        pairs_card(r, u != NULL ? u->pairs : NULL, out);
        count_card(r, "unique", r->unique->count, u != NULL ? u->unique : NULL,
                   "in at least one batch", out);
        count_card(r, "pooled", r->pooled->count, u != NULL ? u->pooled : NULL,
                   "over all sequences", out);
        count_card(r, "strict", r->strict->count, NULL, "averaged over sites", out);
    }
    if (r->has_pairs) {
        char value[64], note[128];
        snprintf(value, sizeof value, "%s %%",
                 ol_text_percent(r->pairs->mean_layer_fraction).text);
        snprintf(note, sizeof note, "median %s %%; of layers %s %%",
                 ol_text_percent(r->pairs->median_layer_fraction).text,
                 ol_text_percent(r->pairs->mean_distinct_layer_fraction).text);
        ol_page_card(out, "mean sites (L%)", value, note);
        snprintf(value, sizeof value, "%s %%",
                 ol_text_percent(r->pairs->mean_position_fraction).text);
        snprintf(note, sizeof note, "median %s %%",
                 ol_text_percent(r->pairs->median_position_fraction).text);
        ol_page_card(out, "mean positions (S%)", value, note);
    }
    if (r->has_perplexity)
        ol_page_card(out, "perplexity", ol_text_magnitude(r->perplexity).text,
                     "of the same text");
    if (r->blocks.super_experts != NULL) {
        char *tile = ol_text_super_experts(r->blocks.super_experts);
        ol_page_card(out, "super experts",
                     ol_text_count(r->blocks.super_experts->experts.n).text, tile);
        free(tile);
    }
    if (r->blocks.massive != NULL)
        ol_page_card(out, "massive dimensions",
                     ol_text_count(r->blocks.massive->features.n).text,
                     "of the residual stream");
    fputs("</dl>\n", out);
}

static void put_warnings(const struct ol_report_results *r, FILE *out)
{
    int state = 0;
    char *text;
    while ((text = ol_report_warning(r, &state)) != NULL) {
        ol_page_warning(out, text);
        free(text);
    }
}

/* Beside what was found where both answer one question. */
static void put_published(const struct ol_report_results *r, FILE *out)
{
    const struct ol_published *p = &r->published;
    if (p->json == NULL)
        return;
    char *against = ol_compare_published(r);
    fputs("<h3>Published and measured</h3>\n", out);
    put_table(r, ol_table_find("published"), INT64_MAX, false, out);
    fputs("<p>", out);
    if (against != NULL)
        ol_text_print(out, "Not comparable: %s. ", against);
    ol_text_print(out,
                  "Only ol-extract --windowing reference cuts sequences as that study "
                  "does.");
    fputs("</p>\n", out);
    free(against);
}

static void put_summary(const struct ol_report_results *r, FILE *out)
{
    put_cards(r, out);
    put_facts(r, out);
    put_warnings(r, out);
    put_published(r, out);
}

/* ---- sections of neutral elements ---- */

static void say(struct ol_section_out *to, const char *text)
{
    fputs("<p>", to->out);
    ol_text_escape(text, to->out);
    fputs("</p>\n", to->out);
}

static void no_heading(struct ol_section_out *to, const char *title)
{
    (void)to;
    (void)title;
}

static void show_figure(struct ol_section_out *to, const struct ol_figure *figure)
{
    put_figure(to->r, figure, to->out);
}

static void show_table(struct ol_section_out *to, const struct ol_table_source *table,
                       int64_t most)
{
    (void)most;
    put_table(to->r, table, to->top, false, to->out);
}

static void show_numbers(struct ol_section_out *to, const struct ol_table_source *table)
{
    put_table(to->r, table, to->top, true, to->out);
}

static void show_absent(struct ol_section_out *to, const char *what, const char *needs)
{
    ol_page_absent(to->out, what, needs);
}

const struct ol_section_format ol_html_section_format = {.figures = true,
                                                         .say = say,
                                                         .item = say,
                                                         .heading = no_heading,
                                                         .figure = show_figure,
                                                         .table = show_table,
                                                         .numbers = show_numbers,
                                                         .absent = show_absent};

/* A section without a name goes on in the one before it. */
static void write_sections(const struct ol_report_results *r, int64_t top, FILE *out)
{
    struct ol_section_out to = {&ol_html_section_format, r, top, out, false};
    for (const struct ol_section *const *s = ol_sections; *s != NULL; s++) {
        if ((*s)->id != NULL)
            ol_page_begin_section(out, &(struct ol_page_section){(*s)->id, (*s)->title});
        (*s)->write(r, &to);
        if (s[1] == NULL || s[1]->id != NULL)
            ol_page_end_section(out);
    }
}

static void write_model(const struct ol_report_results *r, int64_t top, FILE *out)
{
    struct ol_page_section contents[MOST_SECTIONS + 1] = {{"summary", "Summary"}};
    int n = 1;
    for (const struct ol_section *const *s = ol_sections; *s != NULL; s++)
        if ((*s)->id != NULL)
            contents[n++] = (struct ol_page_section){(*s)->id, (*s)->title};
    const bool labelled = *r->run->label != '\0';
    char *title = ol_xasprintf("Outlier features of %s%s%s%s", r->model->name,
                               labelled ? " (" : "", r->run->label, labelled ? ")" : "");
    char *subtitle = ol_xasprintf(
        "%s, %" PRId64
        " layer%s, %s token%s; |x| \xe2\x89\xa5 %g at %g %% of the sites and "
        "%g %% of the positions",
        r->model->n_experts > 0 ? "Mixture of Experts" : "dense model",
        r->model->n_layers, r->model->n_layers == 1 ? "" : "s",
        ol_text_count(r->n_tokens).text, r->n_tokens == 1 ? "" : "s",
        r->criterion->threshold, 100 * r->criterion->min_layers,
        100 * r->criterion->min_positions);
    ol_page_open(out, title, subtitle, false, contents);
    ol_page_begin_section(out, &contents[0]);
    put_summary(r, out);
    ol_page_end_section(out);
    write_sections(r, top, out);
    char *origin = ol_xasprintf(
        "Made by ol-report %s from results of ol-analyze %s (%s), activations "
        "of %s.",
        OL_VERSION, r->tool_version, r->command_line, r->run->created);
    ol_page_close(out, origin);
    free(origin);
    free(subtitle);
    free(title);
}

static void write(const struct ol_report *report, FILE *out)
{
    if (report->n == 1)
        write_model(&report->results[0], report->top, out);
    else
        ol_html_survey(report, out);
}

const struct ol_format ol_html_format = {.name = "html",
                                         .write = write,
                                         .write_diff = ol_diff_html,
                                         .write_trend = ol_trend_html};
