#include "analyze/fp4.h"

#include <stdbool.h>
#include <string.h>

#include "common/magnitude.h"
#include "common/narrow.h"

enum { MXFP4_BLOCK = 32, NVFP4_BLOCK = 16 };

/* What the largest scale of a block is: of four over six such that half as much again is
 * a number of E4M3 too. */
static const float four_over_six_largest = 256, four = 4;
static const float least_scale = 0x1p-90f;

const char *ol_fp4_name(enum ol_fp4 format)
{
    static const char *const names[OL_N_FP4] = {
        [OL_FP4_NVFP4] = "nvfp4",
        [OL_FP4_FOUR_OVER_SIX] = "nvfp4 (four over six)",
        [OL_FP4_MXFP4_FLOOR] = "mxfp4 (floor)",
        [OL_FP4_MXFP4_EVEN] = "mxfp4 (even)",
    };
    return names[format];
}

/* ---- MXFP4 ---- */

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

/* The largest power of two in the block's largest value becomes that of the format: 4.
 * Products with a power of two are exact. */
static inline void mxfp4_block(const float *restrict x, int64_t n, bool even,
                               float *restrict q)
{
    const float most = ol_largest_magnitude(x, n),
                scale = ol_e8m0_round_down(even ? rounded_digit(most) : most) / 4,
                inverse = scale > least_scale ? 1 / scale : 0;
    for (int64_t i = 0; i < n; i++)
        q[i] = ol_e2m1_round(x[i] * inverse) * scale;
}

/* Whole blocks are of a length that the compiler knows: no loops over the rest of one. */
static void to_mxfp4(const float *restrict x, int64_t n, bool even, float *restrict q)
{
    int64_t i = 0;
    for (; i + MXFP4_BLOCK <= n; i += MXFP4_BLOCK)
        mxfp4_block(x + i, MXFP4_BLOCK, even, q + i);
    if (i < n)
        mxfp4_block(x + i, n - i, even, q + i);
}

/* ---- NVFP4 ---- */

/* A block's scale: such that its largest value becomes `most` of E2M1, and the largest of
 * all, times `over`, that of E4M3. Step by step as compressed-tensors computes it, whose
 * codes these are: values halfway between two numbers go either way otherwise. */
static inline float scale_of(float largest, float most, float over)
{
    return ol_e4m3_round(over * (largest / most)) / over;
}

static inline void to_fp4(const float *restrict x, int64_t n, float scale,
                          float *restrict q)
{
    if (scale > least_scale)
        for (int64_t i = 0; i < n; i++)
            q[i] = ol_e2m1_round(x[i] / scale) * scale;
    else
        memset(q, 0, (size_t)n * sizeof *q);
}

/* As many blocks as lie in n <= NVFP4_RUN values: first their scales, side by side. */
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
        scales[i] = scale_of(scales[i], ol_e2m1_largest, over);
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

/* ---- four over six ---- */

static inline float squares_off(const float *restrict x, const float *restrict q,
                                int64_t n)
{
    float sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (q[i] - x[i]) * (q[i] - x[i]);
    return sum;
}

static inline void four_over_six_block(const float *restrict x, int64_t n, float over,
                                       float *restrict q)
{
    float fours[NVFP4_BLOCK];
    const float most = ol_largest_magnitude(x, n);
    to_fp4(x, n, scale_of(most, ol_e2m1_largest, over), q);
    to_fp4(x, n, scale_of(most, four, over), fours);
    if (squares_off(x, fours, n) < squares_off(x, q, n))
        memcpy(q, fours, (size_t)n * sizeof *q);
}

static void to_four_over_six(const float *restrict x, int64_t n, float over,
                             float *restrict q)
{
    int64_t i = 0;
    for (; i + NVFP4_BLOCK <= n; i += NVFP4_BLOCK)
        four_over_six_block(x + i, NVFP4_BLOCK, over, q + i);
    if (i < n)
        four_over_six_block(x + i, n - i, over, q + i);
}

void ol_fp4_round(enum ol_fp4 format, float largest, const float *x, int64_t n, float *q)
{
    if (largest == 0) {
        memset(q, 0, (size_t)n * sizeof *q);
        return;
    }
    switch (format) {
    case OL_FP4_NVFP4:
        to_nvfp4(x, n, ol_e4m3_largest * ol_e2m1_largest / largest, q);
        return;
    case OL_FP4_FOUR_OVER_SIX:
        to_four_over_six(x, n, four_over_six_largest * ol_e2m1_largest / largest, q);
        return;
    case OL_FP4_MXFP4_FLOOR:
        to_mxfp4(x, n, false, q);
        return;
    case OL_FP4_MXFP4_EVEN:
        to_mxfp4(x, n, true, q);
        return;
    case OL_N_FP4:
        return;
    }
}
