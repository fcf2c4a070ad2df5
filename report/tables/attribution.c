/* Who writes the dimensions that matter, asked about their own tokens, and what links the
 * massive ones to the norms. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/tables.h"

/* ---- one row per event ---- */

static const struct ol_column events_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"event=:event", "asked about", OL_COLUMN_TEXT},
    {"sign", "sign", OL_COLUMN_TEXT},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"at_first_token", "at position 0", OL_COLUMN_COUNT},
    {"n_values", "values", OL_COLUMN_COUNT},
    {"n_unknown_values", "not known", OL_COLUMN_COUNT},
    {"magnitude", "sum of |x|", OL_COLUMN_MAGNITUDE},
    {"made_layer=made_by.layer", "made at layer", OL_COLUMN_LABEL},
    {"made_by=made_by:unit", "by", OL_COLUMN_TEXT},
    {"made_share=made_by.share", "%", OL_COLUMN_PERCENT},
    {"erased_layer=erased_by.layer", "erased at layer", OL_COLUMN_LABEL},
    {"erased_by=erased_by:unit", "by", OL_COLUMN_TEXT},
    {"erased_share=erased_by.share", "%", OL_COLUMN_PERCENT},
    {"unknown=unknown/magnitude", "not recorded, %", OL_COLUMN_PERCENT},
    {0}};

const char *ol_table_event(const char *event)
{
    static const char *const names[][2] = {{"massive", "where massive"},
                                           {"outlier", "with an occurrence"},
                                           {"all", "all tokens"}};
    for (size_t i = 0; event != NULL && i < sizeof names / sizeof *names; i++)
        if (strcmp(event, names[i][0]) == 0)
            return names[i][1];
    return event;
}

const struct ol_table_source ol_attribution_events_table = {
    "attribution_events", "Who makes the dimensions, and who erases them", events_columns,
    "attribution.features", NULL};

/* ---- all that is known of each: shares up to the peak sum to 100 % ---- */

static const struct ol_column attribution_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"event", "asked about", OL_COLUMN_TEXT},
    {"list", "", OL_COLUMN_TEXT},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit", "unit", OL_COLUMN_TEXT},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"sum", "sum, along the sign", OL_COLUMN_MAGNITUDE},
    {"share", "share, %", OL_COLUMN_PERCENT},
    {0}};

struct row {
    const char *list, *unit;
    int64_t layer, n_tokens;
    double sum, share;
};

static void put_row(struct ol_grid *g, const struct ol_attributed_feature *f,
                    struct row row)
{
    ol_grid_int(g, f->feature);
    ol_grid_text(g, ol_table_event(f->event));
    ol_grid_text(g, row.list);
    ol_grid_int(g, row.layer);
    ol_grid_text(g, row.unit);
    ol_grid_int(g, row.n_tokens);
    ol_grid_real(g, row.sum);
    ol_grid_real(g, row.share);
}

static void put_list(struct ol_grid *g, const struct ol_attributed_feature *f,
                     const char *name, const struct ol_list *list,
                     const struct ol_other_writers *others)
{
    const struct ol_stream_writer *w = list->items;
    for (int64_t k = 0; k < list->n; k++) {
        char *unit = ol_table_unit(w[k].who.kind, w[k].who.expert);
        put_row(g, f,
                (struct row){name, unit, w[k].who.layer, w[k].n_tokens, w[k].sum,
                             w[k].share});
        free(unit);
    }
    if (others != NULL && others->n_writers > 0)
        put_row(g, f,
                (struct row){name, "others", OL_ABSENT, OL_ABSENT, others->sum,
                             others->share});
}

static struct ol_grid *make_attribution(const struct ol_report_results *r)
{
    if (r->blocks.attribution == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(attribution_columns);
    const struct ol_attributed_feature *features = r->blocks.attribution->features.items;
    for (int64_t i = 0; i < r->blocks.attribution->features.n; i++) {
        const struct ol_attributed_feature *f = &features[i];
        const struct ol_others none = {0},
                               *others = f->others != NULL ? f->others : &none;
        put_list(g, f, "made by", &f->made_by, others->made_by);
        put_list(g, f, "counteracted by", &f->counteracted_by, others->counteracted_by);
        put_row(g, f,
                (struct row){"up to the peak", "embedding", OL_ABSENT, OL_ABSENT,
                             f->embedding, f->embedding / f->magnitude});
        put_row(g, f,
                (struct row){"up to the peak", "not recorded", OL_ABSENT, OL_ABSENT,
                             f->unknown, f->unknown / f->magnitude});
        put_list(g, f, "erased by", &f->erased_by, others->erased_by);
    }
    return g;
}

const struct ol_table_source ol_attribution_table = {
    .name = "attribution",
    .title = "Every writer: made by, counteracted by, erased by",
    .make = make_attribution};

static const struct ol_column attribution_tokens_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"event=:event", "asked about", OL_COLUMN_TEXT},
    {"token_id", "token", OL_COLUMN_LABEL},
    {"piece", "text", OL_COLUMN_PIECE},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {0}};

const struct ol_table_source ol_attribution_tokens_table = {
    "attribution_tokens", "The tokens that were asked about", attribution_tokens_columns,
    "attribution.features.tokens", NULL};

static const struct ol_column writes_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"event=:event", "asked about", OL_COLUMN_TEXT},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"attention", "attention", OL_COLUMN_MAGNITUDE},
    {"mlp", "MLP", OL_COLUMN_MAGNITUDE},
    {0}};

const struct ol_table_source ol_writes_table = {
    "writes", "What each layer writes, per token, along the sign", writes_columns,
    "attribution.layers", NULL};

/* ---- links ---- */

static const struct ol_column links_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"max_magnitude", "maximum |x|", OL_COLUMN_MAGNITUDE},
    {"event_tokens", "tokens", OL_COLUMN_COUNT},
    {"writer_layer=writer.layer", "made at layer", OL_COLUMN_LABEL},
    {"writer=writer:unit", "by", OL_COLUMN_TEXT},
    {"writer_share=writer.share", "share, %", OL_COLUMN_PERCENT},
    {"is_super_expert", "super expert", OL_COLUMN_YES},
    {"normed_median", "normed, median", OL_COLUMN_MAGNITUDE},
    {"normed_max", "maximum", OL_COLUMN_MAGNITUDE},
    {"ln_layer=ln_site.layer", "layer", OL_COLUMN_LABEL},
    {"ln_site=ln_site.site", "site", OL_COLUMN_TEXT},
    {"norm_gain", "norm gain", OL_COLUMN_MAGNITUDE},
    {"share_with_occurrence", "occurrence, %", OL_COLUMN_PERCENT},
    {"is_outlier_feature", "outlier feature", OL_COLUMN_YES},
    {"onset_layer", "massive from layer", OL_COLUMN_LABEL},
    {0}};

const struct ol_table_source ol_links_table = {
    "links", "Massive dimensions: who makes them, and what the norms make of them",
    links_columns, "links", NULL};
