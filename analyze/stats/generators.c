/* Where massive activations are made: what goes into the down projections of experts,
 * shared experts and dense MLPs. Extremes, kurtosis and the columns of the largest
 * magnitudes of each unit (generator sites of arXiv 2604.18128). Of all tokens, from the
 * summaries; but for the kurtosis of tokens, which is of the rows that are kept. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/down_rows.h"
#include "analyze/sample.h"
#include "analyze/statistics.h"
#include "common/results/generators.h"

enum { MOST_UNITS = 32, MOST_COLUMNS = 4 };

struct work {
    const struct ol_analysis *a;
    struct ol_units units;
    double *largest, *kurtosis; /* [units.n]; NaN without tokens */
    struct ol_arena *arena;
};

/* To ten digits: sums of several files may be rounded in another way than one's. */
static double ten_digits(double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.9e", value);
    return isfinite(value) ? strtod(text, NULL) : (double)NAN;
}

/* Of n values with these sums of powers: the fourth central moment over the square of
 * the second. */
static double kurtosis_of(double n, const double *sums)
{
    const double mean = sums[0] / n, squares = sums[1] / n, cubes = sums[2] / n,
                 fourths = sums[3] / n;
    const double second = squares - mean * mean, fourth = fourths - 4 * mean * cubes +
                                                          6 * mean * mean * squares -
                                                          3 * mean * mean * mean * mean;
    return second > 0 ? ten_digits(fourth / (second * second)) : (double)NAN;
}

static double row_kurtosis(const float *x, int64_t n)
{
    double sum = 0, second = 0, fourth = 0;
    for (int64_t c = 0; c < n; c++)
        sum += (double)x[c];
    for (int64_t c = 0; c < n; c++) {
        const double off = (double)x[c] - sum / (double)n, square = off * off;
        second += square;
        fourth += square * square;
    }
    const double result = (double)n * fourth / (second * second);
    return isfinite(result) ? result : (double)NAN;
}

static double token_median(const struct ol_down_rows *d)
{
    double *values = ol_xcalloc((size_t)d->n_rows, sizeof *values);
    for (int64_t i = 0; i < d->n_rows; i++)
        values[i] = row_kurtosis(d->rows + i * d->width, d->width);
    const double median = ol_weighted_median(values, d->weights, d->n_rows);
    free(values);
    return median;
}

/* ---- all units ---- */

static void measure(void *arg, int64_t i, int thread)
{
    (void)thread;
    struct work *w = arg;
    const struct ol_unit *unit = &w->units.units[i];
    struct ol_down_rows d;
    w->largest[i] = w->kurtosis[i] = (double)NAN;
    if (unit->n_tokens > 0 && ol_down_rows_read(w->a->parts, unit, &d)) {
        w->largest[i] = fabs(unit->input);
        w->kurtosis[i] = kurtosis_of((double)unit->n_tokens * (double)d.width,
                                     d.moments + OL_DOWN_SUM);
        ol_down_rows_clear(&d);
    }
}

static void describe_layers(struct work *w, struct ol_list *list)
{
    const struct ol_activation_layout *layout = ol_parts_layout(w->a->parts);
    struct ol_generator_layer *layers =
        ol_list_new(list, layout->n_layers, sizeof *layers, w->arena);
    list->n = 0;
    for (int64_t i = 0; i < w->units.n;) {
        const struct ol_unit *unit = &w->units.units[i];
        const int64_t n = layout->layers[unit->i_layer].n_units;
        layers[list->n++] =
            (struct ol_generator_layer){.layer = unit->layer,
                                        .largest = {w->largest + i, n, {0}},
                                        .kurtosis = {w->kurtosis + i, n, {0}}};
        i += n;
    }
}

/* ---- the largest ---- */

static double rank_of(const struct ol_unit *unit)
{
    return isnan(unit->input) ? (double)INFINITY : fabs(unit->input);
}

/* By falling magnitude (NaN first), then in the order of the model. */
static int compare(const void *a, const void *b)
{
    const struct ol_unit *x = *(const struct ol_unit *const *)a,
                         *y = *(const struct ol_unit *const *)b;
    if (rank_of(x) != rank_of(y))
        return rank_of(x) > rank_of(y) ? -1 : 1;
    return (x > y) - (x < y);
}

static double magnitude_of(float value)
{
    return isnan(value) ? (double)INFINITY : (double)value;
}

/* By falling magnitude, ties to the lower column. */
static void describe_columns(struct work *w, const struct ol_down_rows *d,
                             struct ol_list *list)
{
    struct ol_generator_column *top =
        ol_list_new(list, MOST_COLUMNS, sizeof *top, w->arena);
    list->n = 0;
    for (int64_t c = 0; c < d->width; c++) {
        const double magnitude = magnitude_of(d->maxima[c]);
        int64_t at = list->n < MOST_COLUMNS ? list->n++ : MOST_COLUMNS;
        for (; at > 0 && top[at - 1].largest < magnitude; at--)
            if (at < MOST_COLUMNS)
                top[at] = top[at - 1];
        if (at < MOST_COLUMNS)
            top[at] = (struct ol_generator_column){c, magnitude};
    }
}

static void describe_unit(struct work *w, const struct ol_unit *unit, double median,
                          struct ol_generator *g)
{
    const struct ol_parts *parts = w->a->parts;
    struct ol_down_rows d;
    ol_down_rows_read(parts, unit, &d);
    *g = (struct ol_generator){
        .who = ol_describe_component(parts, unit->i_layer, unit->number),
        .n_tokens = unit->n_tokens,
        .largest = fabs(unit->input),
        .share_of_median = fabs(unit->input) / median,
        .maximum = d.moments[OL_DOWN_LARGEST],
        .minimum = d.moments[OL_DOWN_SMALLEST],
        .at = ol_describe_place(parts, unit->input_sequence, unit->input_position),
        .rms = ten_digits(sqrt(d.moments[OL_DOWN_SQUARES] /
                               ((double)unit->n_tokens * (double)d.width))),
        .kurtosis = w->kurtosis[unit - w->units.units],
        .kurtosis_token_median = token_median(&d)};
    describe_columns(w, &d, &g->columns);
    ol_down_rows_clear(&d);
}

static void describe_largest(struct work *w, double median, struct ol_list *list)
{
    const struct ol_unit **order = ol_xcalloc((size_t)w->units.n, sizeof *order);
    struct ol_generator *units = ol_list_new(list, MOST_UNITS, sizeof *units, w->arena);
    int64_t n = 0;
    for (int64_t i = 0; i < w->units.n; i++)
        if (w->units.units[i].n_tokens > 0)
            order[n++] = &w->units.units[i];
    if (n > 0)
        qsort(order, (size_t)n, sizeof *order, compare);
    for (list->n = 0; list->n < n && list->n < MOST_UNITS; list->n++)
        describe_unit(w, order[list->n], median, &units[list->n]);
    free(order);
}

/* ---- the block ---- */

static void describe(struct work *w, struct ol_generators *block)
{
    block->median_largest = ol_weighted_median(w->largest, NULL, w->units.n);
    block->median_kurtosis = ol_weighted_median(w->kurtosis, NULL, w->units.n);
    for (int64_t i = 0; i < w->units.n; i++)
        block->n_units += w->units.units[i].n_tokens > 0;
    describe_layers(w, &block->layers);
    describe_largest(w, block->median_largest, &block->units);
}

/* Whether all layers have what is needed. */
static bool is_recorded(const struct ol_parts *parts, const struct ol_units *units)
{
    const struct ol_activation_layout *layout = ol_parts_layout(parts);
    bool any_tokens = false;
    for (int64_t i = 0; i < units->n; i++) {
        if (layout->layers[units->units[i].i_layer].down_widths[OL_DOWN_OWN] == 0)
            return false;
        any_tokens |= units->units[i].n_tokens > 0;
    }
    return any_tokens;
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    struct work w = {.a = a, .arena = arena};
    ol_units_read(a->parts, &w.units);
    const size_t n = (size_t)w.units.n;
    const bool known = is_recorded(a->parts, &w.units);
    if (known) {
        w.largest = ol_arena_calloc(arena, n, sizeof *w.largest);
        w.kurtosis = ol_arena_calloc(arena, n, sizeof *w.kurtosis);
        ol_pool_run(a->pool, w.units.n, measure, &w);
        describe(&w, block);
    }
    ol_units_clear(&w.units);
    return known;
}

const struct ol_statistic ol_generators_statistic = {.name = "generators",
                                                     .results = results};
