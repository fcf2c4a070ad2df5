#include "extract/observe/unit_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/activation_file.h"

void ol_unit_table_init(struct ol_unit_table *t, const int64_t *starts, int n_experts,
                        int most_units)
{
    t->starts = starts;
    t->n_experts = n_experts;
    t->gate_sums = ol_xcalloc((size_t)n_experts, sizeof *t->gate_sums);
    t->units = ol_xcalloc((size_t)most_units, sizeof *t->units);
}

void ol_unit_table_clear(struct ol_unit_table *t)
{
    free(t->units);
    free(t->gate_sums);
    *t = (struct ol_unit_table){0};
}

/* Row by row: a sum does not depend on how rows are split into parts. */
void ol_unit_table_add_gates(struct ol_unit_table *t, bool begins, int64_t n,
                             const uint16_t *ids, const float *gates)
{
    if (begins)
        memset(t->gate_sums, 0, (size_t)t->n_experts * sizeof *t->gate_sums);
    for (int64_t i = 0; i < n; i++)
        t->gate_sums[ids[i]] += (double)gates[i];
}

/* The larger magnitude, NaN above any; the first part's of equals. */
static bool exceeds(float a, float b)
{
    return fabsf(a) > fabsf(b) || (isnan(a) && !isnan(b));
}

static void add(struct ol_unit *all, const struct ol_unit *part)
{
    all->n_tokens += part->n_tokens;
    if (part->input_row >= 0 &&
        (all->input_row < 0 || exceeds(part->input, all->input))) {
        all->input = part->input;
        all->input_column = part->input_column;
        all->input_row = part->input_row;
    }
    if (part->output_row >= 0 &&
        (all->output_row < 0 || exceeds(part->output, all->output))) {
        all->output = part->output;
        all->output_column = part->output_column;
        all->output_row = part->output_row;
    }
}

void ol_unit_table_add(struct ol_unit_table *t, bool begins, const struct ol_unit *units,
                       int n)
{
    if (begins)
        memcpy(t->units, units, (size_t)n * sizeof *units);
    for (int i = 0; i < n && !begins; i++)
        add(&t->units[i], &units[i]);
}

/* A row as sequence and position. */
static void place(const struct ol_unit_table *t, int64_t row, int column, double *to)
{
    int64_t s = 0;
    while (row >= 0 && t->starts[s + 1] <= row)
        s++;
    to[0] = row < 0 ? -1 : column;
    to[1] = row < 0 ? -1 : (double)s;
    to[2] = row < 0 ? -1 : (double)(row - t->starts[s]);
}

void ol_unit_table_fill(const struct ol_unit_table *t, int n, bool routed, double *table)
{
    for (int i = 0; i < n; i++) {
        const struct ol_unit *unit = &t->units[i];
        double *row = table + (int64_t)i * OL_N_UNIT_COLUMNS;
        row[OL_UNIT_TOKENS] = (double)unit->n_tokens;
        row[OL_UNIT_GATE_SUM] =
            routed && i < t->n_experts ? t->gate_sums[i] : (double)unit->n_tokens;
        row[OL_UNIT_INPUT] = (double)unit->input;
        place(t, unit->input_row, unit->input_column, row + OL_UNIT_INPUT_COLUMN);
        row[OL_UNIT_OUTPUT] = (double)unit->output;
        place(t, unit->output_row, unit->output_column, row + OL_UNIT_OUTPUT_FEATURE);
    }
}
