/* Who writes the dimensions that matter, asked about their own tokens, and what links the
 * massive ones to the norms. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/section.h"
#include "report/text.h"
#include "report/sentences_stream.h"

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

static const struct ol_table_source attribution_events_table = {
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

static const struct ol_table_source attribution_table = {
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

static const struct ol_table_source attribution_tokens_table = {
    "attribution_tokens", "The tokens that were asked about", attribution_tokens_columns,
    "attribution.features.tokens", NULL};

static const struct ol_column writes_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"event=:event", "asked about", OL_COLUMN_TEXT},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"attention", "attention", OL_COLUMN_MAGNITUDE},
    {"mlp", "MLP", OL_COLUMN_MAGNITUDE},
    {0}};

static const struct ol_table_source writes_table = {
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

static const struct ol_table_source links_table = {
    "links", "Massive dimensions: who makes them, and what the norms make of them",
    links_columns, "links", NULL};

/* ---- figures ---- */

enum {
    MOST_FEATURES = 8,
    MOST_MADE = 3,
    MOST_COUNTERACTED = 1,
    MOST_ERASED = 2,
    ROWS = MOST_MADE + MOST_COUNTERACTED + MOST_ERASED,
    ROW = 20,
    HEAD = 30,
    GAP = 16,
    NAMES = 136, /* room for names, */
    SHARES = 52  /* and for a share on either side of the bars */
};

static bool has_attribution(const struct ol_report_results *r)
{
    return r->blocks.attribution != NULL && r->blocks.attribution->features.n > 0;
}

static int64_t at_most(int64_t n, int64_t most)
{
    return n < most ? n : most;
}

static bool is_all(const struct ol_attributed_feature *f)
{
    return f->event == NULL || strcmp(f->event, "all") == 0;
}

/* Those that are asked about their own tokens; where there are none, all. */
static int64_t choose(const struct ol_list *list,
                      const struct ol_attributed_feature *chosen[MOST_FEATURES])
{
    const struct ol_attributed_feature *features = list->items;
    int64_t n = 0;
    for (int64_t i = 0; i < list->n && n < MOST_FEATURES; i++)
        if (!is_all(&features[i]))
            chosen[n++] = &features[i];
    for (int64_t i = 0; n == 0 && i < at_most(list->n, MOST_FEATURES); i++)
        chosen[i] = &features[i];
    return n > 0 ? n : at_most(list->n, MOST_FEATURES);
}

struct lists {
    const struct ol_list *list;
    int64_t most;
    const char *name; /* in front of the unit's */
};

static void lists_of(const struct ol_attributed_feature *f, struct lists lists[3])
{
    lists[0] = (struct lists){&f->made_by, MOST_MADE, ""};
    lists[1] = (struct lists){&f->counteracted_by, MOST_COUNTERACTED, ""};
    lists[2] = (struct lists){&f->erased_by, MOST_ERASED, "after: "};
}

/* Colours tell the kind, and so does the name in front. */
static const char *class_of(const char *kind)
{
    if (kind == NULL || strcmp(kind, "attention") == 0)
        return "f2";
    return strcmp(kind, "expert") == 0 ? "f1" : "f3";
}

/* From shares to pixels right of a block's names. */
struct scale {
    double low, high; /* of the shares shown; low <= 0 */
    double width;
};

static double place(const struct scale *s, double share)
{
    const double inside = isnan(share) ? 0 : fmax(s->low, fmin(s->high, share));
    return s->width * (inside - s->low) / (s->high - s->low);
}

static void draw_writer(FILE *out, const char *prefix, const struct ol_stream_writer *w,
                        double x, double y, const struct scale *s)
{
    const double left = x + NAMES + SHARES, zero = left + place(s, 0),
                 end = left + place(s, w->share);
    char *unit = ol_table_unit(w->who.kind, w->who.expert);
    char *tip = ol_xasprintf("%slayer %" PRId64 ", %s: %s %% of the peak, sum %s", prefix,
                             w->who.layer, unit, ol_text_percent(w->share).text,
                             ol_text_magnitude(w->sum).text);
    ol_svg_text(out, x + NAMES - 8, y + 13, 'e', "", "%sL%" PRId64 " %s", prefix,
                w->who.layer, unit);
    ol_svg_rect(out, fmin(zero, end), y + 3, fmax(1, fabs(end - zero)), ROW - 6,
                class_of(w->who.kind), tip);
    ol_svg_text(out, end < zero ? end - 5 : end + 5, y + 13, end < zero ? 'e' : 's', "mu",
                "%s %%", ol_text_percent(w->share).text);
    free(tip);
    free(unit);
}

/* Of the writers that are shown, so that the longest bar fills its room. */
static struct scale scale_of(const struct ol_attributed_feature *const *features,
                             int64_t n, double width)
{
    struct scale s = {.low = 0, .high = 0.01, .width = width};
    for (int64_t i = 0; i < n; i++) {
        struct lists lists[3];
        lists_of(features[i], lists);
        for (int k = 0; k < 3; k++) {
            const struct ol_stream_writer *w = lists[k].list->items;
            for (int64_t j = 0; j < at_most(lists[k].list->n, lists[k].most); j++) {
                s.high = fmax(s.high, w[j].share); /* passes over NAN */
                s.low = fmin(s.low, w[j].share);
            }
        }
    }
    s.high = fmin(s.high, 2);
    s.low = fmax(s.low, -2);
    return s;
}

static void draw_feature(FILE *out, const struct ol_attributed_feature *f, double x,
                         double y, const struct scale *s)
{
    struct lists lists[3];
    double at = y + HEAD - 8;
    lists_of(f, lists);
    ol_svg_text(out, x + 8, y + 14, 's', "t", "dimension %" PRId64 ", %s, %s tokens",
                f->feature, f->event != NULL ? f->event : "all",
                ol_text_count(f->n_tokens).text);
    ol_svg_line(out, x + NAMES + SHARES + place(s, 0), at,
                x + NAMES + SHARES + place(s, 0), at + ROWS * ROW, "ax");
    for (int k = 0; k < 3; k++) {
        const struct ol_stream_writer *w = lists[k].list->items;
        for (int64_t j = 0; j < at_most(lists[k].list->n, lists[k].most); j++) {
            draw_writer(out, lists[k].name, &w[j], x, at, s);
            at += ROW;
        }
    }
}

/* Two features side by side, one alone. */
static void draw_attribution(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_attributed_feature *features[MOST_FEATURES];
    const int64_t n = choose(&r->blocks.attribution->features, features);
    const int columns = n > 1 ? 2 : 1;
    const double block = HEAD + ROWS * ROW + GAP, width = OL_FIGURE_WIDTH / columns;
    const struct scale s = scale_of(features, n, width - NAMES - 2 * SHARES);
    ol_svg_open(c, OL_FIGURE_WIDTH, block * (double)((n + columns - 1) / columns) + 34);
    const struct ol_series kinds[] = {{.name = "routed expert", .no_line = true},
                                      {.name = "attention", .no_line = true},
                                      {.name = "shared expert or MLP", .no_line = true}};
    ol_chart_legend(c->out, (struct ol_legend_area){8, 14, OL_FIGURE_WIDTH}, kinds, 3);
    for (int64_t i = 0; i < n; i++)
        draw_feature(c->out, features[i], width * (double)(i % columns),
                     34 + block * (double)(i / columns), &s);
    ol_svg_close(c);
}

static const struct ol_figure attribution_figure = {
    "attribution",
    "Who makes the dimensions, and who erases them",
    "For each massive dimension, and each outlier feature, on its own tokens: the parts "
    "of the model that made it up to its peak, the largest that worked against it, and "
    "\"after\", those that erased it later. A bar is what was written along the value's "
    "sign, as a share of the sum of |x| at the peak: to the right it adds, to the left "
    "it takes away. One bar near 100 % means that a single part makes the outlier.",
    "It needs the writes that ol-extract records with its summaries (run it without "
    "--no-summaries).",
    has_attribution,
    draw_attribution};

/* ---- by layer ---- */

static bool has_writes(const struct ol_report_results *r)
{
    return r->blocks.attribution != NULL && r->blocks.attribution->layers.n > 0;
}

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Of the first entry: the largest massive dimension, or outlier feature. */
static void draw_writes(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_list *list = &r->blocks.attribution->layers;
    const struct ol_attribution_layer *layers = list->items;
    size_t n = 0;
    double *x = ol_xcalloc((size_t)list->n, sizeof *x),
           *y = ol_xcalloc(2 * (size_t)list->n, sizeof *y), *attention = y + list->n;
    while (n < (size_t)list->n && layers[n].feature == layers[0].feature &&
           same(layers[n].event, layers[0].event)) {
        x[n] = (double)layers[n].layer;
        y[n] = layers[n].mlp;
        attention[n] = layers[n].attention;
        n++;
    }
    char *name =
        ol_xasprintf("MLP (all its experts), into dimension %" PRId64, layers[0].feature);
    const struct ol_series series[] = {
        {.name = name, .x = x, .y = y, .n = (long)n},
        {.name = "attention", .x = x, .y = attention, .n = (long)n}};
    const struct ol_chart chart = {.series = series,
                                   .n_series = 2,
                                   .x = {.title = "layer", .whole = true},
                                   .y = {.title = "written, mean per token"},
                                   .y_from_zero = true,
                                   .x_high = fmax(1, (double)r->model->n_layers - 1),
                                   .height = 260};
    ol_chart_draw(c, &chart);
    free(name);
    free(y);
    free(x);
}

static const struct ol_figure writes_figure = {
    "writes",
    "What each layer writes into the largest of them",
    "For the first dimension above, over its own tokens: what attention and the MLP of "
    "each layer add, on average, along the value's sign. Above zero a layer makes the "
    "value larger, below zero it erases it.",
    "It needs the writes that ol-extract records with its summaries (run it without "
    "--no-summaries).",
    has_writes,
    draw_writes};

/* ---- section ---- */

static bool has(const struct ol_report_results *r)
{
    return r->blocks.attribution != NULL;
}

/* How many are asked about their own tokens; they stand first. */
static int64_t say_events(const struct ol_attribution *a, struct ol_section_out *to)
{
    const struct ol_attributed_feature *all = a->features.items;
    int64_t own = 0;
    ol_section_say(to,
                   "Each dimension is asked about its own tokens: those where it is "
                   "massive, or those with an occurrence. What was written along its "
                   "sign up to its peak makes it; shares are of the sum of |x| at the "
                   "peak.");
    for (int64_t i = 0; i < a->features.n; i++)
        if (all[i].event != NULL && strcmp(all[i].event, "all") != 0 &&
            own++ < OL_SECTION_SENTENCES)
            ol_section_sentence(to, ol_sentence_event(&all[i]));
    return own;
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    const int64_t own = has(r) ? say_events(r->blocks.attribution, to) : 0;
    ol_section_figure(to, &attribution_figure, NULL);
    ol_section_rows(to, &attribution_events_table,
                    own > 0 && own < to->top ? own : to->top);
    ol_section_long(to, &attribution_table);
    ol_section_long(to, &attribution_tokens_table);
    ol_section_figure(to, &writes_figure, NULL);
    ol_section_heading(to, "What the norms make of them");
    if (r->blocks.links.items == NULL)
        ol_section_absent(to, "The chain from residual dimension to writer",
                          OL_NEEDS_SUMMARIES);
    else if (r->blocks.links.n == 0)
        ol_section_say(to, "No dimension is massive, so there is nothing to link.");
    else
        ol_section_say(to,
                       "Each row follows one massive dimension of the residual stream "
                       "on its own tokens: who makes it, and what is left of it behind "
                       "the norms. An outlier feature of the same number may be of "
                       "other tokens.");
    ol_section_table(to, &links_table);
}

static const struct ol_table_source *const tables[] = {&attribution_events_table,
                                                       &attribution_table,
                                                       &attribution_tokens_table,
                                                       &writes_table,
                                                       &links_table,
                                                       NULL};
static const struct ol_figure *const figures[] = {&attribution_figure, &writes_figure,
                                                  NULL};

const struct ol_section ol_attribution_section = {
    "attribution", "Who writes them", tables, figures, has, write};
