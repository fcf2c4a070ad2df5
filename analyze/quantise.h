/* Rounding rows of activations to the formats that inference engines store them in, and
 * how far off the result is. Scales are such that the largest magnitude of what shares
 * one is the largest number of the format. */
#ifndef OL_ANALYZE_QUANTISE_H
#define OL_ANALYZE_QUANTISE_H

#include <stdint.h>

enum ol_quantised {
    OL_INT8_TENSOR, /* 8-bit integers -127 .. 127, one scale for all values */
    OL_INT8_TOKEN,  /* one per row: what LLM.int8() does to activations */
    OL_INT8_VECTOR, /* one per column */
    OL_FP8_E4M3,    /* one for all: largest 448 */
    OL_MXFP4,       /* E2M1; per 32 columns of a row a power of two (OCP MX 1.0) */
    OL_NVFP4,       /* E2M1; per 16 columns an E4M3 scale, over them one in float */
    OL_N_QUANTISED,
};
const char *ol_quantised_name(enum ol_quantised method);

/* Nearest E4M3 (OCP OFP8, ties to even) and E2M1; larger magnitudes become the largest,
 * 448 and 6. */
float ol_round_e4m3(float x);
float ol_round_e2m1(float x);

/* Of each method: root of sum (q - x)^2 / sum x^2 over x [n_rows, n_cols], q the values
 * rounded by it; NaN when all are 0 or one is not finite. To about seven digits, and what
 * is 2^-90 of the largest value or less counts as 0. scratch: OL_QUANTISE_SCRATCH *
 * n_cols floats. Returns the root of sum x^2, NaN or infinite when a value is. */
enum { OL_QUANTISE_SCRATCH = 4 };
double ol_quantise_errors(const float *x, int64_t n_rows, int64_t n_cols, float *scratch,
                          double errors[OL_N_QUANTISED]);

#endif
