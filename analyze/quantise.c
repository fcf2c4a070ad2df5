#include "analyze/quantise.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "analyze/sample.h"
#include "common/magnitude.h"
#include "common/narrow.h"

enum { MXFP4_BLOCK = 32, NVFP4_BLOCK = 16 };

static const float int8_largest = OL_INT8_DIVISOR;

const char *ol_quantised_name(enum ol_quantised method)
{
    static const char *const names[OL_N_QUANTISED] = {
        [OL_INT8_TENSOR] = "int8_tensor",
        [OL_INT8_TOKEN] = "int8_token",
        [OL_INT8_VECTOR] = "int8_vector",
        [OL_FP8_E4M3] = "fp8_e4m3",
        [OL_MXFP4_FLOOR] = "mxfp4 (floor)",
        [OL_MXFP4_EVEN] = "mxfp4 (even)",
        [OL_NVFP4] = "nvfp4",
    };
    return names[method];
}

void ol_quantised_names(struct ol_list *names, struct ol_arena *arena)
{
    const char **to = ol_list_new(names, OL_N_QUANTISED, sizeof *to, arena);
    for (int m = 0; m < OL_N_QUANTISED; m++)
        to[m] = ol_quantised_name((enum ol_quantised)m);
}

/* To the nearest whole number, ties to even, for magnitudes below 2^22: a float of 1.5 *
 * 2^23 has no bits for anything smaller. */
static inline float nearest(float x)
{
    const float shift = 0x1.8p23f;
    return (x + shift) - shift;
}

/* What x / scale is multiplied by instead. The largest of all values is about 1 (see
 * below), and what has a scale so small is nothing beside it: it becomes 0. */
static inline float inverse_of(float scale)
{
    return scale > 0x1p-90f ? 1 / scale : 0;
}

static void to_int8(const float *restrict x, int64_t n, float scale, float *restrict q)
{
    const float inverse = inverse_of(scale);
    for (int64_t i = 0; i < n; i++)
        q[i] = nearest(x[i] * inverse) * scale;
}

/* Each column by a scale of its own. */
static void to_int8_columns(const float *restrict x, int64_t n,
                            const float *restrict scales, const float *restrict inverses,
                            float *restrict q)
{
    for (int64_t c = 0; c < n; c++)
        q[c] = nearest(x[c] * inverses[c]) * scales[c];
}

static void to_fp8(const float *restrict x, int64_t n, float scale, float *restrict q)
{
    const float inverse = inverse_of(scale);
    for (int64_t i = 0; i < n; i++)
        q[i] = ol_e4m3_round(x[i] * inverse) * scale;
}

static inline void to_fp4(const float *restrict x, int64_t n, float scale,
                          float *restrict q)
{
    const float inverse = inverse_of(scale);
    for (int64_t i = 0; i < n; i++)
        q[i] = ol_e2m1_round(x[i] * inverse) * scale;
}

/* With the digit behind the leading one rounded up, as E2M1 has one: 1.75 and more carry
 * into the next power of two. */
static inline float rounded_digit(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits += 1u << 21;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The largest power of two in the block's largest value becomes that of the format: 4. */
static inline void mxfp4_block(const float *restrict x, int64_t n, bool even,
                               float *restrict q)
{
    const float most = ol_largest_magnitude(x, n);
    to_fp4(x, n, ol_e8m0_round_down(even ? rounded_digit(most) : most) / 4, q);
}

/* Whole blocks are of a length that the compiler knows: no loops over the rest of one. */
static inline void to_mxfp4(const float *restrict x, int64_t n, bool even,
                            float *restrict q)
{
    int64_t i = 0;
    for (; i + MXFP4_BLOCK <= n; i += MXFP4_BLOCK)
        mxfp4_block(x + i, MXFP4_BLOCK, even, q + i);
    if (i < n)
        mxfp4_block(x + i, n - i, even, q + i);
}

/* As many blocks as lie in n <= NVFP4_RUN values: first their scales, side by side.
 * `over` multiplies them, so that the largest is 448. */
enum { NVFP4_RUN = 64 * NVFP4_BLOCK };
static void nvfp4_run(const float *restrict x, int64_t n, float over, float *restrict q)
{
    float scales[NVFP4_RUN / NVFP4_BLOCK];
    const int64_t whole = n / NVFP4_BLOCK, left = n % NVFP4_BLOCK;
    for (int64_t i = 0; i < whole; i++)
        scales[i] = ol_largest_magnitude(x + i * NVFP4_BLOCK, NVFP4_BLOCK);
    if (left > 0)
        scales[whole] = ol_largest_magnitude(x + whole * NVFP4_BLOCK, left);
    for (int64_t i = 0; i < whole + (left > 0); i++)
        scales[i] = ol_e4m3_round(scales[i] / ol_e2m1_largest / over) * over;
    for (int64_t i = 0; i < whole; i++)
        to_fp4(x + i * NVFP4_BLOCK, NVFP4_BLOCK, scales[i], q + i * NVFP4_BLOCK);
    if (left > 0)
        to_fp4(x + whole * NVFP4_BLOCK, left, scales[whole], q + whole * NVFP4_BLOCK);
}

static void to_nvfp4(const float *restrict x, int64_t n, float over, float *restrict q)
{
    for (int64_t i = 0; i < n; i += NVFP4_RUN)
        nvfp4_run(x + i, n - i < NVFP4_RUN ? n - i : NVFP4_RUN, over, q + i);
}

/* ---- errors ---- */

/* Sums of so many values apart from each other, which need not wait for one another. A
 * row's are floats: of rows whose values are at most 4, and to about seven digits. */
enum { LANES = 16 };

static inline double sum_of(const float lanes[LANES])
{
    double sum = 0;
    for (int i = 0; i < LANES; i++)
        sum += (double)lanes[i];
    return sum;
}

/* Sum of (q - x)^2. */
static double squares_between(const float *restrict x, const float *restrict q, int64_t n)
{
    float lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            const float error = q[i + k] - x[i + k];
            lanes[k] += error * error;
        }
    for (int k = 0; i + k < n; k++) {
        const float error = q[i + k] - x[i + k];
        lanes[k] += error * error;
    }
    return sum_of(lanes);
}

static double squares_of(const float *x, int64_t n)
{
    float lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            lanes[k] += x[i + k] * x[i + k];
    for (int k = 0; i + k < n; k++)
        lanes[k] += x[i + k] * x[i + k];
    return sum_of(lanes);
}

/* What rows share. */
struct scales {
    float largest;                   /* magnitude of all values */
    const float *columns, *inverses; /* [n_cols] of OL_INT8_VECTOR */
};

static void quantise_row(enum ol_quantised method, const struct scales *s, const float *x,
                         int64_t n, float *q)
{
    switch (method) {
    case OL_INT8_TENSOR:
        to_int8(x, n, s->largest / int8_largest, q);
        return;
    case OL_INT8_TOKEN:
        to_int8(x, n, ol_largest_magnitude(x, n) / int8_largest, q);
        return;
    case OL_INT8_VECTOR:
        to_int8_columns(x, n, s->columns, s->inverses, q);
        return;
    case OL_FP8_E4M3:
        to_fp8(x, n, s->largest / ol_e4m3_largest, q);
        return;
    case OL_MXFP4_FLOOR:
        to_mxfp4(x, n, false, q);
        return;
    case OL_MXFP4_EVEN:
        to_mxfp4(x, n, true, q);
        return;
    case OL_NVFP4:
        to_nvfp4(x, n, s->largest / (ol_e4m3_largest * ol_e2m1_largest), q);
        return;
    case OL_N_QUANTISED:
        return;
    }
}

/* Rows are multiplied by a power of two that brings the largest of all values near 1:
 * exact, the same in every format, and no square overflows. */
static float factor_for(float most)
{
    uint32_t bits;
    memcpy(&bits, &most, sizeof bits);
    bits = 0x7f000000u - (bits & 0x7f800000u);
    bits = bits < 0x00800000u ? 0x00800000u : bits;
    memcpy(&most, &bits, sizeof most);
    return most;
}

static void multiply(const float *restrict x, int64_t n, float factor,
                     float *restrict product)
{
    for (int64_t c = 0; c < n; c++)
        product[c] = x[c] * factor;
}

static void find_scales(const float *restrict most, int64_t n_cols, float factor,
                        float *restrict columns, float *restrict inverses)
{
    for (int64_t c = 0; c < n_cols; c++) {
        columns[c] = most[c] * factor / int8_largest;
        inverses[c] = inverse_of(columns[c]);
    }
}

/* Values that are not 0 but became it. */
static int64_t count_zeroed(const float *restrict x, const float *restrict q, int64_t n)
{
    int32_t zeroed = 0;
    for (int64_t i = 0; i < n; i++)
        zeroed += (q[i] == 0) & (x[i] != 0); /* n is far below 2^31 */
    return zeroed;
}

/* Sums over rows, by weight. */
struct sums {
    double all, weight, off[OL_N_QUANTISED], zeroed[OL_N_QUANTISED];
};

static void add_row(const struct ol_quantise_input *in, const struct scales *scales,
                    int64_t i, const float *row, struct sums *sums)
{
    float *q = in->scratch;
    const double weight = in->weights != NULL ? (double)in->weights[i] : 1,
                 all = squares_of(row, in->n_cols);
    sums->weight += weight;
    sums->all += weight * all;
    for (int m = 0; m < OL_N_QUANTISED; m++) {
        quantise_row((enum ol_quantised)m, scales, row, in->n_cols, q);
        const double off = squares_between(row, q, in->n_cols);
        sums->off[m] += weight * off;
        sums->zeroed[m] += weight * (double)count_zeroed(row, q, in->n_cols);
        in->per_row[m * in->n_rows + i] = all > 0 ? sqrt(off / all) : NAN;
    }
}

static void unknown(float most, struct ol_quantise_errors *errors)
{
    for (int m = 0; m < OL_N_QUANTISED; m++)
        errors->pooled[m] = errors->token_median[m] = errors->zeroed[m] = NAN;
    errors->norm = (double)most;
}

/* Row by row, so that a row stays in the nearest cache for all methods. */
void ol_quantise(const struct ol_quantise_input *in, struct ol_quantise_errors *errors)
{
    float *columns = in->scratch + in->n_cols, *inverses = columns + in->n_cols,
          *row = inverses + in->n_cols;
    const float most = ol_largest_magnitude(in->columns, in->n_cols),
                factor = factor_for(most);
    const struct scales scales = {most * factor, columns, inverses};
    struct sums sums = {0};
    if (!isfinite(most) || most == 0 || in->n_rows == 0) {
        unknown(most, errors);
        return;
    }
    find_scales(in->columns, in->n_cols, factor, columns, inverses);
    for (int64_t i = 0; i < in->n_rows; i++) {
        multiply(in->x + i * in->n_cols, in->n_cols, factor, row);
        add_row(in, &scales, i, row, &sums);
    }
    for (int m = 0; m < OL_N_QUANTISED; m++) {
        errors->pooled[m] = sums.all > 0 ? sqrt(sums.off[m] / sums.all) : NAN;
        errors->zeroed[m] = sums.zeroed[m] / (sums.weight * (double)in->n_cols);
        errors->token_median[m] =
            ol_weighted_median(in->per_row + m * in->n_rows, in->weights, in->n_rows);
    }
    errors->norm = sqrt(sums.all) / (double)factor;
}
