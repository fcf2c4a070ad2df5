/* Rounding rows of activations to the formats that inference engines store them in, and
 * how far off the result is. Scales are such that the largest magnitude of what shares
 * one is the largest number of the format, which may be that of more rows than are
 * looked at. */
#ifndef OL_ANALYZE_QUANTISE_H
#define OL_ANALYZE_QUANTISE_H

#include "common/results/field.h"
#include "common/round_row.h"

enum ol_quantised {
    OL_INT8_TENSOR, /* 8-bit integers -127 .. 127, one scale for all values */
    OL_INT8_TOKEN,  /* one per row: what LLM.int8() does to activations */
    OL_INT8_VECTOR, /* one per column */
    OL_FP8_E4M3,    /* one for all: largest 448 */
    OL_MXFP4_FLOOR, /* these as common/fp4.h has them */
    OL_MXFP4_EVEN,
    OL_NVFP4,
    OL_N_QUANTISED,
};
const char *ol_quantised_name(enum ol_quantised method);
/* Names of all. */
void ol_quantised_names(struct ol_list *names, struct ol_arena *arena);

struct ol_quantise_input {
    const float *x;         /* [n_rows, n_cols] */
    const int64_t *weights; /* [n_rows]: what each row stands for; NULL: the same */
    int64_t n_rows, n_cols;
    const float *columns; /* [n_cols]: the largest magnitude of each column, of all rows
                             that share scales; these rows' values are not larger */
    float *scratch;       /* OL_QUANTISE_SCRATCH * n_cols floats, */
    double *per_row;      /* and OL_N_QUANTISED * n_rows numbers */
};
enum { OL_QUANTISE_SCRATCH = 4 };

struct ol_quantise_errors {
    /* Root of sum (q - x)^2 / sum x^2, q the values rounded, sums of all rows by weight;
     * NaN when all are 0 or a column's largest is not finite. To about seven digits, and
     * what is 2^-90 of the largest value or less counts as 0. */
    double pooled[OL_N_QUANTISED];
    double token_median[OL_N_QUANTISED]; /* of the same of each row, by weight */
    double zeroed[OL_N_QUANTISED]; /* share of the values that are not 0 but become 0 */
    double norm; /* root of sum x^2, or the largest magnitude if that is not finite */
};
void ol_quantise(const struct ol_quantise_input *in, struct ol_quantise_errors *errors);

#endif
