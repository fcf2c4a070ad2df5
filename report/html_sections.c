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

static void magnitudes(const struct ol_report_results *r, int64_t top, FILE *out)
{
    ol_html_figure(r, &ol_magnitudes_figure, out);
    ol_html_numbers(r, &ol_sites_table, top, out);
    ol_html_figure(r, &ol_stream_figure, out);
    ol_html_numbers(r, &ol_massive_layers_table, top, out);
}

static void distributions(const struct ol_report_results *r, int64_t top, FILE *out)
{
    ol_html_figure(r, &ol_histograms_figure, out);
    ol_html_figure(r, &ol_kurtosis_figure, out);
    ol_html_numbers(r, &ol_distributions_table, top, out);
}

static void massive(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_massive_block *m = r->blocks.massive;
    if (m == NULL) {
        ol_page_absent(out, "The list of massive activations", OL_NEEDS_SUMMARIES);
        return;
    }
    if (m->criterion != NULL)
        SAY(out,
            "A massive activation is a value of the residual stream with |x| > %g that "
            "is "
            "at least %g times the median of its layer (arXiv 2402.17762). Each token's "
            "four largest values are looked at.",
            m->criterion->min_magnitude, m->criterion->min_ratio);
    if (m->onset_layer == OL_ABSENT)
        SAY(out, "No layer has one.");
    const struct ol_massive_dimension *all = m->features.items;
    for (int64_t i = 0; i < m->features.n && i < MOST_SENTENCES; i++)
        say_taken(ol_sentence_massive(&all[i]), out);
    ol_html_table(r, &ol_massive_features_table, top, out);
    ol_html_table(r, &ol_massive_life_table, top, out);
    if (m->near.n > 0 && m->criterion != NULL)
        SAY(out,
            "Near misses are more than %g and %g to %g times the median: not massive by "
            "the criterion, and often the same dimensions earlier, later or on other "
            "tokens.",
            m->criterion->min_magnitude, m->criterion->near_ratio,
            m->criterion->min_ratio);
    ol_html_table(r, &ol_massive_near_table, top, out);
    ol_html_table(r, &ol_massive_tokens_table, top, out);
}

static void experts(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_super_block *s = r->blocks.super_experts;
    if (s != NULL && s->criterion != NULL)
        SAY(out,
            "A super expert puts out a magnitude above the %g-th percentile of all "
            "experts and above %g %% of the largest (here %s), in the first %g %% of the "
            "layers (arXiv 2507.23279).",
            s->criterion->percentile, 100 * s->criterion->min_share,
            ol_text_magnitude(s->limit).text, 100 * s->criterion->first_layers);
    if (s != NULL) {
        char *tile = ol_text_super_experts(s), *noise = ol_text_super_noise(s);
        SAY(out, "%s.%s%s", tile, noise != NULL ? " " : "", noise != NULL ? noise : "");
        free(noise);
        free(tile);
    }
    ol_html_table(r, &ol_super_experts_table, top, out);
    ol_html_figure(r, &ol_experts_figure, out);
    ol_html_table(r, &ol_robust_experts_table, top, out);
    ol_html_numbers(r, &ol_units_table, top, out);
}

static void attribution(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_attribution *a = r->blocks.attribution;
    if (a != NULL) {
        SAY(out, "Each dimension is asked about its own tokens: those where it is "
                 "massive, or those with an occurrence. What was written along its sign "
                 "up to its peak makes it; shares are of the sum of |x| at the peak.");
        const struct ol_attributed_feature *all = a->features.items;
        for (int64_t i = 0, n = 0; i < a->features.n && n < MOST_SENTENCES; i++)
            if (all[i].event != NULL && strcmp(all[i].event, "all") != 0) {
                say_taken(ol_sentence_event(&all[i]), out);
                n++;
            }
    }
    ol_html_figure(r, &ol_attribution_figure, out);
    ol_html_table(r, &ol_attribution_events_table, top, out);
    ol_html_table(r, &ol_attribution_table, top, out);
    ol_html_table(r, &ol_attribution_tokens_table, top, out);
    ol_html_figure(r, &ol_writes_figure, out);
    if (r->blocks.links.items == NULL)
        ol_page_absent(out, "The chain from residual dimension to writer",
                       OL_NEEDS_SUMMARIES);
    else if (r->blocks.links.n == 0)
        SAY(out, "No dimension is massive, so there is nothing to link.");
    else
        SAY(out, "Each row follows one massive dimension of the residual stream on its "
                 "own tokens: who makes it, and what is left of it behind the norms. An "
                 "outlier feature of the same number may be of other tokens.");
    ol_html_table(r, &ol_links_table, top, out);
}

static void tokens(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_tokens *t = r->blocks.tokens;
    ol_html_figure(r, &ol_positions_figure, out);
    ol_html_numbers(r, &ol_positions_table, top, out);
    ol_html_figure(r, &ol_feature_positions_figure, out);
    ol_html_numbers(r, &ol_feature_positions_table, top, out);
    ol_html_figure(r, &ol_site_positions_figure, out);
    ol_html_numbers(r, &ol_site_positions_table, top, out);
    if (t == NULL) {
        ol_page_absent(out, "The tokens that carry outliers",
                       "It needs summaries made with the threshold of this analysis "
                       "(ol-extract --threshold, without --no-summaries).");
        return;
    }
    if (t->first_token != NULL)
        say_taken(ol_sentence_share("First tokens", t->first_token), out);
    if (t->delimiters != NULL)
        say_taken(ol_sentence_share("Delimiters", t->delimiters), out);
    ol_html_table(r, &ol_token_shares_table, top, out);
    ol_html_table(r, &ol_token_counts_table, top, out);
    if (t->min_tokens != OL_ABSENT)
        SAY(out, "Tokens that are %s times or more in the text.",
            ol_text_count(t->min_tokens).text);
    ol_html_table(r, &ol_tokens_table, top, out);
}

static void sweep(const struct ol_report_results *r, int64_t top, FILE *out)
{
    ol_html_figure(r, &ol_sweep_figure, out);
    ol_html_figure(r, &ol_thresholds_figure, out);
    ol_html_numbers(r, &ol_sweep_table, top, out);
}

static void uncertainty(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_uncertainty *u = r->blocks.uncertainty;
    ol_html_figure(r, &ol_uncertainty_figure, out);
    ol_html_numbers(r, &ol_uncertainty_table, top, out);
    char *margin = ol_text_margin(r);
    if (margin != NULL)
        SAY(out, "%s", margin);
    free(margin);
    ol_html_table(r, &ol_margin_table, top, out);
    if (u != NULL && u->split_half != NULL && !isnan(u->split_half->jaccard))
        SAY(out,
            "Split in halves, the sequences give %" PRId64 " and %" PRId64 " unique "
            "features, of which %" PRId64 " are the same (Jaccard %.2f).",
            u->split_half->unique_a, u->split_half->unique_b, u->split_half->both,
            u->split_half->jaccard);
    if (u != NULL)
        ol_html_figure(r, &ol_consistency_figure, out);
    ol_html_numbers(r, &ol_consistency_table, top, out);
}

static void quantisation(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_quantisation *q = r->blocks.quantisation;
    ol_html_figure(r, &ol_quantisation_figure, out);
    if (q != NULL && q->sites.n > 0) {
        char *about = ol_text_quantisation(q);
        SAY(out, "%s", about);
        free(about);
    }
    ol_html_table(r, &ol_quantisation_ranking_table, top, out);
    ol_html_table(r, &ol_quantisation_table, top, out);
    if (q != NULL && q->down.n > 0)
        SAY(out, "%s", ol_text_down_inputs);
    ol_html_table(r, &ol_down_inputs_table, top, out);
    ol_html_table(r, &ol_down_errors_table, top, out);
    if (r->model->n_experts == 0)
        return;
    const struct ol_expert_quantisation *e = r->blocks.expert_quantisation;
    ol_html_figure(r, &ol_expert_quantisation_figure, out);
    if (e != NULL && e->most_tokens != OL_ABSENT)
        SAY(out,
            "Computed over up to %s tokens of each expert, drawn at random with a fixed "
            "seed. Scales that tokens share are those of all tokens of the layer.",
            ol_text_count(e->most_tokens).text);
    ol_html_table(r, &ol_expert_ranking_table, top, out);
    ol_html_table(r, &ol_expert_quantisation_table, top, out);
}

static void routers(const struct ol_report_results *r, int64_t top, FILE *out)
{
    if (r->model->n_experts == 0) {
        SAY(out, "This is a dense model: it has no routers.");
        return;
    }
    ol_html_figure(r, &ol_load_figure, out);
    ol_html_figure(r, &ol_entropy_figure, out);
    ol_html_numbers(r, &ol_router_table, top, out);
    ol_html_numbers(r, &ol_loads_table, top, out);
}

const struct ol_html_section ol_html_sections[] = {
    {{"summary", "Summary"}, ol_html_summary},
    {{"features", "Outlier features"}, features},
    {{"magnitudes", "Magnitudes by layer"}, magnitudes},
    {{"distributions", "Distributions"}, distributions},
    {{"massive", "Massive activations"}, massive},
    {{"experts", "Super experts"}, experts},
    {{"attribution", "Who writes them"}, attribution},
    {{"tokens", "Positions and tokens"}, tokens},
    {{"sweep", "Other criteria"}, sweep},
    {{"uncertainty", "Uncertainty"}, uncertainty},
    {{"quantisation", "Quantisation"}, quantisation},
    {{"routers", "Router load"}, routers},
    {{NULL, NULL}, NULL}};
