/* Where in a sequence outliers are found. */
#include <math.h>
#include <stdlib.h>

#include "report/chart.h"
#include "report/figures.h"

static bool has_positions(const struct ol_report_results *r)
{
    const struct ol_positions *p = r->blocks.positions;
    for (int64_t i = 0; p != NULL && i < p->per_position.n; i++)
        if (p->per_position.items[i] > 0)
            return true;
    return false;
}

/* per_position has a bin per position, or at most 256 of equal width; a first token's
 * peak is why the axis is logarithmic when values allow it. */
static void draw_positions(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_reals *values = &r->blocks.positions->per_position;
    const double length =
        (double)r->n_tokens / (double)(r->n_sequences > 0 ? r->n_sequences : 1);
    const double given = r->blocks.positions->bin_width,
                 width = given > 0 ? given : fmax(1, length / (double)values->n);
    double *x = ol_xcalloc((size_t)values->n, sizeof *x);
    bool positive = true;
    for (int64_t i = 0; i < values->n; i++) {
        x[i] = floor((double)i * width);
        positive = positive && values->items[i] > 0;
    }
    const struct ol_series series = {
        .name = "occurrences", .x = x, .y = values->items, .n = values->n};
    const struct ol_chart chart = {
        .series = &series,
        .n_series = 1,
        .x = {.title = "position in the sequence (first of its bin)", .whole = true},
        .y = {.title = positive ? "occurrences per token (log scale)"
                                : "occurrences per token",
              .log = positive},
        .y_from_zero = true,
        .x_high = fmax(1, length - 1)};
    ol_chart_draw(c, &chart);
    free(x);
}

const struct ol_figure ol_positions_figure = {
    "positions",
    "Outliers by position",
    "Mean number of occurrences of outlier features per token, from the first position "
    "of a sequence to the last. A peak at the left edge is the first token, which often "
    "serves as an attention sink; a level line means that outliers are everywhere.",
    OL_NEEDS_FEATURES,
    has_positions,
    draw_positions};
