/* Rounding rows to numbers of four bits (E2M1) whose blocks of columns share a scale. */
#ifndef OL_FP4_H
#define OL_FP4_H

#include <stdint.h>

enum ol_fp4 {
    OL_FP4_NVFP4, /* per 16 columns an E4M3 scale, over them one in float */
    /* The same, but the largest of a block becomes 6 or 4, whichever leaves the smaller
     * sum of squared errors (arXiv 2512.02010). */
    OL_FP4_FOUR_OVER_SIX,
    /* Per 32 columns a power of two, such that the largest value's becomes the format's
     * (OCP MX 1.0), rounded down, */
    OL_FP4_MXFP4_FLOOR,
    /* or of the largest value rounded to E2M1's digits first (compressed-tensors; EVEN
     * of torchao): from 1.75 times a power of two on the next. */
    OL_FP4_MXFP4_EVEN,
    OL_N_FP4,
};
const char *ol_fp4_name(enum ol_fp4 format);

/* A row. `largest` is the largest magnitude of all rows that share the scale over those
 * of blocks. Columns that are left at the end are a shorter block. A block whose scale is
 * 2^-90 or less becomes 0. */
void ol_fp4_round(enum ol_fp4 format, float largest, const float *x, int64_t n, float *q);

#endif
