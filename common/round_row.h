/* Rounding rows of activations to the formats that engines store them in, token by token:
 * every scale follows from the row's own values. */
#ifndef OL_ROUND_ROW_H
#define OL_ROUND_ROW_H

#include <stdint.h>

#include "common/round_block.h"

/* What a row may be rounded to; in this order the activation file has them. */
enum ol_row_format {
    OL_ROW_PLAIN, /* it stays as it is */
    OL_ROW_INT8,  /* 8-bit integers -127 .. 127, the largest magnitude becomes 127 */
    OL_ROW_FP8,   /* E4M3, the largest magnitude becomes 448 */
    /* E4M3, and a power of two per 32 columns, such that the largest value's becomes the
     * format's, 256 (OCP MX 1.0); larger ones than 448 become that. */
    OL_ROW_MXFP8,
    OL_ROW_NVFP4, /* these as common/fp4.h has them, the scale over blocks the row's */
    OL_ROW_FOUR_OVER_SIX,
    OL_ROW_MXFP4_FLOOR,
    OL_ROW_MXFP4_EVEN,
    OL_N_ROW_FORMATS,
};
const char *ol_row_format_name(enum ol_row_format format);

/* x [n] into q [n]; scratch [n]. A row with a value that is not finite stays as it is. */
void ol_round_row(enum ol_row_format format, const float *x, int64_t n, float *scratch,
                  float *q);

/* ---- of values the largest of which is about 1 (ol_factor_for) ---- */

/* What the largest magnitude is divided by for the scale of 8-bit integers. */
enum { OL_INT8_DIVISOR = 127 };

void ol_round_int8(const float *x, int64_t n, float scale, float *q);
void ol_round_fp8(const float *x, int64_t n, float scale, float *q);

#endif
