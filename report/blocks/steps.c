/* Where massive dimensions rise and fall, and by which component. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/section.h"
#include "report/text.h"

static const struct ol_steps *block_of(const struct ol_report_results *r)
{
    return r->blocks.steps;
}

static bool has(const struct ol_report_results *r)
{
    return block_of(r) != NULL;
}

/* ---- tables ---- */

static const struct ol_column features_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"sign", "sign", OL_COLUMN_TEXT},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"at_first_token", "at position 0", OL_COLUMN_COUNT},
    {"magnitude", "sum of |x| at the peaks", OL_COLUMN_MAGNITUDE},
    {"up_layer", "rises most at layer", OL_COLUMN_LABEL},
    {"down_layer", "falls most at layer", OL_COLUMN_LABEL},
    {"first_layer", "massive from layer", OL_COLUMN_LABEL},
    {"last_layer", "to layer", OL_COLUMN_LABEL},
    {"left", "left at the end, %", OL_COLUMN_PERCENT},
    {"left_at_most", "or at most, %", OL_COLUMN_PERCENT},
    {0}};

static const struct ol_table_source features_table = {
    "step_features", "Massive dimensions from the first step to the last",
    features_columns, "steps.features", NULL};

static const struct ol_column steps_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"sign", "sign", OL_COLUMN_TEXT},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"attention", "its attention", OL_COLUMN_TEXT},
    {"direction", "step", OL_COLUMN_TEXT},
    {"sum", "sum, along the sign", OL_COLUMN_MAGNITUDE},
    {"share", "of the peaks, %", OL_COLUMN_PERCENT},
    {"by=by:unit", "by", OL_COLUMN_TEXT},
    {"by_sum=by.sum", "sum", OL_COLUMN_MAGNITUDE},
    {"by_share=by.share", "%", OL_COLUMN_PERCENT},
    {"by_tokens=by.n_tokens", "tokens", OL_COLUMN_COUNT},
    {"unknown", "not recorded", OL_COLUMN_MAGNITUDE},
    {"unit=units:unit", "or by", OL_COLUMN_TEXT},
    {"unit_output=units.output", "its largest output", OL_COLUMN_MAGNITUDE},
    {"n_known=n_tokens", "tokens known", OL_COLUMN_COUNT},
    {"n_bounded", "at least", OL_COLUMN_COUNT},
    {0}};

static const struct ol_table_source steps_table = {
    "steps", "Steps of massive dimensions", steps_columns, "steps.features.steps", NULL};

static const struct ol_column layers_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"value", "mean after it, along the sign", OL_COLUMN_MAGNITUDE},
    {"n_known", "tokens known", OL_COLUMN_COUNT},
    {"most_of_others", "others at most", OL_COLUMN_MAGNITUDE},
    {"change", "mean change", OL_COLUMN_MAGNITUDE},
    {"n_changed", "tokens known", OL_COLUMN_COUNT},
    {0}};

static const struct ol_table_source layers_table = {
    "step_layers", "Massive dimensions after every layer", layers_columns,
    "steps.features.layers", NULL};

/* ---- figure ---- */

enum { MOST_LINES = 8 };

static bool has_features(const struct ol_report_results *r)
{
    return has(r) && block_of(r)->features.n > 0;
}

/* Sums of the known values after each layer, in per cent of that at the peaks. */
static struct ol_series line_of(const struct ol_step_feature *f, char *name)
{
    const struct ol_step_layer *layers = f->layers.items;
    const int64_t n = f->layers.n;
    double *x = ol_xcalloc(2 * (size_t)n, sizeof *x), *y = x + n;
    for (int64_t i = 0; i < n; i++) {
        x[i] = (double)layers[i].layer;
        y[i] = 100 * layers[i].value * (double)layers[i].n_known / f->magnitude;
    }
    return (struct ol_series){.name = name, .x = x, .y = y, .n = (long)n};
}

static void draw(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_list *list = &block_of(r)->features;
    const struct ol_step_feature *features = list->items;
    struct ol_series series[MOST_LINES];
    char *names[MOST_LINES];
    int n = 0;
    for (int64_t i = 0; i < list->n && n < MOST_LINES; i++, n++) {
        names[n] = ol_xasprintf("dimension %" PRId64, features[i].feature);
        series[n] = line_of(&features[i], names[n]);
    }
    const struct ol_chart chart = {.series = series,
                                   .n_series = n,
                                   .x = {.title = "layer", .whole = true},
                                   .y = {.title = "along the sign, % of the peaks"},
                                   .y_from_zero = true,
                                   .x_high = fmax(1, (double)r->model->n_layers - 1),
                                   .height = 280};
    ol_chart_draw(c, &chart);
    for (int i = 0; i < n; i++) {
        free((double *)series[i].x);
        free(names[i]);
    }
}

static const struct ol_figure figure = {
    "steps",
    "Rise, plateau and fall",
    "Each massive dimension on its own tokens, after every layer: its values along the "
    "signs of their peaks, as a share of the sum of |x| at the peaks. Tokens where the "
    "dimension is not among the four largest are left out of the sum; there is a gap "
    "where that is so on all.",
    "It needs the summaries of ol-extract (run it without --no-summaries), and a "
    "dimension that is massive.",
    has_features,
    draw};

/* ---- sentences ---- */

/* Who makes a step, as far as is known. */
static char *maker(const struct ol_step *s)
{
    const struct ol_stream_writer *by = s->by.items;
    const struct ol_step_unit *units = s->units.items;
    if (s->by.n > 0) {
        char *unit = ol_table_unit(by->who.kind, by->who.expert);
        char *text =
            ol_xasprintf("%s writes %s %%", unit, ol_text_percent(by->share).text);
        free(unit);
        return text;
    }
    if (s->units.n > 0) {
        char *unit = ol_table_unit(units->who.kind, units->who.expert);
        char *text = ol_xasprintf("the largest output of %s lies there, %s", unit,
                                  ol_text_magnitude(units->output).text);
        free(unit);
        return text;
    }
    return ol_xstrdup("who writes it is not recorded");
}

/* "at layer 11 by 99.6 % (expert 3 writes 99.4 %), ..."; NULL: there is no such step. */
static char *name_steps(const struct ol_step_feature *f, const char *direction)
{
    const struct ol_step *steps = f->steps.items;
    char *text = NULL;
    int n = 0;
    for (int64_t i = 0; i < f->steps.n && n < OL_SECTION_SENTENCES; i++) {
        if (steps[i].direction == NULL || strcmp(steps[i].direction, direction) != 0)
            continue;
        char *who = maker(&steps[i]), *before = text;
        text = ol_xasprintf("%s%sat layer %" PRId64 " by %s%s %% (%s)",
                            before != NULL ? before : "", before != NULL ? ", " : "",
                            steps[i].layer, steps[i].n_bounded > 0 ? "at least " : "",
                            ol_text_percent(fabs(steps[i].share)).text, who);
        free(before);
        free(who);
        n++;
    }
    return text;
}

static char *rest(const struct ol_step_feature *f)
{
    if (isnan(f->left) && isnan(f->left_at_most))
        return ol_xstrdup("");
    if (isnan(f->left))
        return ol_xasprintf("; at most %s %% is left after the last layer",
                            ol_text_percent(f->left_at_most).text);
    return ol_xasprintf("; %s %% is left after the last layer",
                        ol_text_percent(f->left).text);
}

static void say_feature(const struct ol_step_feature *f, struct ol_section_out *to)
{
    char *up = name_steps(f, "up"), *down = name_steps(f, "down"), *left = rest(f);
    const bool late = f->down_layer != OL_ABSENT && f->last_layer != OL_ABSENT &&
                      f->down_layer > f->last_layer;
    ol_section_item(
        to, "Dimension %" PRId64 ", %s, on %s token%s: rises %s; falls %s%s%s.",
        f->feature, f->sign != NULL ? f->sign : "sign unknown",
        ol_text_count(f->n_tokens).text, f->n_tokens == 1 ? "" : "s",
        up != NULL ? up : "in no single step", down != NULL ? down : "in no single step",
        late ? ", behind the last layer after which it is massive" : "", left);
    free(left);
    free(down);
    free(up);
}

/* ---- section ---- */

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    const struct ol_steps *b = block_of(r);
    if (b == NULL) {
        ol_section_absent(to, "The list of steps", OL_NEEDS_SUMMARIES);
        return;
    }
    ol_section_say(to,
                   "A step is a layer that changes a massive dimension, on the tokens "
                   "where it is massive, by at least %g %% of what it comes to at its "
                   "peak: step-up and step-down of arXiv 2603.05498. Shares are of the "
                   "sum of |x| at the peaks.",
                   100 * b->min_share);
    if (b->features.n == 0) {
        ol_section_say(to, "No dimension is massive.");
        return;
    }
    const struct ol_step_feature *features = b->features.items;
    for (int64_t i = 0; i < b->features.n && i < OL_SECTION_SENTENCES; i++)
        say_feature(&features[i], to);
    ol_section_figure(to, &figure, NULL);
    ol_section_table(to, &features_table);
    ol_section_table(to, &steps_table);
    ol_section_long(to, &layers_table);
}

static const struct ol_table_source *const tables[] = {&features_table, &steps_table,
                                                       &layers_table, NULL};
static const struct ol_figure *const figures[] = {&figure, NULL};

const struct ol_section ol_steps_section = {
    "steps", "Step-up and step-down", tables, figures, has, write};
