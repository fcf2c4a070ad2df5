/* A comparison of two results as Markdown, as a page and as JSON: the parts are described
 * once, and each format goes through them. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/version.h"
#include "report/diff.h"
#include "report/diff_choices.h"
#include "report/diff_stream.h"
#include "report/format.h"
#include "report/markdown_text.h"
#include "report/page.h"
#include "report/runs.h"
#include "report/text.h"

enum { MOST_TABLES = 4, DIFF_VERSION = 1 };

struct diff_table {
    const char *key, *title; /* in JSON; for people */
    struct ol_grid *(*make)(const struct ol_diff *d);
    bool whole; /* in Markdown with all of its rows */
    bool page;  /* not in Markdown */
};

/* One part of the comparison; the callers free sentences. */
struct diff_part {
    struct ol_page_section section;
    char *(*sentence)(const struct ol_diff *d); /* or NULL */
    /* Whether the two can be compared in this; NULL: always. */
    bool (*has)(const struct ol_diff *d);
    /* Whether Markdown has it; NULL: always. */
    bool (*wanted)(const struct ol_diff *d);
    struct diff_table tables[MOST_TABLES];
};

/* ---- the parts ---- */

static char *feature_sentence(const struct ol_diff *d)
{
    if (!d->comparable)
        return ol_xstrdup("The features are not compared: both results must have counts, "
                          "of models of one lineage.");
    return ol_xasprintf("Of the unique features, %" PRId64 " are gained, %" PRId64
                        " lost, %" PRId64 " moved and %" PRId64 " kept as they are.",
                        d->n_features[OL_DIFF_GAINED], d->n_features[OL_DIFF_LOST],
                        d->n_features[OL_DIFF_MOVED], d->n_features[OL_DIFF_KEPT]);
}

static bool has_features(const struct ol_diff *d)
{
    return d->comparable;
}

static struct ol_grid *gained(const struct ol_diff *d)
{
    return ol_diff_features(d, OL_DIFF_GAINED);
}

static struct ol_grid *lost(const struct ol_diff *d)
{
    return ol_diff_features(d, OL_DIFF_LOST);
}

static struct ol_grid *moved(const struct ol_diff *d)
{
    return ol_diff_features(d, OL_DIFF_MOVED);
}

static struct ol_grid *kept(const struct ol_diff *d)
{
    return ol_diff_features(d, OL_DIFF_KEPT);
}

static char *expert_sentence(const struct ol_diff *d)
{
    if (!d->has_experts)
        return ol_xstrdup("One of the results has no super experts block.");
    return ol_xasprintf("%" PRId64 " super expert%s in A, %" PRId64 " in B, %" PRId64
                        " in both.",
                        d->n_experts_a, d->n_experts_a == 1 ? "" : "s", d->n_experts_b,
                        d->n_experts_common);
}

static bool has_experts(const struct ol_diff *d)
{
    return d->has_experts;
}

static bool has_sinks(const struct ol_diff *d)
{
    return d->has_sinks;
}

static bool has_steps(const struct ol_diff *d)
{
    return d->has_steps;
}

static char *flips_sentence(const struct ol_diff *d)
{
    return ol_diff_flips_sentence(d->a, d->b);
}

static struct ol_grid *flips(const struct ol_diff *d)
{
    return ol_diff_flips_grid(d->a, d->b);
}

static bool has_flips(const struct ol_diff *d)
{
    struct ol_grid *g = flips(d);
    const bool has = ol_grid_rows(g) > 0;
    ol_grid_free(g);
    return has;
}

static bool has_choices(const struct ol_diff *d)
{
    return d->has_choices;
}

static const struct diff_part parts[] = {
    {{"runs", "Runs"},
     NULL,
     NULL,
     NULL,
     {{"runs", "The two runs", ol_diff_runs, true, false}}},
    {{"counts", "Counts"},
     NULL,
     NULL,
     NULL,
     {{"counts", "Counts", ol_diff_counts, true, false}}},
    {{"features", "Features"},
     feature_sentence,
     has_features,
     has_features,
     {{"features_gained", "Features gained (in B only)", gained, false, false},
      {"features_lost", "Features lost (in A only)", lost, false, false},
      {"features_moved", "Features moved (other first or last layer)", moved, false,
       false},
      {"features_kept", "Features kept", kept, false, true}}},
    {{"experts", "Super experts"},
     expert_sentence,
     has_experts,
     NULL,
     {{"super_experts", "Super experts in either", ol_diff_experts, false, false}}},
    {{"sinks", "Residual sinks"},
     ol_diff_sinks_sentence,
     has_sinks,
     NULL,
     {{"residual_sinks", "Residual sinks in either", ol_diff_sinks_grid, false, false}}},
    {{"steps", "Step-up and step-down"},
     ol_diff_steps_sentence,
     has_steps,
     NULL,
     {{"steps", "Steps in either", ol_diff_steps_grid, false, false}}},
    {{"choices", "Choices of the routers"},
     flips_sentence,
     has_flips,
     has_choices,
     {{"choices", "Choices that differ, by layer", flips, true, false}}},
};
enum { N_PARTS = sizeof parts / sizeof parts[0] };

/* The caller frees. */
static char *names(const struct ol_diff *d)
{
    char *a = ol_run_name(d->report, 0), *b = ol_run_name(d->report, 1),
         *text = ol_xasprintf("A is %s, B is %s", a, b);
    free(b);
    free(a);
    return text;
}

/* ---- Markdown ---- */

/* A table alone in its part needs no title of its own. */
static void markdown_table(const struct diff_part *part, const struct diff_table *t,
                           const struct ol_diff *d, FILE *out)
{
    struct ol_grid *g = t->make(d);
    const int64_t n = ol_grid_rows(g), top = t->whole ? INT64_MAX : d->report->top;
    if (n > 0) {
        if (part->tables[1].key != NULL)
            fprintf(out, "\n### %s\n", t->title);
        if (n > top)
            fprintf(out, "\nThe first %" PRId64 " of %" PRId64 ".\n", top, n);
        fputc('\n', out);
        ol_grid_markdown(g, top, out);
    }
    ol_grid_free(g);
}

static void markdown_part(const struct diff_part *part, const struct ol_diff *d,
                          FILE *out)
{
    if (part->wanted != NULL && !part->wanted(d))
        return;
    fprintf(out, "\n## %s\n", part->section.title);
    if (part->sentence != NULL) {
        char *text = part->sentence(d);
        fputc('\n', out);
        ol_markdown_put(text, out);
        fputc('\n', out);
        free(text);
    }
    for (int i = 0; i < MOST_TABLES && part->tables[i].key != NULL; i++)
        if (!part->tables[i].page)
            markdown_table(part, &part->tables[i], d, out);
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
    for (int i = 0; i < N_PARTS; i++)
        markdown_part(&parts[i], &d, out);
}

/* ---- HTML ---- */

static void html_part(const struct diff_part *part, const struct ol_diff *d, FILE *out)
{
    if (part->sentence != NULL) {
        char *text = part->sentence(d);
        fputs("<p>", out);
        ol_text_escape(text, out);
        fputs("</p>\n", out);
        free(text);
    }
    for (int i = 0; i < MOST_TABLES && part->tables[i].key != NULL; i++) {
        struct ol_grid *g = part->tables[i].make(d);
        if (ol_grid_rows(g) > 0)
            ol_grid_html(g, part->tables[i].title, INT64_MAX, out);
        ol_grid_free(g);
    }
}

void ol_diff_html(const struct ol_report *report, FILE *out)
{
    struct ol_page_section sections[N_PARTS + 1] = {{NULL, NULL}};
    struct ol_diff d;
    int state = 0;
    char *text;
    for (int i = 0; i < N_PARTS; i++)
        sections[i] = parts[i].section;
    ol_diff_make(&d, report);
    char *subtitle = names(&d);
    ol_page_open(out, "Outlier features: what changed", subtitle, true, sections);
    free(subtitle);
    for (int i = 0; i < N_PARTS; i++) {
        ol_page_begin_section(out, &sections[i]);
        while (i == 0 && (text = ol_diff_warning(&d, &state)) != NULL) {
            ol_page_warning(out, text);
            free(text);
        }
        html_part(&parts[i], &d, out);
        ol_page_end_section(out);
    }
    ol_page_close(out, "Made by ol-report " OL_VERSION ".");
}

/* ---- JSON ---- */

static void json_part(const struct diff_part *part, const struct ol_diff *d,
                      struct ol_json *top, struct ol_json *sentences)
{
    if (part->sentence != NULL) {
        char *text = part->sentence(d);
        ol_json_append(sentences, ol_json_new_string(text));
        free(text);
    }
    const bool has = part->has == NULL || part->has(d);
    for (int i = 0; i < MOST_TABLES && part->tables[i].key != NULL; i++) {
        struct ol_grid *g = part->tables[i].make(d);
        ol_json_set(top, part->tables[i].key, has ? ol_grid_json(g) : ol_json_new_null());
        ol_grid_free(g);
    }
}

void ol_diff_json(const struct ol_report *report, FILE *out)
{
    struct ol_json *top = ol_json_new_object(), *warnings = ol_json_new_array(),
                   *sentences = ol_json_new_array();
    struct ol_diff d;
    int state = 0;
    char *text;
    ol_diff_make(&d, report);
    ol_json_set(top, "format", ol_json_new_string("ol-diff"));
    ol_json_set(top, "format_version", ol_json_new_int(DIFF_VERSION));
    for (int i = 0; i < 2; i++) {
        text = ol_run_name(report, i);
        ol_json_set(top, i == 0 ? "a" : "b", ol_json_new_string(text));
        free(text);
    }
    while ((text = ol_diff_warning(&d, &state)) != NULL) {
        ol_json_append(warnings, ol_json_new_string(text));
        free(text);
    }
    ol_json_set(top, "warnings", warnings);
    ol_json_set(top, "sentences", sentences);
    for (int i = 0; i < N_PARTS; i++)
        json_part(&parts[i], &d, top, sentences);
    text = ol_json_dump_text(top, 1);
    fprintf(out, "%s\n", text);
    free(text);
    ol_json_free(top);
}
