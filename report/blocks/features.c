/* Outlier features by the criterion of LLM.int8: how many, which, and where they are
 * found. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/compare.h"
#include "report/format.h"
#include "report/heatmap.h"
#include "report/markdown_text.h"
#include "report/section.h"
#include "report/sentences_stream.h"
#include "report/text.h"
#include "report/text_map.h"

/* ---- tables ---- */

static const struct ol_column counts_columns[] = {
    {"count", "count", OL_COLUMN_TEXT},
    {"value", "value", OL_COLUMN_COUNT},
    {"definition", "what is counted", OL_COLUMN_TEXT},
    {0}};

static struct ol_grid *make_counts(const struct ol_report_results *r)
{
    if (!r->has_outliers)
        return NULL;
    struct ol_grid *g = ol_grid_new(counts_columns);
    ol_grid_text(g, "pairs");
    ol_grid_int(g, r->pairs->count);
    ol_grid_text(g, "(feature, batch) pairs: the published count");
    ol_grid_text(g, "unique");
    ol_grid_int(g, r->unique->count);
    ol_grid_text(g, "features that qualify in at least one batch");
    ol_grid_text(g, "pooled");
    ol_grid_int(g, r->pooled->count);
    ol_grid_text(g, "features that qualify over all sequences together");
    ol_grid_text(g, "strict");
    ol_grid_int(g, r->strict->count);
    ol_grid_text(g, "as pooled, positions averaged over all sites");
    return g;
}

static const struct ol_table_source counts_table = {
    .name = "counts",
    .title = "Outlier features, counted in four ways",
    .make = make_counts};

static const struct ol_column published_columns[] = {
    {"source", "source", OL_COLUMN_TEXT},
    {"text", "text", OL_COLUMN_TEXT},
    {"pairs", "pairs", OL_COLUMN_COUNT},
    {"mean_layer_fraction", "mean L%", OL_COLUMN_PERCENT},
    {"mean_position_fraction", "mean S%", OL_COLUMN_PERCENT},
    {"against", "not comparable", OL_COLUMN_TEXT},
    {0}};

/* A row of what is published, and one of what was measured where that compares. */
static struct ol_grid *make_published(const struct ol_report_results *r)
{
    const struct ol_published *p = &r->published;
    if (p->json == NULL)
        return NULL;
    char *against = ol_compare_published(r);
    struct ol_grid *g = ol_grid_new(published_columns);
    ol_grid_text(g, p->study);
    ol_grid_text(g, p->text);
    ol_grid_int(g, p->pairs);
    ol_grid_real(g, p->mean_layer_percent / 100);
    ol_grid_real(g, p->mean_position_percent / 100);
    ol_grid_text(g, against);
    if (against == NULL) {
        ol_grid_text(g, "here");
        ol_grid_text(g, r->input->source);
        ol_grid_int(g, r->pairs->count);
        ol_grid_real(g, r->has_pairs ? r->pairs->mean_layer_fraction : NAN);
        ol_grid_real(g, r->has_pairs ? r->pairs->mean_position_fraction : NAN);
        ol_grid_text(g, NULL);
    }
    free(against);
    return g;
}

static const struct ol_table_source published_table = {
    .name = "published", .title = "Published and measured", .make = make_published};

static const struct ol_column features_columns[] = {
    {"feature", "feature", OL_COLUMN_LABEL},
    {"max_magnitude", "maximum |x|", OL_COLUMN_MAGNITUDE},
    {"layer_fraction", "sites, %", OL_COLUMN_PERCENT},
    {"distinct_layer_fraction", "layers, %", OL_COLUMN_PERCENT},
    {"position_fraction", "positions, %", OL_COLUMN_PERCENT},
    {"batches", "batches", OL_COLUMN_COUNT},
    {"occurrences", "occurrences", OL_COLUMN_COUNT},
    {"sign=:sign", "sign", OL_COLUMN_TEXT},
    {0}};

static const struct ol_table_source features_table = {
    "features", "Outlier features by magnitude", features_columns,
    "llm_int8.unique.features", NULL};

static const struct ol_column onset_columns[] = {
    {"feature", "feature", OL_COLUMN_LABEL},
    {"first_layer", "from", OL_COLUMN_LABEL},
    {"first_site", "site", OL_COLUMN_TEXT},
    {"last_layer", "to", OL_COLUMN_LABEL},
    {"n_sites", "sites", OL_COLUMN_COUNT},
    {"by=cause.by", "by", OL_COLUMN_TEXT},
    {"since_layer=cause.since_layer", "since", OL_COLUMN_LABEL},
    {"normed_growth=cause.normed_growth", "value x", OL_COLUMN_MAGNITUDE},
    {"gain_growth=cause.gain_growth", "gain x", OL_COLUMN_MAGNITUDE},
    {"stream_growth=cause.stream_growth", "stream x", OL_COLUMN_MAGNITUDE},
    {0}};

static const struct ol_table_source onset_table = {
    "onset", "Where features set in, and what has grown", onset_columns, "onset.features",
    NULL};

static const struct ol_column onset_life_columns[] = {
    {"feature", "feature", OL_COLUMN_LABEL},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"share", "tokens with an occurrence, %", OL_COLUMN_PERCENT},
    {"gain", "norm gain", OL_COLUMN_MAGNITUDE},
    {"normed_rms", "normed |x| (rms)", OL_COLUMN_MAGNITUDE},
    {"stream_mean", "stream before the layer, mean", OL_COLUMN_MAGNITUDE},
    {"stream_rms", "rms", OL_COLUMN_MAGNITUDE},
    {0}};

static const struct ol_table_source onset_life_table = {
    "onset_life", "Features, site by site: occurrences, the norm's gain, the stream",
    onset_life_columns, "onset.features.sites", NULL};

static const struct ol_column onset_sites_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"n_features", "features", OL_COLUMN_COUNT},
    {"occurrences", "occurrences", OL_COLUMN_COUNT},
    {0}};

static const struct ol_table_source onset_sites_table = {
    "onset_sites", "Outlier features by site", onset_sites_columns, "onset.by_site",
    NULL};

/* ---- figures ---- */

enum { MOST_FEATURES = 48, NAME_BYTES = 32 };

/* Both norms of every layer, a column each. */
static int64_t n_columns(const struct ol_report_results *r)
{
    return 2 * ol_report_layers(r);
}

static const struct ol_int8_features *listed(const struct ol_report_results *r)
{
    return r->unique->features.n > 0 ? r->unique : r->pooled;
}

static bool has_features(const struct ol_report_results *r)
{
    return r->has_outliers && listed(r)->features.n > 0;
}

static void fill(const struct ol_int8_feature *f, int64_t columns, double *row)
{
    const struct ol_feature_site *sites = f->sites.items;
    for (int64_t i = 0; i < f->sites.n; i++) {
        const struct ol_feature_site *s = &sites[i];
        const int64_t column = 2 * s->layer + (strcmp(s->site, "ln_mlp") == 0);
        if (s->layer < columns / 2)
            row[column] = s->max_magnitude;
    }
}

static void draw_features(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_int8_features *block = listed(r);
    const int64_t columns = n_columns(r), rows = block->features.n < MOST_FEATURES
                                                     ? block->features.n
                                                     : MOST_FEATURES;
    double *values = ol_heatmap_values(rows, columns);
    char(*names)[NAME_BYTES] = ol_xcalloc((size_t)(rows + columns), NAME_BYTES);
    const char **texts = ol_xcalloc((size_t)(rows + columns), sizeof *texts);
    for (int64_t i = 0; i < rows; i++) {
        fill(ol_report_feature(block, i), columns, values + i * columns);
        snprintf(names[i], NAME_BYTES, "%" PRId64, ol_report_feature(block, i)->feature);
    }
    for (int64_t i = 0; i < columns; i++)
        snprintf(names[rows + i], NAME_BYTES, "%" PRId64 "%s", i / 2,
                 i % 2 == 0 ? "" : " (ln_mlp)");
    for (int64_t i = 0; i < rows + columns; i++)
        texts[i] = names[i];
    const int64_t every = columns <= 24 ? 2 : columns <= 64 ? 4 : columns <= 128 ? 8 : 16;
    const struct ol_heatmap map = {.n_columns = columns,
                                   .n_rows = rows,
                                   .values = values,
                                   .row_names = texts,
                                   .column_names = texts + rows,
                                   .x_title = "layer",
                                   .y_title = "feature",
                                   .scale_title = "largest |x| of the normed stream",
                                   .suffix = "",
                                   .missing = "below the threshold everywhere",
                                   .log = true,
                                   .row_height = 15,
                                   .row_every = 1,
                                   .column_every = every};
    ol_heatmap_draw(c, &map);
    free(texts);
    free(names);
    free(values);
}

static const struct ol_figure features_figure = {
    "features",
    "Features by layer",
    "Each row is an outlier feature, the largest first (at most 48); each layer has two "
    "columns, ln_attn and ln_mlp. Colour is the "
    "largest magnitude there. A row of one unbroken band is a feature that lives through "
    "the whole model; columns that light up together are layers that make many.",
    "It needs at least one outlier feature, and recorded tensors or summaries.",
    has_features,
    draw_features};

/* ---- how many at each layer ---- */

static bool has_onset(const struct ol_report_results *r)
{
    return r->blocks.onset != NULL && r->blocks.onset->by_site.n > 0;
}

static void draw_onset(const struct ol_report_results *r, const struct ol_canvas *c)
{
    static const char *const sites[] = {"ln_attn", "ln_mlp"};
    const struct ol_list *list = &r->blocks.onset->by_site;
    const struct ol_onset_site *items = list->items;
    double *x = ol_xcalloc((size_t)(2 * list->n), sizeof *x),
           *y = ol_xcalloc((size_t)(2 * list->n), sizeof *y);
    struct ol_series series[2] = {{.name = "ln_attn", .x = x, .y = y},
                                  {.name = "ln_mlp", .x = x + list->n, .y = y + list->n}};
    for (int64_t i = 0; i < list->n; i++)
        for (int s = 0; s < 2; s++) {
            if (items[i].site == NULL || strcmp(items[i].site, sites[s]) != 0)
                continue;
            x[s * list->n + series[s].n] = (double)items[i].layer;
            y[s * list->n + series[s].n++] = (double)items[i].n_features;
        }
    const struct ol_chart chart = {.series = series,
                                   .n_series = 2,
                                   .x = {.title = "layer", .whole = true},
                                   .y = {.title = "outlier features", .whole = true},
                                   .y_from_zero = true,
                                   .x_low = 0,
                                   .x_high = (double)r->model->n_layers - 1,
                                   .height = 260};
    ol_chart_draw(c, &chart);
    free(y);
    free(x);
}

static const struct ol_figure onset_figure = {
    "onset",
    "Outlier features at each layer",
    "How many of the outlier features have an "
    "occurrence on at least 1 % of the tokens at "
    "each site. What sets a feature in may be a "
    "write into the stream or the norm's gain: "
    "see the table below.",
    OL_NEEDS_FEATURES,
    has_onset,
    draw_onset};

/* ---- where there are no figures ---- */

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
                100 * r->pairs->mean_layer_fraction,
                100 * r->pairs->mean_position_fraction);
    } else {
        fprintf(out, "; here: %" PRId64 ".\n", r->pairs->count);
    }
    fputs("Only ol-extract --windowing reference cuts sequences as that study does.\n",
          out);
    free(against);
}

static void print_means(const struct ol_report_results *r, FILE *out)
{
    const struct ol_int8_pairs *p = r->pairs;
    fprintf(out, "\nPairs are of %" PRId64 " batches of %" PRId64 " sequences.",
            r->n_batches, r->criterion->batch_size);
    if (r->has_pairs)
        fprintf(out,
                "\nOver the pairs: sites (the study's L%%) mean %.1f, median %.1f; "
                "positions (S%%) mean %.1f, median %.1f.",
                100 * p->mean_layer_fraction, 100 * p->median_layer_fraction,
                100 * p->mean_position_fraction, 100 * p->median_position_fraction);
    if (r->has_pairs && !isnan(p->mean_distinct_layer_fraction))
        fprintf(out, "\n%s; of the layers, that is mean %.1f %%, median %.1f %%.",
                ol_report_all_sites(r) < 2 * r->model->n_layers
                    ? "A layer of this model may have one site"
                    : "A layer has two sites",
                100 * p->mean_distinct_layer_fraction,
                100 * p->median_distinct_layer_fraction);
    fputc('\n', out);
    print_published(r, out);
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
            "\nOf %" PRId64 " features, %" PRId64 " qualify in all %" PRId64
            " batches, %" PRId64 " in half of them or more, %" PRId64 " in one only.\n",
            r->unique->features.n, all, r->n_batches, half, one);
}

static void print_onset_map(const struct ol_onset *onset, int64_t n_layers, FILE *out)
{
    static const char *const rows[] = {"ln_attn", "ln_mlp"};
    const struct ol_onset_site *sites = onset->by_site.items;
    char *cells = ol_xcalloc((size_t)(2 * n_layers), 1),
         **columns = ol_text_map_names(n_layers);
    memset(cells, ' ', (size_t)(2 * n_layers));
    for (int64_t i = 0; i < n_layers; i++)
        snprintf(columns[i], OL_TEXT_MAP_NAME, "%" PRId64, i);
    for (int64_t i = 0; i < onset->by_site.n; i++)
        for (int row = 0; row < 2; row++)
            if (sites[i].site != NULL && strcmp(sites[i].site, rows[row]) == 0 &&
                sites[i].layer >= 0 && sites[i].layer < n_layers)
                cells[row * n_layers + sites[i].layer] = ol_text_map_tenths(
                    (double)sites[i].n_features / (double)onset->features.n);
    ol_text_map_print(&(struct ol_text_map){.n_rows = 2,
                                            .n_columns = n_layers,
                                            .cells = cells,
                                            .row_names = rows,
                                            .column_names = (const char *const *)columns,
                                            .every = 8},
                      out);
    ol_text_map_free(columns);
    free(cells);
}

/* ---- section ---- */

static bool has(const struct ol_report_results *r)
{
    return r->has_outliers || r->blocks.onset != NULL || r->blocks.phase_shift != NULL;
}

static void write_counts(const struct ol_report_results *r, struct ol_section_out *to)
{
    if (!r->has_outliers)
        ol_section_absent(to, "The count of outlier features",
                          "It needs recorded tensors, or summaries made with the "
                          "threshold of this analysis.");
    else if (r->model->d_model > 0)
        ol_section_say(to,
                       "%" PRId64 " of %" PRId64
                       " dimensions (%.2f %%) qualify at least once.%s",
                       r->unique->count, r->model->d_model,
                       100 * (double)r->unique->count / (double)r->model->d_model,
                       ol_report_rounds(r)
                           ? " In bf16, other kinds of processors round sums otherwise: "
                             "counts may differ by a few."
                           : "");
    ol_section_table(to, &counts_table);
    if (ol_section_text(to) != NULL && r->has_outliers)
        print_means(r, ol_section_text(to));
    const struct ol_phase_shift *p = r->blocks.phase_shift;
    if (p != NULL && p->n_features != OL_ABSENT && p->n_features_by_layers != OL_ABSENT)
        ol_section_say(to,
                       "Phase shift (%s): %s, with %s such features; by layers, as the "
                       "paper counts, %s.",
                       p->text != NULL ? p->text : "features at all sites",
                       p->reached ? "reached" : "not reached",
                       ol_text_count(p->n_features).text,
                       ol_text_count(p->n_features_by_layers).text);
}

static void write_onset(const struct ol_report_results *r, struct ol_section_out *to)
{
    const struct ol_onset *onset = r->blocks.onset;
    const int64_t n = onset != NULL ? onset->features.n : 0;
    const struct ol_onset_feature *features = n > 0 ? onset->features.items : NULL;
    if (onset != NULL)
        ol_section_heading(to, "Onset");
    ol_section_figure(to, &onset_figure, NULL);
    if (ol_section_text(to) != NULL && n > 0) {
        fputs(
            "\nOutlier features that have an occurrence on at least 1 % of the tokens at "
            "each site,\nlayer by layer: . none, 0 to 9 tenths of them, # all.\n\n",
            ol_section_text(to));
        if (r->model->n_layers > 0)
            print_onset_map(onset, r->model->n_layers, ol_section_text(to));
    } else if (ol_section_text(to) != NULL && onset != NULL) {
        ol_section_say(to, "There is no outlier feature.");
    }
    for (int64_t i = 0; i < n && i < OL_SECTION_SENTENCES; i++)
        ol_section_sentence(to, ol_sentence_onset(&features[i]));
    ol_section_table(to, &onset_table);
    ol_section_long(to, &onset_life_table);
    ol_section_numbers(to, &onset_sites_table);
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    ol_section_say(
        to,
        "An outlier feature is a hidden dimension with |x| \xe2\x89\xa5 %g at %g "
        "%% or more of the %" PRId64
        " sites (ln_attn and ln_mlp, the outputs of the norms before attention "
        "and before the MLP) and at %g %% or more of the token positions "
        "(LLM.int8, arXiv 2208.07339).",
        r->criterion->threshold, 100 * r->criterion->min_layers, r->n_sites,
        100 * r->criterion->min_positions);
    write_counts(r, to);
    ol_section_figure(to, &features_figure, NULL);
    ol_section_table(to, &features_table);
    if (ol_section_text(to) != NULL)
        print_consistency(r, ol_section_text(to));
    write_onset(r, to);
}

static const struct ol_table_source *const tables[] = {
    &counts_table, &published_table,  &features_table,
    &onset_table,  &onset_life_table, &onset_sites_table,
    NULL};
static const struct ol_figure *const figures[] = {&features_figure, &onset_figure, NULL};

const struct ol_section ol_features_section = {
    "features", "Outlier features", tables, figures, has, write};
