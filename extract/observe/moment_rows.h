/* Rows of a table of what heads, or residual streams, come to over all tokens: their
 * columns are those of the table of mixed heads, and what else the table has behind. */
#ifndef OL_MOMENT_ROWS_H
#define OL_MOMENT_ROWS_H

#include <stdint.h>

/* table [n, n_columns]: nothing has come yet. width: of a head, or stream. */
void ol_moment_rows_begin(double *table, int64_t n, int n_columns, int64_t width);

/* The OL_N_HEAD_MOMENTS of one token join a row. Of equal extremes the first stays. */
void ol_moment_row_add(double *row, const float *moments, int64_t sequence,
                       int64_t position);

#endif
