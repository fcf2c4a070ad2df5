/* Rows of floats, on the way to how far off they are after rounding. */
#ifndef OL_ANALYZE_ROW_SUMS_H
#define OL_ANALYZE_ROW_SUMS_H

#include <stdint.h>

/* Sums of (q - x)^2 and of x^2, of rows whose values are at most 4; to about seven
 * digits. */
double ol_squares_between(const float *x, const float *q, int64_t n);
double ol_squares_of(const float *x, int64_t n);

/* Rows are multiplied by ol_factor_for() of the largest of all values: exact, the same in
 * every format, and no square overflows. */
void ol_multiply(const float *x, int64_t n, float factor, float *product);

#endif
