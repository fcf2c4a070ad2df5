/* The sections of a model's page, in order. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"
#include "report/sentences.h"
#include "report/sentences_stream.h"
#include "report/text.h"

/* A sentence in a paragraph of its own, escaped. */
#define SAY(out, ...)                                                                    \
    (fputs("<p>", out), ol_text_print(out, __VA_ARGS__), fputs("</p>\n", out))

/* More would be a list, which tables are better at. */
enum { MOST_SENTENCES = 8 };

static void say_taken(char *taken, FILE *out)
{
    if (taken != NULL)
        SAY(out, "%s", taken);
    free(taken);
}

static void features(const struct ol_report_results *r, int64_t top, FILE *out)
{
    SAY(out,
        "An outlier feature is a hidden dimension with |x| \xe2\x89\xa5 %g at %g %% or "
        "more of the %" PRId64
        " sites (ln_attn and ln_mlp, the outputs of the norms before "
        "attention and before the MLP) and at %g %% or more of the token positions "
        "(LLM.int8, arXiv "
        "2208.07339).",
        r->criterion->threshold, 100 * r->criterion->min_layers, r->n_sites,
        100 * r->criterion->min_positions);
    if (!r->has_outliers)
        ol_page_absent(out, "The count of outlier features",
                       "It needs recorded tensors, or summaries made with the threshold "
                       "of this analysis.");
    else if (r->model->d_model > 0)
        SAY(out,
            "%" PRId64 " of %" PRId64 " dimensions (%.2f %%) qualify at least once.%s",
            r->unique->count, r->model->d_model,
            100 * (double)r->unique->count / (double)r->model->d_model,
            ol_report_rounds(r) ? " In bf16, other kinds of processors round sums "
                                  "otherwise: counts may differ by a few."
                                : "");
    ol_html_table(r, &ol_counts_table, top, out);
    const struct ol_phase_shift *p = r->blocks.phase_shift;
    if (p != NULL && p->n_features != OL_ABSENT && p->n_features_by_layers != OL_ABSENT)
        SAY(out,
            "Phase shift (%s): %s, with %s such features; by layers, as the paper "
            "counts, "
            "%s.",
            p->text != NULL ? p->text : "features at all sites",
            p->reached ? "reached" : "not reached", ol_text_count(p->n_features).text,
            ol_text_count(p->n_features_by_layers).text);
    ol_html_figure(r, &ol_features_figure, out);
    ol_html_table(r, &ol_features_table, top, out);
    ol_html_figure(r, &ol_onset_figure, out);
    const struct ol_onset *onset = r->blocks.onset;
    const struct ol_onset_feature *first = onset != NULL ? onset->features.items : NULL;
    for (int64_t i = 0; onset != NULL && i < onset->features.n && i < MOST_SENTENCES; i++)
        say_taken(ol_sentence_onset(&first[i]), out);
    ol_html_table(r, &ol_onset_table, top, out);
    ol_html_table(r, &ol_onset_life_table, top, out);
    ol_html_numbers(r, &ol_onset_sites_table, top, out);
}

const struct ol_html_section ol_html_sections[] = {
    {{"summary", "Summary"}, ol_html_summary},
    {{"features", "Outlier features"}, features},
    {{NULL, NULL}, NULL}};
