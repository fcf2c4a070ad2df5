/* Short sections of the Markdown report, one for each further block of the results. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/format.h"
#include "report/markdown.h"
#include "report/markdown_text.h"
#include "report/section.h"
#include "report/sentences.h"
#include "report/sentences_stream.h"
#include "report/text.h"

void ol_markdown_table(const struct ol_report_results *r,
                       const struct ol_table_source *table, int64_t top, FILE *out)
{
    struct ol_grid *g = ol_table_make(table, r);
    const int64_t n = g != NULL ? ol_grid_rows(g) : 0;
    if (n > 0) {
        fputc('\n', out);
        if (n > top)
            fprintf(out, "%s: the first %" PRId64 " of %" PRId64 ".\n\n", table->title,
                    top, n);
        ol_grid_markdown(g, top, out);
    }
    ol_grid_free(g);
}

/* A paragraph in lines of at most WIDTH bytes, where words allow. */
static void put_paragraph(const char *text, FILE *out)
{
    enum { WIDTH = 88 };
    size_t column = 0;
    while (*text != '\0') {
        const size_t n = strcspn(text, " ");
        if (column > 0 && column + 1 + n > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s%.*s", column > 0 ? " " : "", (int)n, text);
        text += n;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* More would be a list, which tables are better at. */
enum { MOST_SENTENCES = 8 };

void ol_markdown_item(char *taken, FILE *out)
{
    enum { WIDTH = 88 };
    size_t at = 1; /* characters of the line so far */
    if (taken == NULL)
        return;
    fputc('-', out);
    for (char *word = strtok(taken, " "); word != NULL; word = strtok(NULL, " ")) {
        size_t n = 0;
        for (const char *c = word; *c != '\0'; c++)
            n += ((unsigned char)*c & 0xc0) != 0x80;
        if (at + 1 + n > WIDTH) {
            fputs("\n ", out);
            at = 1;
        }
        fprintf(out, " %s", word);
        at += 1 + n;
    }
    fputc('\n', out);
    free(taken);
}

static void put_massive(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_massive_block *m = r->blocks.massive;
    if (m == NULL)
        return;
    fputs("\n## Massive activations\n\n", out);
    if (m->criterion != NULL)
        fprintf(out,
                "Values of the residual stream with |x| > %g and at least %g times the "
                "median of their\nlayer (arXiv 2402.17762).",
                m->criterion->min_magnitude, m->criterion->min_ratio);
    fputs(m->onset_layer == OL_ABSENT ? " No layer has one.\n" : "\n\n", out);
    const struct ol_massive_dimension *features = m->features.items;
    for (int64_t i = 0; i < m->features.n && i < MOST_SENTENCES; i++)
        ol_markdown_item(ol_sentence_massive(&features[i]), out);
    ol_markdown_table(r, &ol_massive_features_table, top, out);
    if (m->near.n > 0 && m->criterion != NULL)
        fprintf(out,
                "\n### Near misses\n\nMore than %g and %g to %g times the median: not "
                "massive by the criterion, and often\nthe same dimensions earlier, later "
                "or on other tokens.\n",
                m->criterion->min_magnitude, m->criterion->near_ratio,
                m->criterion->min_ratio);
    ol_markdown_table(r, &ol_massive_near_table, top, out);
    if (m->tokens.n > 0)
        fputs("\n### Their tokens\n", out);
    ol_markdown_table(r, &ol_massive_tokens_table, top, out);
}

static void put_experts(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_super_block *s = r->blocks.super_experts;
    if (s == NULL)
        return;
    char *tile = ol_text_super_experts(s), *noise = ol_text_super_noise(s);
    fprintf(out, "\n## Super experts\n\n%s.\n", tile);
    if (s->criterion != NULL)
        fprintf(out,
                "The published rule: output above the %g-th percentile and %g %% of the "
                "largest,\nin the first %g %% of the layers (arXiv 2507.23279).\n",
                s->criterion->percentile, 100 * s->criterion->min_share,
                100 * s->criterion->first_layers);
    if (noise != NULL) {
        fputc('\n', out);
        put_paragraph(noise, out);
    }
    ol_markdown_table(r, &ol_super_experts_table, top, out);
    free(noise);
    free(tile);
}

/* Each dimension about its own tokens; about all tokens, and every writer, in CSV. */
static void put_attribution(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_attribution *a = r->blocks.attribution;
    if (a == NULL)
        return;
    fputs("\n## Who writes them\n\nEach dimension is asked about its own tokens: those "
          "where it is massive, or those with\nan occurrence. What was written along "
          "its sign up to its peak makes it; shares are of\nthe sum of |x| at the "
          "peak.\n\n",
          out);
    const struct ol_attributed_feature *features = a->features.items;
    int64_t own = 0; /* asked about its own tokens */
    for (int64_t i = 0; i < a->features.n; i++)
        if (features[i].event != NULL && strcmp(features[i].event, "all") != 0 &&
            own++ < MOST_SENTENCES)
            ol_markdown_item(ol_sentence_event(&features[i]), out);
    ol_markdown_table(r, &ol_attribution_events_table, own > 0 && own < top ? own : top,
                      out);
    if (r->blocks.links.n > 0)
        fputs("\n### What the norms make of them\n\nOn the same tokens, at any norm's "
              "output.\n",
              out);
    ol_markdown_table(r, &ol_links_table, top, out);
}

static void put_tokens(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_tokens *t = r->blocks.tokens;
    if (t == NULL)
        return;
    fputs("\n## Tokens\n\n", out);
    if (t->first_token != NULL)
        ol_markdown_item(ol_sentence_share("First tokens", t->first_token), out);
    if (t->delimiters != NULL)
        ol_markdown_item(ol_sentence_share("Delimiters", t->delimiters), out);
    ol_markdown_table(r, &ol_token_counts_table, top, out);
    ol_markdown_table(r, &ol_tokens_table, top, out);
}

static void put_uncertainty(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_uncertainty *u = r->blocks.uncertainty;
    if (u == NULL)
        return;
    fprintf(out, "\n## Uncertainty\n\n");
    if (u->resamples > 0 && !isnan(u->level))
        fprintf(out,
                "%g %% intervals from %" PRId64 " resamples of the sequences (seed "
                "%" PRId64
                "), of the mean over such\nsequences. unique has none: what is "
                "drawn twice finds nothing new.\n",
                100 * u->level, u->resamples, u->seed == OL_ABSENT ? 0 : u->seed);
    char *margin = ol_text_margin(r);
    if (margin != NULL)
        put_paragraph(margin, out);
    free(margin);
    if (u->split_half != NULL && !isnan(u->split_half->jaccard))
        fprintf(out,
                "Halves of the sequences give %" PRId64 " and %" PRId64
                " unique features, %" PRId64 " in both (Jaccard %.2f).\n",
                u->split_half->unique_a, u->split_half->unique_b, u->split_half->both,
                u->split_half->jaccard);
    ol_markdown_table(r, &ol_uncertainty_table, top, out);
    ol_markdown_table(r, &ol_margin_table, top, out);
}

static void put_phase_shift(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_phase_shift *p = r->blocks.phase_shift;
    (void)top;
    if (p == NULL || p->n_features == OL_ABSENT || p->n_features_by_layers == OL_ABSENT)
        return;
    fputs("\n## Phase shift\n\n", out);
    ol_markdown_put(p->text != NULL ? p->text : "features at all sites", out);
    fprintf(out, ": %s,\n%s features; by layers, as the paper counts, %s.\n",
            p->reached ? "reached" : "not reached", ol_text_count(p->n_features).text,
            ol_text_count(p->n_features_by_layers).text);
}

/* The worst few by each method, and what else is known of them. */
static void put_quantised_sites(const struct ol_quantisation *q, FILE *out)
{
    enum { MOST = 3 };
    static const struct ol_column columns[] = {
        {"method", "method", OL_COLUMN_TEXT},
        {"layer", "layer", OL_COLUMN_LABEL},
        {"site", "site", OL_COLUMN_TEXT},
        {"error", "error, %", OL_COLUMN_MAGNITUDE},
        {"token_median", "median token", OL_COLUMN_MAGNITUDE},
        {"without_dims", "less dims", OL_COLUMN_MAGNITUDE},
        {"without_tokens", "less tokens", OL_COLUMN_MAGNITUDE},
        {"zeroed", "to 0, %", OL_COLUMN_PERCENT},
        {0}};
    char *about = ol_text_quantisation(q);
    struct ol_grid *g = ol_grid_new(columns);
    for (int64_t m = 0; m < q->methods.n; m++) {
        int64_t order[MOST];
        const int n = ol_quantised_worst(q, m, MOST, order);
        for (int k = 0; k < n; k++) {
            const struct ol_quantised_site *s =
                &((const struct ol_quantised_site *)q->sites.items)[order[k]];
            ol_grid_text(g, ((const char *const *)q->methods.items)[m]);
            ol_grid_int(g, s->layer);
            ol_grid_text(g, s->site);
            ol_grid_real(g, 100 * ol_quantised_at(&s->error, m));
            ol_grid_real(g, 100 * ol_quantised_at(&s->token_median, m));
            ol_grid_real(g, 100 * ol_quantised_at(&s->error_without_dims, m));
            ol_grid_real(g, 100 * ol_quantised_at(&s->error_without_tokens, m));
            ol_grid_real(g, ol_quantised_at(&s->zeroed, m));
        }
    }
    fputs("Relative error (RMS) if a site's activations were stored "
          "in a number format: the worst\nsites by each.\n",
          out);
    put_paragraph(about, out);
    fputc('\n', out);
    ol_grid_markdown(g, INT64_MAX, out);
    ol_grid_free(g);
    free(about);
}

static void put_quantisation(const struct ol_report_results *r, FILE *out)
{
    enum { MOST_DOWN = 5, MOST_ERRORS = 2 };
    const struct ol_quantisation *q = r->blocks.quantisation;
    if (q == NULL)
        return;
    fputs("\n## Quantisation\n\n", out);
    if (q->sites.n > 0)
        put_quantised_sites(q, out);
    else
        put_paragraph(ol_text_no_quantised_sites, out);
    if (q->down.n == 0)
        return;
    fputs("\n### Inputs of the down projections\n\n", out);
    put_paragraph(ol_text_down_inputs, out);
    ol_markdown_table(r, &ol_down_inputs_table, MOST_DOWN, out);
    struct ol_grid *errors = ol_down_errors_grid(q, MOST_ERRORS);
    if (ol_grid_rows(errors) > 0) {
        fputs("\nRelative error (RMS) of rounding these: the worst by each method.\n\n",
              out);
        ol_grid_markdown(errors, INT64_MAX, out);
    }
    ol_grid_free(errors);
}

/* The worst few by each method: the rest is in HTML and CSV. */
static void put_expert_quantisation(const struct ol_report_results *r, FILE *out)
{
    enum { MOST = 3 };
    static const struct ol_column columns[] = {
        {"method", "method", OL_COLUMN_TEXT},
        {"layer", "layer", OL_COLUMN_LABEL},
        {"expert", "expert", OL_COLUMN_LABEL},
        {"n_tokens", "tokens looked at", OL_COLUMN_COUNT},
        {"error", "relative error, %", OL_COLUMN_MAGNITUDE},
        {0}};
    const struct ol_expert_quantisation *q = r->blocks.expert_quantisation;
    if (q == NULL || q->ranking.n == 0)
        return;
    const struct ol_expert_rank *ranks = q->ranking.items;
    struct ol_grid *g = ol_grid_new(columns);
    int n = 0;
    for (int64_t i = 0; i < q->ranking.n; i++) {
        if (ranks[i].method == NULL)
            continue;
        n = i > 0 && ranks[i - 1].method != NULL &&
                    strcmp(ranks[i].method, ranks[i - 1].method) == 0
                ? n + 1
                : 0;
        if (n >= MOST)
            continue;
        ol_grid_text(g, ranks[i].method);
        ol_grid_int(g, ranks[i].layer);
        ol_grid_int(g, ranks[i].expert);
        ol_grid_int(g, ranks[i].n_tokens);
        ol_grid_real(g, 100 * ranks[i].error);
    }
    fputs("\n### Experts\n\nThe routed experts whose input suffers most, by each format, "
          "on a sample of\ntheir tokens.\n\n",
          out);
    ol_grid_markdown(g, INT64_MAX, out);
    ol_grid_free(g);
}

void ol_markdown_blocks(const struct ol_report_results *r, int64_t top, FILE *out)
{
    put_phase_shift(r, top, out);
    ol_markdown_onset(r, top, out);
    ol_markdown_distributions(r, top, out);
    put_massive(r, top, out);
    put_experts(r, top, out);
    put_attribution(r, top, out);
    put_tokens(r, top, out);
    ol_markdown_positions(r, top, out);
    ol_markdown_sweep(r, out);
    put_uncertainty(r, top, out);
    put_quantisation(r, out);
    put_expert_quantisation(r, out);
}

/* ---- sections of neutral parts ---- */

static void say(struct ol_section_out *to, const char *text)
{
    char *escaped = ol_markdown_text(text);
    fputc('\n', to->out);
    put_paragraph(escaped, to->out);
    free(escaped);
}

static void list(struct ol_section_out *to, const char *text)
{
    if (!to->in_list)
        fputc('\n', to->out);
    ol_markdown_item(ol_markdown_text(text), to->out);
}

/* Its numbers alone. */
static void show_figure(struct ol_section_out *to, const struct ol_figure *figure,
                        const struct ol_table_source *numbers)
{
    (void)figure;
    ol_markdown_table(to->r, numbers, to->top, to->out);
}

static void show_table(struct ol_section_out *to, const struct ol_table_source *table)
{
    ol_markdown_table(to->r, table, to->top, to->out);
}

const struct ol_section_format ol_markdown_section_format = {
    .say = say, .item = list, .figure = show_figure, .table = show_table};

void ol_markdown_sections(const struct ol_report_results *r, int64_t top, FILE *out)
{
    struct ol_section_out to = {&ol_markdown_section_format, r, top, out, false};
    for (const struct ol_section *const *s = ol_sections; *s != NULL; s++) {
        if (!(*s)->has(r))
            continue;
        fprintf(out, "\n## %s\n", (*s)->title);
        (*s)->write(r, &to);
    }
}
