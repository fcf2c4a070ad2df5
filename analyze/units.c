#include "analyze/units.h"

#include <math.h>
#include <stdlib.h>

#include "common/real_math.h"

const struct ol_super_criterion ol_super_default = {
    .percentile = 99.5, .min_share = 0.1, .first_layers = 0.75, .min_z = 10};

/* ---- reading ---- */

static bool exceeds(double a, double b)
{
    return fabs(a) > fabs(b) || (isnan(a) && !isnan(b));
}

/* A place in a file; -1 for what is no number of anything. */
static int64_t index_of(double value, int64_t n)
{
    return value >= 0 && value < (double)n ? (int64_t)value : -1;
}

/* Sequence and position, as they stand beside each other in a row. */
static void place(const double *columns, const struct ol_activation_layout *layout,
                  int64_t first_sequence, int64_t *sequence, int64_t *position)
{
    const int64_t number = index_of(columns[0], layout->n_sequences);
    *sequence = number >= 0 ? first_sequence + number : -1;
    *position = index_of(columns[1], layout->n_tokens);
}

/* row: of one file, whose sequences are numbered from first_sequence. */
static void add_unit(struct ol_unit *unit, const double *row,
                     const struct ol_activation_layout *layout, int64_t first_sequence)
{
    const int64_t n_tokens = index_of(row[OL_UNIT_TOKENS], INT64_MAX);
    if (n_tokens <= 0)
        return;
    const bool fresh = unit->n_tokens == 0;
    unit->n_tokens += n_tokens;
    unit->gate_sum += row[OL_UNIT_GATE_SUM];
    if (fresh || exceeds(row[OL_UNIT_INPUT], unit->input)) {
        unit->input = row[OL_UNIT_INPUT];
        unit->input_column = index_of(row[OL_UNIT_INPUT_COLUMN], INT32_MAX);
        place(row + OL_UNIT_INPUT_SEQUENCE, layout, first_sequence, &unit->input_sequence,
              &unit->input_position);
    }
    if (fresh || exceeds(row[OL_UNIT_OUTPUT], unit->output)) {
        unit->output = row[OL_UNIT_OUTPUT];
        unit->feature = index_of(row[OL_UNIT_OUTPUT_FEATURE], layout->d_model);
        place(row + OL_UNIT_OUTPUT_SEQUENCE, layout, first_sequence, &unit->sequence,
              &unit->position);
    }
}

static void read_layer(const struct ol_parts *parts, int i_layer, struct ol_unit *units)
{
    const struct ol_activation_layer *layer = &ol_parts_layout(parts)->layers[i_layer];
    double *table = ol_xcalloc((size_t)layer->n_units * OL_N_UNIT_COLUMNS, sizeof *table);
    int64_t first_sequence = 0;
    for (int i = 0; i < layer->n_units; i++)
        units[i] = (struct ol_unit){
            .i_layer = i_layer,
            .layer = layer->number,
            .number = i,
            .routed = layer->moe && i < ol_parts_info(parts)->model.n_experts,
            .input_column = -1,
            .input_sequence = -1,
            .input_position = -1,
            .feature = -1,
            .sequence = -1,
            .position = -1,
        };
    for (int file = 0; file < parts->n_files; file++) {
        const struct ol_activation_layout *layout =
            ol_activation_layout(parts->files[file]);
        ol_activation_copy(parts->files[file], OL_TABLE_UNITS, i_layer, table);
        for (int i = 0; i < layer->n_units; i++)
            add_unit(&units[i], table + (int64_t)i * OL_N_UNIT_COLUMNS, layout,
                     first_sequence);
        first_sequence += layout->n_sequences;
    }
    free(table);
}

void ol_units_read(const struct ol_parts *parts, struct ol_units *u)
{
    const struct ol_activation_layout *layout = ol_parts_layout(parts);
    *u = (struct ol_units){0};
    for (int l = 0; l < layout->n_layers; l++)
        u->n += layout->layers[l].n_units;
    u->units = ol_xcalloc((size_t)u->n + 1, sizeof *u->units);
    struct ol_unit *at = u->units;
    for (int l = 0; l < layout->n_layers; l++)
        if (layout->layers[l].n_units > 0) {
            read_layer(parts, l, at);
            at += layout->layers[l].n_units;
        }
}

void ol_units_clear(struct ol_units *u)
{
    free(u->units);
    *u = (struct ol_units){0};
}

/* ---- super experts ---- */

static int compare_values(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of sorted values, with linear interpolation (as numpy.percentile); NaN of none. */
static double quantile(const double *sorted, int64_t n, double q)
{
    if (n == 0)
        return (double)NAN;
    const double at = q * (double)(n - 1);
    const int64_t low = (int64_t)at, high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (sorted[high] - sorted[low]) * (at - (double)low);
}

/* Chance puts the outputs above a percentile on any of the experts alike: of n_above
 * drawn without putting back from n_outputs, as many are in the first layers as these
 * have of all (the hypergeometric distribution). That holds whatever the outputs'
 * distribution, as long as its percentile is above min_share of the largest, as where
 * tails are light. */
static void expect_noise(const struct ol_units *u, const struct ol_super_criterion *c,
                         double n_layers, struct ol_super_experts *s)
{
    const int64_t n = s->n_outputs;
    for (int64_t i = 0; i < u->n; i++)
        s->n_early += u->units[i].routed && u->units[i].n_tokens > 0 &&
                      isfinite(u->units[i].output) &&
                      (double)u->units[i].layer < c->first_layers * n_layers;
    s->expected = s->probability = (double)NAN;
    if (n == 0)
        return;
    s->n_above = n - 1 - (int64_t)(c->percentile / 100 * (double)(n - 1));
    double none = 1; /* the probability that all of them are in late layers */
    for (int64_t i = 0; i < s->n_above; i++)
        none *= fmax(0, (double)(n - s->n_early - i)) / (double)(n - i);
    s->expected = (double)s->n_above * (double)s->n_early / (double)n;
    s->probability = 1 - none;
}

static double median(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof *values, compare_values);
    return n == 0 ? (double)NAN : (values[(n - 1) / 2] + values[n / 2]) / 2;
}

static void find_limit(const struct ol_units *u,
                       const struct ol_super_criterion *criterion, double *values,
                       struct ol_super_experts *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < u->n; i++)
        if (u->units[i].routed && u->units[i].n_tokens > 0 &&
            isfinite(u->units[i].output))
            values[n++] = fabs(u->units[i].output);
    qsort(values, (size_t)n, sizeof *values, compare_values);
    s->n_outputs = n;
    s->median_output = n > 0 ? (values[(n - 1) / 2] + values[n / 2]) / 2 : (double)NAN;
    s->max_output = n > 0 ? values[n - 1] : (double)NAN;
    const double share = criterion->min_share * s->max_output,
                 top = quantile(values, n, criterion->percentile / 100);
    s->limit = top > share ? top : share;
}

/* Of outputs that are neither zero nor infinite, for their logarithms. */
static bool has_logarithm(const struct ol_unit *unit)
{
    return unit->n_tokens > 0 && isfinite(unit->output) && fabs(unit->output) > 0;
}

static void find_spread(const struct ol_units *u, double *values,
                        struct ol_super_experts *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < u->n; i++)
        if (has_logarithm(&u->units[i]))
            values[n++] = ol_real_log(fabs(u->units[i].output));
    s->median = median(values, n);
    for (int64_t i = 0; i < n; i++)
        values[i] = fabs(values[i] - s->median);
    s->mad = median(values, n);
}

double ol_units_z(const struct ol_super_experts *s, const struct ol_unit *unit)
{
    return has_logarithm(unit)
               ? 0.6745 * (ol_real_log(fabs(unit->output)) - s->median) / s->mad
               : (double)NAN;
}

/* By falling |output|; where they are equal, units are in the order of the model. */
static int compare_units(const void *a, const void *b)
{
    const struct ol_unit *x = *(const struct ol_unit *const *)a,
                         *y = *(const struct ol_unit *const *)b;
    if (fabs(x->output) != fabs(y->output))
        return fabs(x->output) > fabs(y->output) ? -1 : 1;
    return (x > y) - (x < y);
}

void ol_units_super(const struct ol_parts *parts, const struct ol_units *u,
                    const struct ol_super_criterion *criterion,
                    struct ol_super_experts *s)
{
    const double n_layers = (double)ol_parts_info(parts)->model.n_layers;
    double *values = ol_xcalloc((size_t)u->n + 1, sizeof *values);
    *s = (struct ol_super_experts){
        .experts = ol_xcalloc((size_t)u->n + 1, sizeof *s->experts),
        .robust = ol_xcalloc((size_t)u->n + 1, sizeof *s->robust),
    };
    find_limit(u, criterion, values, s);
    expect_noise(u, criterion, n_layers, s);
    find_spread(u, values, s);
    free(values);
    for (int64_t i = 0; i < u->n; i++) {
        const struct ol_unit *unit = &u->units[i];
        const bool in_mlp_of_experts = ol_parts_layout(parts)->layers[unit->i_layer].moe;
        if (unit->n_tokens > 0 && in_mlp_of_experts && fabs(unit->output) > s->limit &&
            (double)unit->layer < criterion->first_layers * n_layers)
            s->experts[s->n++] = unit;
        const double z = ol_units_z(s, unit);
        if (isfinite(z) && z >= criterion->min_z)
            s->robust[s->n_robust++] = unit;
    }
    qsort(s->experts, (size_t)s->n, sizeof(void *), compare_units);
    qsort(s->robust, (size_t)s->n_robust, sizeof(void *), compare_units);
}

void ol_units_super_clear(struct ol_super_experts *s)
{
    free(s->experts);
    free(s->robust);
    *s = (struct ol_super_experts){0};
}
