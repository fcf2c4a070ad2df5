/* The report for people: reads in a terminal as it is, and as Markdown on a code host. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "report/compare.h"
#include "report/format.h"
#include "report/markdown_text.h"
#include "report/runs.h"
#include "report/sentences.h"
#include "report/survey.h"
#include "report/table.h"
#include "report/text.h"

static double percent(double fraction)
{
    return 100 * fraction;
}

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

/* Beside what was found where both answer one question. */
static void print_published(const struct ol_report_results *r, FILE *out)
{
    const struct ol_published *p = &r->published;
    if (p->json == NULL)
        return;
    char *against = ol_compare_published(r);
    fputs("\nPublished (", out);
    ol_markdown_put(p->study, out);
    fputs("; ", out);
    ol_markdown_put(p->text, out);
    fprintf(out, "): %" PRId64 " pairs, mean L%% %.1f, mean S%% %.1f", p->pairs,
            p->mean_layer_percent, p->mean_position_percent);
    if (against != NULL) {
        fputs(";\nnot comparable: ", out);
        ol_markdown_put(against, out);
        fputs(".\n", out);
    } else if (r->has_pairs) {
        fprintf(out, "; here: %" PRId64 ", %.1f, %.1f.\n", r->pairs->count,
                percent(r->pairs->mean_layer_fraction),
                percent(r->pairs->mean_position_fraction));
    } else {
        fprintf(out, "; here: %" PRId64 ".\n", r->pairs->count);
    }
    fputs("Only ol-extract --windowing reference cuts sequences as that study does.\n",
          out);
    free(against);
}

static void print_counts(const struct ol_report_results *r, FILE *out)
{
    fprintf(
        out,
        "\n## Outlier features\n\n"
        "An outlier feature is a hidden dimension with |x| \xe2\x89\xa5 %g at %g %% or "
        "more of "
        "the sites\n(ln_attn and ln_mlp, the outputs of the norms before attention and "
        "before the MLP, %" PRId64
        "\nhere) and at %g %% or more of the token positions (LLM.int8, "
        "arXiv 2208.07339).\n\n",
        r->criterion->threshold, percent(r->criterion->min_layers), r->n_sites,
        percent(r->criterion->min_positions));
    struct ol_table *t = ol_table_new("lrl");
    ol_table_cell(t, "count");
    ol_table_cell(t, "value");
    ol_table_cell(t, "what is counted");
    ol_table_cell(t, "pairs");
    ol_table_cell(t, "%" PRId64, r->pairs->count);
    ol_table_cell(t,
                  "(feature, batch) pairs over %" PRId64 " batches of %" PRId64
                  ": the published count",
                  r->n_batches, r->criterion->batch_size);
    ol_table_cell(t, "unique");
    ol_table_cell(t, "%" PRId64, r->unique->count);
    ol_table_cell(t, "features that qualify in at least one batch");
    ol_table_cell(t, "pooled");
    ol_table_cell(t, "%" PRId64, r->pooled->count);
    ol_table_cell(t, "features that qualify over all sequences together");
    ol_table_cell(t, "strict");
    ol_table_cell(t, "%" PRId64, r->strict->count);
    ol_table_cell(t, "as pooled, positions averaged over all sites");
    ol_table_print(t, out);
    if (r->has_pairs)
        fprintf(
            out,
            "\nOver the pairs: sites (the study's L%%) mean %.1f, median %.1f; positions "
            "(S%%) mean %.1f, median %.1f.\n",
            percent(r->pairs->mean_layer_fraction),
            percent(r->pairs->median_layer_fraction),
            percent(r->pairs->mean_position_fraction),
            percent(r->pairs->median_position_fraction));
    if (r->has_pairs && !isnan(r->pairs->mean_distinct_layer_fraction))
        fprintf(out,
                "A layer has two sites; of the layers, that is mean %.1f %%, median %.1f "
                "%%.\n",
                percent(r->pairs->mean_distinct_layer_fraction),
                percent(r->pairs->median_distinct_layer_fraction));
    print_published(r, out);
    fprintf(out,
            "\n%" PRId64 " of %" PRId64
            " dimensions (%.2f %%) qualify at least once.%s\n",
            r->unique->count, r->model->d_model,
            percent((double)r->unique->count / (double)r->model->d_model),
            ol_report_rounds(r) ? " In bf16,\nother kinds of processors round sums "
                                  "otherwise: counts may differ by a few."
                                : "");
}

static void print_features(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_int8_features *block = r->unique;
    if (block->features.n == 0)
        return;
    const int64_t n = block->features.n < top ? block->features.n : top;
    fprintf(out, "\n## Largest features\n\n");
    if (n < block->features.n)
        fprintf(out, "The first %" PRId64 " of %" PRId64 " by magnitude.\n\n", n,
                block->features.n);
    struct ol_table *t = ol_table_new("rrrrrrrl");
    static const char *const header[] = {"feature",     "max",         "sites %",
                                         "layers %",    "positions %", "batches",
                                         "occurrences", "sign"};
    for (size_t i = 0; i < sizeof header / sizeof header[0]; i++)
        ol_table_cell(t, "%s", header[i]);
    for (int64_t i = 0; i < n; i++) {
        const struct ol_int8_feature *f = ol_report_feature(block, i);
        ol_table_cell(t, "%" PRId64, f->feature);
        ol_table_cell(t, "%s", ol_text_magnitude(f->max_magnitude).text);
        ol_table_cell(t, "%.1f", percent(f->layer_fraction));
        ol_table_cell(t, isnan(f->extent.distinct_layer_fraction) ? "-" : "%.1f",
                      percent(f->extent.distinct_layer_fraction));
        ol_table_cell(t, "%.1f", percent(f->position_fraction));
        ol_table_cell(t, "%" PRId64 "/%" PRId64, f->batches, r->n_batches);
        ol_table_cell(t, "%" PRId64, f->occurrences);
        ol_table_cell(t, "%s", ol_report_sign(f));
    }
    ol_table_print(t, out);
}

/* In how many batches the unique features qualify. */
static void print_consistency(const struct ol_report_results *r, FILE *out)
{
    if (r->unique->features.n == 0 || r->n_batches < 2)
        return;
    int64_t all = 0, half = 0, one = 0;
    for (int64_t i = 0; i < r->unique->features.n; i++) {
        const int64_t batches = ol_report_feature(r->unique, i)->batches;
        all += batches == r->n_batches;
        half += 2 * batches >= r->n_batches;
        one += batches == 1;
    }
    fprintf(out,
            "\n## Consistency over sequences\n\n"
            "Of %" PRId64 " features, %" PRId64 " qualify in all %" PRId64
            " batches, %" PRId64 " in half of them or more, %" PRId64 " in one only.\n",
            r->unique->features.n, all, r->n_batches, half, one);
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
    if (r->has_outliers) {
        print_counts(r, out);
        print_features(r, top, out);
        print_consistency(r, out);
    }
    ol_markdown_blocks(r, top, out);
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
    if (ol_survey_published(report) > 0)
        survey_grid("Published and measured", ol_survey_published_table(report), out);
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

const struct ol_format ol_markdown_format = {
    .name = "markdown", .write = write, .write_diff = ol_diff_markdown};
