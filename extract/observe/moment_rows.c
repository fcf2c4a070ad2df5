#include "extract/observe/moment_rows.h"

#include <math.h>

#include "common/activation_file.h"
#include "extract/ops.h"

void ol_moment_rows_begin(double *table, int64_t n, int n_columns, int64_t width)
{
    for (; n > 0; n--, table += n_columns) {
        table[OL_MIXED_WIDTH] = (double)width;
        table[OL_MIXED_SQUARES] = 0;
        table[OL_MIXED_MAX] = (double)-INFINITY;
        table[OL_MIXED_MIN] = (double)INFINITY;
        table[OL_MIXED_MAX_SEQUENCE] = table[OL_MIXED_MAX_POSITION] = -1;
        table[OL_MIXED_MIN_SEQUENCE] = table[OL_MIXED_MIN_POSITION] = -1;
        for (int c = OL_N_MIXED_COLUMNS; c < n_columns; c++)
            table[c] = -1;
    }
}

void ol_moment_row_add(double *row, const float *moments, int64_t sequence,
                       int64_t position)
{
    const double largest = (double)moments[OL_MOMENT_LARGEST],
                 smallest = (double)moments[OL_MOMENT_SMALLEST];
    row[OL_MIXED_SQUARES] += (double)moments[OL_MOMENT_SQUARES];
    if (largest > row[OL_MIXED_MAX]) {
        row[OL_MIXED_MAX] = largest;
        row[OL_MIXED_MAX_SEQUENCE] = (double)sequence;
        row[OL_MIXED_MAX_POSITION] = (double)position;
    }
    if (smallest < row[OL_MIXED_MIN]) {
        row[OL_MIXED_MIN] = smallest;
        row[OL_MIXED_MIN_SEQUENCE] = (double)sequence;
        row[OL_MIXED_MIN_POSITION] = (double)position;
    }
}
