#include "analyze/quantise.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { MXFP4_BLOCK = 32, NVFP4_BLOCK = 16 };

static const float int8_largest = 127, e4m3_largest = 448, e2m1_largest = 6;

const char *ol_quantised_name(enum ol_quantised method)
{
    static const char *const names[OL_N_QUANTISED] = {
        [OL_INT8_TENSOR] = "int8_tensor",
        [OL_INT8_TOKEN] = "int8_token",
        [OL_INT8_VECTOR] = "int8_vector",
        [OL_FP8_E4M3] = "fp8_e4m3",
        [OL_MXFP4] = "mxfp4",
        [OL_NVFP4] = "nvfp4",
    };
    return names[method];
}

/* To the nearest whole number, ties to even, for magnitudes below 2^22: a float of 1.5 *
 * 2^23 has no bits for anything smaller. */
static inline float nearest(float x)
{
    const float shift = 0x1.8p23f;
    return (x + shift) - shift;
}

/* To a multiple of `step`, a power of two, whose inverse is exact. */
static inline float to_step(float x, float step, float inverse)
{
    return nearest(x * inverse) * step;
}

static inline float clamp(float x, float limit)
{
    x = x > limit ? limit : x;
    return x < -limit ? -limit : x;
}

/* Three bits behind the leading one; from 2^-6 down all numbers are 2^-9 apart. */
static inline float round_e4m3(float x)
{
    uint32_t bits;
    float step, inverse;
    memcpy(&bits, &x, sizeof bits);
    bits &= 0x7f800000u;
    bits = bits < 0x3c800000u ? 0x3c800000u : bits; /* 2^-6 */
    bits = bits > 0x44000000u ? 0x44000000u : bits; /* 2^9: past the largest */
    bits -= 3u << 23;
    memcpy(&step, &bits, sizeof step);
    bits = 0x7f000000u - bits;
    memcpy(&inverse, &bits, sizeof inverse);
    return clamp(to_step(clamp(x, 512), step, inverse), e4m3_largest);
}

/* One bit behind the leading one; from 1 down all numbers are 1/2 apart. Without
 * branches, which values near an edge would mislead. */
static inline float round_e2m1(float x)
{
    uint32_t bits;
    float step, inverse;
    memcpy(&bits, &x, sizeof bits);
    bits &= 0x7f800000u;
    bits = bits < 0x3f800000u ? 0x3f800000u : bits; /* 2^0 */
    bits = bits > 0x40800000u ? 0x40800000u : bits; /* 2^2: that of the largest */
    bits -= 1u << 23;
    memcpy(&step, &bits, sizeof step);
    bits = 0x7f000000u - bits;
    memcpy(&inverse, &bits, sizeof inverse);
    return clamp(to_step(x, step, inverse), e2m1_largest);
}

float ol_round_e4m3(float x)
{
    return round_e4m3(x);
}

float ol_round_e2m1(float x)
{
    return round_e2m1(clamp(x, e2m1_largest));
}

/* Magnitudes are ordered as their bits are; a NaN, which is larger than any, makes the
 * error one too. */
static inline float largest(const float *x, int64_t n)
{
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    float value;
    memcpy(&value, &most, sizeof value);
    return value;
}

/* q = nearest(x / scale) * scale; a scale of 0 belongs to values that are all 0. */
static void to_int8(const float *x, int64_t n, float scale, float *q)
{
    if (scale == 0)
        scale = 1;
    for (int64_t i = 0; i < n; i++)
        q[i] = nearest(clamp(x[i] / scale, int8_largest)) * scale;
}

/* Each column by a scale of its own. */
static void to_int8_columns(const float *restrict x, int64_t n,
                            const float *restrict scales, float *restrict q)
{
    for (int64_t c = 0; c < n; c++)
        q[c] = nearest(clamp(x[c] / scales[c], int8_largest)) * scales[c];
}

static void to_fp8(const float *restrict x, int64_t n, float scale, float *restrict q)
{
    for (int64_t i = 0; i < n; i++)
        q[i] = round_e4m3(x[i] / scale) * scale;
}

static inline void to_fp4(const float *restrict x, int64_t n, float scale,
                          float *restrict q)
{
    if (!(scale > 0))
        scale = 1;
    for (int64_t i = 0; i < n; i++)
        q[i] = round_e2m1(clamp(x[i] / scale, e2m1_largest)) * scale;
}

/* The largest power of two that is not above x; of subnormal numbers 0. */
static inline float power_of_two_below(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= 0x7f800000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The largest power of two in the block's largest value becomes that of the format: 4.
 * Scales have no smaller exponent than -127. */
static inline void mxfp4_block(const float *restrict x, int64_t n, float *restrict q)
{
    const float scale = power_of_two_below(largest(x, n)) / 4;
    to_fp4(x, n, scale > 0x1p-127f ? scale : 0x1p-127f, q);
}

/* Whole blocks are of a length that the compiler knows: no loops over the rest of one. */
static void to_mxfp4(const float *restrict x, int64_t n, float *restrict q)
{
    int64_t i = 0;
    for (; i + MXFP4_BLOCK <= n; i += MXFP4_BLOCK)
        mxfp4_block(x + i, MXFP4_BLOCK, q + i);
    if (i < n)
        mxfp4_block(x + i, n - i, q + i);
}

/* As many blocks as lie in n <= NVFP4_RUN values: first their scales, side by side.
 * `over` multiplies them, so that the largest is 448. */
enum { NVFP4_RUN = 64 * NVFP4_BLOCK };
static void nvfp4_run(const float *restrict x, int64_t n, float over, float *restrict q)
{
    float scales[NVFP4_RUN / NVFP4_BLOCK];
    const int64_t whole = n / NVFP4_BLOCK, left = n % NVFP4_BLOCK;
    for (int64_t i = 0; i < whole; i++)
        scales[i] = largest(x + i * NVFP4_BLOCK, NVFP4_BLOCK);
    if (left > 0)
        scales[whole] = largest(x + whole * NVFP4_BLOCK, left);
    for (int64_t i = 0; i < whole + (left > 0); i++)
        scales[i] = over > 0 ? round_e4m3(scales[i] / e2m1_largest / over) * over : 0;
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

/* Sums of so many values apart from each other, which need not wait for one another; in
 * the end added up in their order. */
enum { LANES = 16 };

static double sum_of(const double lanes[LANES])
{
    double sum = 0;
    for (int i = 0; i < LANES; i++)
        sum += lanes[i];
    return sum;
}

/* Of the first n lanes: (q - x)^2. */
static inline void add_squares(const float *restrict x, const float *restrict q,
                               int64_t n, double lanes[restrict LANES])
{
    for (int64_t k = 0; k < n; k++) {
        const double error = (double)q[k] - (double)x[k];
        lanes[k] += error * error;
    }
}

/* Of a row; lanes [LANES]. */
static void add_row(const float *x, const float *q, int64_t n, double *lanes)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        add_squares(x + i, q + i, LANES, lanes);
    add_squares(x + i, q + i, n - i, lanes);
}

/* What rows share. */
struct scales {
    float largest;        /* magnitude of all values */
    const float *columns; /* [n_cols] of OL_INT8_VECTOR */
};

static void quantise_row(enum ol_quantised method, const struct scales *s, const float *x,
                         int64_t n, float *q)
{
    const float fp8 = s->largest > 0 ? s->largest / e4m3_largest : 1;
    switch (method) {
    case OL_INT8_TENSOR:
        to_int8(x, n, s->largest / int8_largest, q);
        return;
    case OL_INT8_TOKEN:
        to_int8(x, n, largest(x, n) / int8_largest, q);
        return;
    case OL_INT8_VECTOR:
        to_int8_columns(x, n, s->columns, q);
        return;
    case OL_FP8_E4M3:
        to_fp8(x, n, fp8, q);
        return;
    case OL_MXFP4:
        to_mxfp4(x, n, q);
        return;
    case OL_NVFP4:
        to_nvfp4(x, n, s->largest / (e4m3_largest * e2m1_largest), q);
        return;
    case OL_N_QUANTISED:
        return;
    }
}

static void find_scales(const float *x, int64_t n_rows, int64_t n_cols, float *columns)
{
    memset(columns, 0, (size_t)n_cols * sizeof *columns);
    for (int64_t i = 0; i < n_rows; i++, x += n_cols)
        for (int64_t c = 0; c < n_cols; c++) {
            const float magnitude = fabsf(x[c]);
            columns[c] = magnitude > columns[c] ? magnitude : columns[c];
        }
    for (int64_t c = 0; c < n_cols; c++)
        columns[c] = columns[c] > 0 ? columns[c] / int8_largest : 1;
}

/* Row by row, so that a row stays in the nearest cache for all methods. */
void ol_quantise_errors(const float *x, int64_t n_rows, int64_t n_cols, float *scratch,
                        double errors[OL_N_QUANTISED])
{
    float *q = scratch, *columns = scratch + n_cols;
    double off[OL_N_QUANTISED][LANES] = {{0}}, all[LANES] = {0};
    const struct scales scales = {largest(x, n_rows * n_cols), columns};
    find_scales(x, n_rows, n_cols, columns);
    memset(q, 0, (size_t)n_cols * sizeof *q);
    for (int64_t i = 0; i < n_rows; i++)
        add_row(x + i * n_cols, q, n_cols, all);
    const double squares = sum_of(all);
    for (int64_t i = 0; i < n_rows; i++, x += n_cols)
        for (int m = 0; m < OL_N_QUANTISED; m++) {
            quantise_row((enum ol_quantised)m, &scales, x, n_cols, q);
            add_row(x, q, n_cols, off[m]);
        }
    for (int m = 0; m < OL_N_QUANTISED; m++)
        errors[m] =
            squares > 0 && isfinite(squares) ? sqrt(sum_of(off[m]) / squares) : NAN;
}
