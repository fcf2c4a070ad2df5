#include "analyze/down_inputs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/describe.h"
#include "analyze/down_rows.h"
#include "analyze/quantise.h"
#include "analyze/units.h"
#include "common/results/quantisation.h"

enum { MOST_LISTED = 32 };

/* Of a unit's columns over its tokens; NaN: not recorded. */
struct squares {
    double all, most; /* sums, of all columns and of that which has most */
    int64_t column, width;
};

static enum ol_input input_of(const struct ol_parts *parts, const struct ol_unit *unit)
{
    if (!ol_parts_layout(parts)->layers[unit->i_layer].moe)
        return OL_INPUT_MLP_DOWN;
    return unit->routed ? OL_INPUT_EXPERTS_DOWN : OL_INPUT_SHARED_DOWN;
}

static struct squares read_squares(const struct ol_parts *parts,
                                   const struct ol_unit *unit)
{
    const enum ol_input input = input_of(parts, unit);
    const int64_t width =
                      ol_parts_layout(parts)->layers[unit->i_layer].input_widths[input],
                  n_rows = ol_activation_n_inputs(ol_parts_info(parts)->model.n_experts,
                                                  input);
    struct squares s = {(double)NAN, (double)NAN, -1, width};
    if (width == 0)
        return s;
    double *table = ol_xcalloc((size_t)(n_rows * width), sizeof *table),
           *sums = ol_xcalloc((size_t)width, sizeof *sums);
    const double *row = table + (n_rows > 1 ? unit->number : 0) * width;
    for (int file = 0; file < parts->n_files; file++) {
        ol_activation_copy(parts->files[file], ol_table_of_input(input), unit->i_layer,
                           table);
        for (int64_t c = 0; c < width; c++)
            sums[c] += row[c];
    }
    s.all = 0;
    for (int64_t c = 0; c < width; c++) {
        s.all += sums[c];
        if (s.column < 0 || sums[c] > s.most) {
            s.most = sums[c];
            s.column = c;
        }
    }
    free(sums);
    free(table);
    return s;
}

/* Of rounding the sampled rows; NaN where nothing is known of them. The largest numbers
 * of formats are those of all tokens of the unit. */
static void find_errors(const struct ol_down_rows *d, double errors[OL_N_QUANTISED])
{
    const size_t n = (size_t)d->width, n_rows = (size_t)d->n_rows;
    struct ol_quantise_errors found;
    float *scratch = ol_xcalloc(OL_QUANTISE_SCRATCH * n, sizeof *scratch);
    double *per_row = ol_xcalloc(OL_N_QUANTISED * n_rows, sizeof *per_row);
    const struct ol_quantise_input in = {d->rows,   d->weights, d->n_rows, d->width,
                                         d->maxima, scratch,    per_row};
    ol_quantise(&in, &found);
    memcpy(errors, found.pooled, sizeof found.pooled);
    free(per_row);
    free(scratch);
}

static void describe(const struct ol_parts *parts, const struct ol_unit *unit,
                     double median, struct ol_arena *arena, struct ol_down_input *to)
{
    const struct squares s = read_squares(parts, unit);
    const double n_values = (double)unit->n_tokens * (double)s.width;
    struct ol_down_rows rows;
    *to = (struct ol_down_input){
        .who = ol_describe_component(parts, unit->i_layer, unit->number),
        .n_tokens = unit->n_tokens,
        .largest = fabs(unit->input),
        .column = ol_describe_index(unit->input_column),
        .share_of_median = fabs(unit->input) / median,
        .rms = sqrt(s.all / n_values),
        .energy_column = ol_describe_index(s.column),
        .energy_share = s.most / s.all,
        .sampled = OL_ABSENT,
    };
    if (ol_down_rows_read(parts, unit, &rows)) {
        to->sampled = rows.n_rows;
        find_errors(&rows, ol_reals_new(&to->error, OL_N_QUANTISED, arena));
    }
    ol_down_rows_clear(&rows);
}

/* By falling magnitude (NaN first), then in the order of the model. */
static int compare(const void *a, const void *b)
{
    const struct ol_unit *x = *(const struct ol_unit *const *)a,
                         *y = *(const struct ol_unit *const *)b;
    const double left = isnan(x->input) ? (double)INFINITY : fabs(x->input),
                 right = isnan(y->input) ? (double)INFINITY : fabs(y->input);
    if (left != right)
        return left > right ? -1 : 1;
    return (x > y) - (x < y);
}

void ol_down_inputs_describe(const struct ol_parts *parts, struct ol_arena *arena,
                             struct ol_list *down)
{
    struct ol_units units;
    ol_units_read(parts, &units);
    const struct ol_unit **list = ol_xcalloc((size_t)units.n + 1, sizeof *list);
    int64_t n = 0;
    for (int64_t i = 0; i < units.n; i++)
        if (units.units[i].n_tokens > 0)
            list[n++] = &units.units[i];
    *down = (struct ol_list){0};
    if (n > 0) {
        struct ol_down_input *items =
            ol_list_new(down, MOST_LISTED, sizeof *items, arena);
        qsort(list, (size_t)n, sizeof *list, compare);
        const double median =
            (fabs(list[(n - 1) / 2]->input) + fabs(list[n / 2]->input)) / 2;
        for (down->n = 0; down->n < n && down->n < MOST_LISTED; down->n++)
            describe(parts, list[down->n], median, arena, &items[down->n]);
    }
    free(list);
    ol_units_clear(&units);
}
