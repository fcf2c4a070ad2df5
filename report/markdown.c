/* The report for people: reads in a terminal as it is, and as Markdown on a code host. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/compare.h"
#include "report/format.h"
#include "report/markdown_text.h"
#include "report/runs.h"
#include "report/sentences.h"
#include "report/survey.h"
#include "report/table.h"
#include "report/text.h"

/* ---- one model ---- */

static void print_facts(const struct ol_report_results *r, FILE *out)
{
    char *total = ol_report_parameters(r->model->total_parameters),
         *active = ol_report_parameters(r->model->active_parameters);
    struct ol_table *t = ol_table_new("ll");
    ol_table_cell(t, "model");
    ol_table_cell(t, "%s", r->model->name);
    ol_table_cell(t, "family");
    ol_table_cell(t, "%s", r->model->family);
    ol_table_cell(t, "size");
    ol_table_cell(t, "%" PRId64 " layers, d_model %" PRId64 ", vocabulary %" PRId64,
                  r->model->n_layers, r->model->d_model, r->model->vocab_size);
    ol_table_cell(t, "experts");
    if (r->model->n_experts > 0)
        ol_table_cell(t, "%" PRId64 ", top %" PRId64, r->model->n_experts,
                      r->model->top_k);
    else
        ol_table_cell(t, "none (dense)");
    ol_table_cell(t, "parameters");
    ol_table_cell(t, "%s, %s active; stored as %s", total, active,
                  r->model->weight_format);
    if (*r->model->activations_config != '\0') {
        ol_table_cell(t, "activations");
        ol_table_cell(t, OL_TEXT_ACTIVATIONS, r->model->activations_config);
    }
    ol_table_cell(t, "run");
    char *run = ol_report_run(r);
    ol_table_cell(t, "%s", run);
    free(run);
    ol_table_cell(t, "text");
    ol_table_cell(t, "%s", r->input->source);
    ol_table_cell(t, "tokens");
    ol_table_cell(
        t, "%" PRId64 " in %" PRId64 " sequences, windowing %s, %s%s%s", r->n_tokens,
        r->n_sequences, r->input->windowing, r->input->bos ? "begun with BOS" : "no BOS",
        *r->input->tokenizer_file != '\0' ? ", ids by " : "", r->input->tokenizer_file);
    ol_table_cell(t, "perplexity");
    if (r->has_perplexity)
        ol_table_cell(t, "%s",
                      isnan(r->perplexity) ? "-" : ol_text_magnitude(r->perplexity).text);
    else
        ol_table_cell(t, ol_report_computed(r, "perplexity")
                             ? "not computed (--perplexity)"
                             : "not in these results");
    ol_table_print(t, out);
    free(active);
    free(total);
}

static void print_warnings(const struct ol_report_results *r, FILE *out)
{
    int state = 0;
    char *text;
    for (int n = 0; (text = ol_report_warning(r, &state)) != NULL; n++) {
        fputs(n == 0 ? "\n" : ">\n", out);
        ol_markdown_warning(NULL, text, out);
        free(text);
    }
}

static void write_model(const struct ol_report_results *r, int64_t top, FILE *out)
{
    fputs("# Outlier features of ", out);
    ol_markdown_put(r->model->name, out);
    if (*r->run->label != '\0') {
        fputs(" (", out);
        ol_markdown_put(r->run->label, out);
        fputs(")", out);
    }
    fputs("\n\n", out);
    print_facts(r, out);
    print_warnings(r, out);
    ol_markdown_sections(r, top, out);
}

/* ---- several ---- */

static void survey_grid(const char *title, struct ol_grid *g, FILE *out)
{
    if (ol_grid_rows(g) > 0) {
        fprintf(out, "\n## %s\n\n", title);
        ol_grid_markdown(g, INT64_MAX, out);
    }
    ol_grid_free(g);
}

/* One paragraph for each warning, with the runs that it is of. */
static void survey_warnings(const struct ol_report *report, FILE *out)
{
    int state = 0;
    char *text;
    while ((text = ol_runs_warning(report, &state)) != NULL) {
        fputc('\n', out);
        ol_markdown_warning(NULL, text, out);
        free(text);
    }
    struct ol_survey_warnings all;
    ol_survey_warnings_make(&all, report);
    for (int i = 0; i < all.n; i++) {
        fputc('\n', out);
        ol_markdown_warning(all.items[i].runs, all.items[i].text, out);
    }
    ol_survey_warnings_clear(&all);
}

static void write_survey(const struct ol_report *report, FILE *out)
{
    fprintf(out, "# Outlier features of %d models\n", report->n);
    survey_warnings(report, out);
    survey_grid("Architectures", ol_survey_architectures(report), out);
    survey_grid("Runs", ol_survey_runs(report), out);
    char *common = ol_survey_common(report);
    fputc('\n', out);
    ol_markdown_put(common, out);
    fputc('\n', out);
    free(common);
    survey_grid("Counts", ol_survey_counts(report), out);
    fputs("\nL% and S% are means and medians over the pairs; max is the largest "
          "magnitude at "
          "any site.\n",
          out);
    char *few = ol_survey_few_experts(report);
    if (few != NULL) {
        fputc('\n', out);
        ol_markdown_put(few, out);
        fputc('\n', out);
    }
    free(few);
    if (ol_survey_published(report) > 0)
        survey_grid("Published and measured", ol_survey_published_table(report), out);
    survey_grid("Massive dimensions and sinks", ol_survey_sinks(report), out);
    survey_grid("Errors of number formats, median site",
                ol_survey_quantisation(report, false), out);
    survey_grid("Errors of number formats, worst site",
                ol_survey_quantisation(report, true), out);
    survey_grid("Routing", ol_survey_routing(report), out);
}

static void write(const struct ol_report *report, FILE *out)
{
    if (report->n == 1)
        write_model(&report->results[0], report->top, out);
    else
        write_survey(report, out);
}

const struct ol_format ol_markdown_format = {.name = "markdown",
                                             .write = write,
                                             .write_diff = ol_diff_markdown,
                                             .write_trend = ol_trend_markdown};
