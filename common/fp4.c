#include "common/fp4.h"

#include <stdbool.h>
#include <string.h>

#include "common/magnitude.h"
#include "common/narrow.h"

enum { MXFP4_BLOCK = 32, NVFP4_BLOCK = 16 };

/* What the largest scale of a block is: of four over six such that half as much again is
 * a number of E4M3 too. */
static const float four_over_six_largest = 256, smaller_largest = 4;
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
    const float divisor = scale > least_scale ? scale : INFINITY;
    for (int64_t i = 0; i < n; i++)
        q[i] = ol_e2m1_round(x[i] / divisor) * scale;
}

/* As many blocks as lie in n <= NVFP4_RUN values: first what is the largest of each, and
 * their scales, side by side. */
enum { NVFP4_RUN = 64 * NVFP4_BLOCK };
static void find_largest(const float *restrict x, int64_t n, float *restrict largest)
{
    const int64_t whole = n / NVFP4_BLOCK, left = n % NVFP4_BLOCK;
    for (int64_t i = 0; i < whole; i++)
        largest[i] = ol_largest_magnitude(x + i * NVFP4_BLOCK, NVFP4_BLOCK);
    if (left > 0)
        largest[whole] = ol_largest_magnitude(x + whole * NVFP4_BLOCK, left);
}

static void find_scales(const float *restrict largest, int64_t n, float most, float over,
                        float *restrict scales)
{
    for (int64_t i = 0; i < (n + NVFP4_BLOCK - 1) / NVFP4_BLOCK; i++)
        scales[i] = scale_of(largest[i], most, over);
}

static void nvfp4_run(const float *restrict x, int64_t n, float over, float *restrict q)
{
    float largest[NVFP4_RUN / NVFP4_BLOCK], scales[NVFP4_RUN / NVFP4_BLOCK];
    const int64_t whole = n / NVFP4_BLOCK, left = n % NVFP4_BLOCK;
    find_largest(x, n, largest);
    find_scales(largest, n, ol_e2m1_largest, over, scales);
    for (int64_t i = 0; i < whole; i++)
        to_fp4(x + i * NVFP4_BLOCK, NVFP4_BLOCK, scales[i], q + i * NVFP4_BLOCK);
    if (left > 0)
        to_fp4(x + whole * NVFP4_BLOCK, left, scales[whole], q + whole * NVFP4_BLOCK);
}

/* ---- four over six ---- */

/* Halves are added to each other: sums of one block need not wait for each other. */
static inline float squares_off(const float *restrict x, const float *restrict q,
                                int64_t n)
{
    float squares[NVFP4_BLOCK] = {0};
    for (int64_t i = 0; i < n; i++)
        squares[i] = (q[i] - x[i]) * (q[i] - x[i]);
    for (int i = 0; i < 8; i++)
        squares[i] += squares[i + 8];
    for (int i = 0; i < 4; i++)
        squares[i] += squares[i + 4];
    return (squares[0] + squares[2]) + (squares[1] + squares[3]);
}

static inline void better_block(const float *restrict x, int64_t n, float six, float four,
                                float *restrict q)
{
    float other[NVFP4_BLOCK];
    to_fp4(x, n, six, q);
    to_fp4(x, n, four, other);
    const bool better = squares_off(x, other, n) < squares_off(x, q, n);
    for (int64_t i = 0; i < n; i++)
        q[i] = better ? other[i] : q[i];
}

static void four_over_six_run(const float *restrict x, int64_t n, float over,
                              float *restrict q)
{
    float largest[NVFP4_RUN / NVFP4_BLOCK], sixes[NVFP4_RUN / NVFP4_BLOCK],
        fours[NVFP4_RUN / NVFP4_BLOCK];
    const int64_t whole = n / NVFP4_BLOCK, left = n % NVFP4_BLOCK;
    find_largest(x, n, largest);
    find_scales(largest, n, ol_e2m1_largest, over, sixes);
    find_scales(largest, n, smaller_largest, over, fours);
    for (int64_t i = 0; i < whole; i++)
        better_block(x + i * NVFP4_BLOCK, NVFP4_BLOCK, sixes[i], fours[i],
                     q + i * NVFP4_BLOCK);
    if (left > 0)
        better_block(x + whole * NVFP4_BLOCK, left, sixes[whole], fours[whole],
                     q + whole * NVFP4_BLOCK);
}

static void by_runs(void (*run)(const float *x, int64_t n, float over, float *q),
                    const float *x, int64_t n, float over, float *q)
{
    for (int64_t i = 0; i < n; i += NVFP4_RUN)
        run(x + i, n - i < NVFP4_RUN ? n - i : NVFP4_RUN, over, q + i);
}

void ol_fp4_round(enum ol_fp4 format, float largest, const float *x, int64_t n, float *q)
{
    if (largest == 0) {
        memset(q, 0, (size_t)n * sizeof *q);
        return;
    }
    switch (format) {
    case OL_FP4_NVFP4:
        by_runs(nvfp4_run, x, n, ol_e4m3_largest * ol_e2m1_largest / largest, q);
        return;
    case OL_FP4_FOUR_OVER_SIX:
        by_runs(four_over_six_run, x, n,
                four_over_six_largest * ol_e2m1_largest / largest, q);
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
