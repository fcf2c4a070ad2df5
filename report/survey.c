#include "report/survey.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/compare.h"
#include "report/runs.h"
#include "report/text.h"

/* Narrow enough for a telephone, where texts of 12 pixels must stay readable. */
enum { WIDTH = 360, HEIGHT = 280, ROW = 40 };

/* ---- values of a model ---- */

static double total(const struct ol_report_results *r)
{
    return r->model->total_parameters > 0 ? (double)r->model->total_parameters / 1e9
                                          : NAN;
}

static double active(const struct ol_report_results *r)
{
    return r->model->active_parameters > 0 ? (double)r->model->active_parameters / 1e9
                                           : NAN;
}

static double ratio(const struct ol_report_results *r)
{
    return 100 * active(r) / total(r);
}

static double perplexity(const struct ol_report_results *r)
{
    return r->has_perplexity && isfinite(r->perplexity) ? r->perplexity : NAN;
}

static double pairs(const struct ol_report_results *r)
{
    return r->has_outliers ? (double)r->pairs->count : NAN;
}

static double unique(const struct ol_report_results *r)
{
    return r->has_outliers ? (double)r->unique->count : NAN;
}

static double layers(const struct ol_report_results *r)
{
    return r->has_pairs ? 100 * r->pairs->mean_layer_fraction : NAN;
}

static double positions(const struct ol_report_results *r)
{
    return r->has_pairs ? 100 * r->pairs->mean_position_fraction : NAN;
}

#define DEPTH "depth, % (first to last layer)"

const struct ol_survey_figure ol_survey_figures[] = {
    {"counts-total",
     "Counts and size",
     "Each point is a model: how many outlier features it has, against its size.",
     "total parameters, billions (log scale)",
     "outlier features (log scale)",
     total,
     true,
     true,
     {"pairs", "unique"},
     {pairs, unique},
     NULL},
    {"means-total",
     "Extent and size",
     "The mean share of sites (the study's L%) and of positions that the qualifying "
     "pairs reach.",
     "total parameters, billions (log scale)",
     "mean over the pairs, %",
     total,
     true,
     false,
     {"sites (L%)", "positions (S%)"},
     {layers, positions},
     NULL},
    {"counts-active",
     "Counts and active size",
     "As above, against the parameters that a token uses.",
     "active parameters, billions (log scale)",
     "outlier features (log scale)",
     active,
     true,
     true,
     {"pairs", "unique"},
     {pairs, unique},
     NULL},
    {"means-active",
     "Extent and active size",
     "The means against the parameters that a token uses.",
     "active parameters, billions (log scale)",
     "mean over the pairs, %",
     active,
     true,
     false,
     {"sites (L%)", "positions (S%)"},
     {layers, positions},
     NULL},
    {"counts-perplexity",
     "Counts and perplexity",
     "Perplexities compare only where text and tokenizer are the same.",
     "perplexity",
     "outlier features (log scale)",
     perplexity,
     false,
     true,
     {"pairs", "unique"},
     {pairs, unique},
     NULL},
    {"means-perplexity",
     "Extent and perplexity",
     "Better models stand on the left. LLM.int8 found outliers to follow perplexity "
     "rather than size.",
     "perplexity",
     "mean over the pairs, %",
     perplexity,
     false,
     false,
     {"sites (L%)", "positions (S%)"},
     {layers, positions},
     NULL},
    {"counts-ratio",
     "Counts and sparsity",
     "Dense models stand at 100 %, sparse Mixtures of Experts on the left.",
     "active of total parameters, %",
     "outlier features (log scale)",
     ratio,
     false,
     true,
     {"pairs", "unique"},
     {pairs, unique},
     NULL},
    {"means-ratio",
     "Extent and sparsity",
     "Dense models stand at 100 %, sparse Mixtures of Experts on the left.",
     "active of total parameters, %",
     "mean over the pairs, %",
     ratio,
     false,
     false,
     {"sites (L%)", "positions (S%)"},
     {layers, positions},
     NULL},
    {.name = "norms-depth",
     .title = "Largest magnitude by depth",
     .caption =
         "A line for each model: the largest value at the outputs of a layer's two "
         "norms, from the first layer (0 %) to the last.",
     .x_title = DEPTH,
     .y_title = "largest |x| (log scale)",
     .log_y = true,
     .line = ol_survey_norms},
    {.name = "stream-depth",
     .title = "The residual stream by depth",
     .caption =
         "The largest magnitude of a sequence's stream after each layer, mean over "
         "the sequences: where a line jumps by orders of magnitude, massive "
         "activations begin.",
     .x_title = DEPTH,
     .y_title = "largest |x| of a sequence (log scale)",
     .log_y = true,
     .line = ol_survey_stream},
    {.name = "kurtosis-depth",
     .title = "Kurtosis of the stream by depth",
     .caption = "The median over tokens of the kurtosis of a token's stream after each "
                "layer; a normal distribution has 3.",
     .x_title = DEPTH,
     .y_title = "kurtosis of the median token (log scale)",
     .log_y = true,
     .line = ol_survey_tails},
    {0}};

const struct ol_survey_figure *ol_survey_find(const char *name)
{
    for (const struct ol_survey_figure *f = ol_survey_figures; f->name != NULL; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

/* ---- scatter plots ---- */

char *ol_survey_name(const struct ol_report *report, int i)
{
    const struct ol_report_results *r = &report->results[i];
    if (*r->run->label != '\0')
        return ol_xstrdup(r->run->label);
    char *name = ol_run_name(report, i);
    const char *slash = strrchr(r->model->name, '/');
    if (slash != NULL && slash[1] != '\0') {
        char *rest = ol_xstrdup(name + (slash + 1 - r->model->name));
        free(name);
        name = rest;
    }
    return name;
}

int ol_survey_points(const struct ol_report *report, const struct ol_survey_figure *f)
{
    int n = 0;
    if (f->line != NULL)
        return ol_survey_n_lines(report, f);
    for (int i = 0; i < report->n; i++)
        n += !isnan(f->x(&report->results[i])) && !isnan(f->y[0](&report->results[i]));
    return n;
}

void ol_survey_draw(const struct ol_report *report, const struct ol_survey_figure *f,
                    const struct ol_canvas *c)
{
    const size_t n = (size_t)report->n;
    if (f->line != NULL) {
        ol_survey_draw_lines(report, f, c);
        return;
    }
    double *x = ol_xcalloc(n, sizeof *x), *y = ol_xcalloc(2 * n, sizeof *y);
    char **labels = ol_xcalloc(n, sizeof *labels);
    for (size_t i = 0; i < n; i++) {
        const struct ol_report_results *r = &report->results[i];
        y[i] = f->y[0](r);
        x[i] = isnan(y[i]) ? NAN : f->x(r);
        y[n + i] = f->y[1](r);
        labels[i] = ol_survey_name(report, (int)i);
    }
    const struct ol_series series[] = {
        {.name = f->names[0],
         .x = x,
         .y = y,
         .n = report->n,
         .no_line = true,
         .labels = (const char *const *)labels},
        {.name = f->names[1], .x = x, .y = y + n, .n = report->n, .no_line = true}};
    const struct ol_chart chart = {.series = series,
                                   .n_series = 2,
                                   .x = {.title = f->x_title, .log = f->log_x},
                                   .y = {.title = f->y_title, .log = f->log_y},
                                   .y_from_zero = true,
                                   .width = WIDTH,
                                   .height = HEIGHT};
    ol_chart_draw(c, &chart);
    for (size_t i = 0; i < n; i++)
        free(labels[i]);
    free(labels);
    free(y);
    free(x);
}

/* ---- published and measured ---- */

int ol_survey_published(const struct ol_report *report)
{
    int n = 0;
    for (int i = 0; i < report->n; i++)
        n += report->results[i].published.json != NULL;
    return n;
}

static bool is_comparable(const struct ol_report_results *r)
{
    char *against = r->published.json != NULL ? ol_compare_published(r) : NULL;
    const bool comparable = r->published.json != NULL && against == NULL;
    free(against);
    return comparable;
}

int ol_survey_comparable(const struct ol_report *report)
{
    int n = 0;
    for (int i = 0; i < report->n; i++)
        n += is_comparable(&report->results[i]);
    return n;
}

static void draw_pair(FILE *out, const struct ol_report *report, int i,
                      const struct ol_axis *x, double y)
{
    const struct ol_report_results *r = &report->results[i];
    const double known = ol_axis_at(x, (double)r->published.pairs),
                 found = ol_axis_at(x, pairs(r));
    char *name = ol_survey_name(report, i),
         *here = ol_xasprintf("measured: %s pairs", ol_text_count(r->pairs->count).text),
         *there =
             ol_xasprintf("published: %s pairs", ol_text_count(r->published.pairs).text);
    ol_svg_text(out, x->start, y - 9, 's', "", "%s", name);
    ol_svg_line(out, known, y, found, y, "ax");
    ol_svg_circle(out, found, y, 5, "f1", here);
    ol_svg_rect(out, known - 4, y - 4, 8, 8, "f2", there);
    free(there);
    free(here);
    free(name);
}

void ol_survey_draw_published(const struct ol_report *report, const struct ol_canvas *c)
{
    const int n = ol_survey_comparable(report);
    const double top = 34, bottom = top + ROW * n;
    struct ol_axis x = {.low = INFINITY,
                        .high = -INFINITY,
                        .log = true,
                        .start = 16,
                        .end = WIDTH - 24,
                        .title = "pairs (log scale)"};
    for (int i = 0; i < report->n; i++) {
        const struct ol_report_results *r = &report->results[i];
        const double values[] = {(double)r->published.pairs, pairs(r)};
        if (is_comparable(r))
            ol_axis_include(&x, values, 2);
    }
    ol_axis_round(&x, false);
    ol_svg_open(c, WIDTH, bottom + OL_FIGURE_BOTTOM);
    ol_svg_circle(c->out, 22, 14, 5, "f1", NULL);
    ol_svg_text(c->out, 34, 18, 's', "", "measured here");
    ol_svg_rect(c->out, 138, 10, 8, 8, "f2", NULL);
    ol_svg_text(c->out, 154, 18, 's', "", "published");
    ol_axis_draw_x(c->out, &x, top, bottom);
    double y = top + 0.7 * ROW;
    for (int i = 0; i < report->n; i++) {
        if (!is_comparable(&report->results[i]))
            continue;
        draw_pair(c->out, report, i, &x, y);
        y += ROW;
    }
    ol_svg_close(c);
}

/* ---- sentences ---- */

char *ol_survey_common(const struct ol_report *report)
{
    char *list = ol_xstrdup("In common");
    const char *separator = ": ";
    for (const struct ol_run_fact *f = ol_run_facts; f->key != NULL; f++) {
        char *text = ol_run_fact_varies(f, report) ? NULL : f->text(&report->results[0]);
        if (text == NULL)
            continue;
        char *longer = ol_xasprintf("%s%s%s %s", list, separator, f->title, text);
        free(text);
        free(list);
        list = longer;
        separator = "; ";
    }
    char *whole = *separator == ':' ? ol_xstrdup("The runs have nothing in common.")
                                    : ol_xasprintf("%s.", list);
    free(list);
    return whole;
}

char *ol_survey_few_experts(const struct ol_report *report)
{
    char *runs = NULL;
    for (int i = 0; i < report->n; i++) {
        const struct ol_super_block *s = report->results[i].blocks.super_experts;
        if (s == NULL || s->noise == NULL || s->noise->meaningful)
            continue;
        char *run = ol_run_name(report, i), *before = runs;
        runs = ol_xasprintf("%s%s%s", before != NULL ? before : "",
                            before != NULL ? ", " : "", run);
        free(before);
        free(run);
    }
    if (runs == NULL)
        return NULL;
    char *text =
        ol_xasprintf("Super experts by the published rule mean nothing in models of so "
                     "few experts, where it takes the largest output, however small: %s.",
                     runs);
    free(runs);
    return text;
}

static void add_warning(struct ol_survey_warnings *w, char *taken, const char *run)
{
    for (int i = 0; i < w->n; i++) {
        if (strcmp(w->items[i].text, taken) != 0)
            continue;
        char *longer = ol_xasprintf("%s, %s", w->items[i].runs, run);
        free(w->items[i].runs);
        w->items[i].runs = longer;
        free(taken);
        return;
    }
    w->items = ol_xrealloc_array(w->items, (size_t)w->n + 1, sizeof *w->items);
    w->items[w->n++] = (struct ol_survey_warning){ol_xstrdup(run), taken};
}

void ol_survey_warnings_make(struct ol_survey_warnings *w, const struct ol_report *report)
{
    *w = (struct ol_survey_warnings){0};
    for (int i = 0; i < report->n; i++) {
        char *run = ol_run_name(report, i), *text;
        int state = 0;
        while ((text = ol_report_warning(&report->results[i], &state)) != NULL)
            add_warning(w, text, run);
        free(run);
    }
}

void ol_survey_warnings_clear(struct ol_survey_warnings *w)
{
    for (int i = 0; i < w->n; i++) {
        free(w->items[i].runs);
        free(w->items[i].text);
    }
    free(w->items);
    *w = (struct ol_survey_warnings){0};
}
