/* Outlier features by the criterion of LLM.int8, and where they are found. */
#include <math.h>
#include <stdlib.h>

#include "report/compare.h"
#include "report/tables.h"

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

const struct ol_table_source ol_counts_table = {
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

const struct ol_table_source ol_published_table = {
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

const struct ol_table_source ol_features_table = {
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

const struct ol_table_source ol_onset_table = {
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

const struct ol_table_source ol_onset_life_table = {
    "onset_life", "Features, site by site: occurrences, the norm's gain, the stream",
    onset_life_columns, "onset.features.sites", NULL};

static const struct ol_column onset_sites_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"n_features", "features", OL_COLUMN_COUNT},
    {"occurrences", "occurrences", OL_COLUMN_COUNT},
    {0}};

const struct ol_table_source ol_onset_sites_table = {
    "onset_sites", "Outlier features by site", onset_sites_columns, "onset.by_site",
    NULL};
