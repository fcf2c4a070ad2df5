/* Who wrote the massive and outlier dimensions of the residual stream. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/figures.h"
#include "report/tables.h"
#include "report/text.h"

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

const struct ol_figure ol_attribution_figure = {
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

const struct ol_figure ol_writes_figure = {
    "writes",
    "What each layer writes into the largest of them",
    "For the first dimension above, over its own tokens: what attention and the MLP of "
    "each layer add, on average, along the value's sign. Above zero a layer makes the "
    "value larger, below zero it erases it.",
    "It needs the writes that ol-extract records with its summaries (run it without "
    "--no-summaries).",
    has_writes,
    draw_writes};
