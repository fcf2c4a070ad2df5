/* Blocks of a row of activations rounded to formats whose scales are of a few columns
 * each: the same arithmetic on the CPU (fp4.c, round_row.c) and on devices. */
#ifndef OL_ROUND_BLOCK_H
#define OL_ROUND_BLOCK_H

#include <math.h>
#include <stdbool.h>

#include "common/narrow.h"

#ifdef __cplusplus
#define OL_APART __restrict__
#else
#define OL_APART restrict
#endif

enum { OL_MXFP8_BLOCK = 32, OL_MXFP4_BLOCK = 32, OL_NVFP4_BLOCK = 16 };

/* What x / scale is multiplied by instead. What has a scale so small is nothing beside
 * the largest: it becomes 0. */
OL_NARROW float ol_inverse_scale(float scale)
{
    return scale > 0x1p-90f ? 1 / scale : 0;
}

/* To the nearest whole number, ties to even, for magnitudes below 2^22: a float of 1.5 *
 * 2^23 has no bits for anything smaller. */
OL_NARROW float ol_round_whole(float x)
{
    const float shift = 0x1.8p23f;
    return (x + shift) - shift;
}

/* ---- MXFP8 ---- */

static const float ol_mxfp8_largest_power = 256;

/* Products with a power of two are exact. */
OL_NARROW void ol_mxfp8_block(const float *OL_APART x, int64_t n, float *OL_APART q)
{
    const float scale =
        ol_e8m0_round_down(ol_largest_magnitude(x, n)) / ol_mxfp8_largest_power;
    const float inverse = ol_inverse_scale(scale);
    for (int64_t i = 0; i < n; i++)
        q[i] = ol_e4m3_round(ol_at_most(x[i] * inverse, ol_e4m3_largest)) * scale;
}

/* ---- MXFP4 ---- */

/* With the digit behind the leading one rounded up, as E2M1 has one: 1.75 and more carry
 * into the next power of two. */
OL_NARROW float ol_rounded_digit(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits += 1u << 21;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The largest power of two in the block's largest value becomes that of the format: 4.
 * Products with a power of two are exact. */
OL_NARROW void ol_mxfp4_block(const float *OL_APART x, int64_t n, bool even,
                              float *OL_APART q)
{
    const float most = ol_largest_magnitude(x, n),
                scale = ol_e8m0_round_down(even ? ol_rounded_digit(most) : most) / 4,
                inverse = ol_inverse_scale(scale);
    for (int64_t i = 0; i < n; i++)
        q[i] = ol_e2m1_round(x[i] * inverse) * scale;
}

/* ---- NVFP4 ---- */

/* What the scale over a row's blocks divides, of a row of that largest magnitude: such
 * that a block's scale is at most E4M3's largest; of four over six such that half as much
 * again is a number of E4M3 too. */
OL_NARROW float ol_nvfp4_over(float largest)
{
    return ol_e4m3_largest * ol_e2m1_largest / largest;
}

OL_NARROW float ol_four_over_six_over(float largest)
{
    return 256 * ol_e2m1_largest / largest;
}

/* A block's scale: such that its largest value becomes `most` of E2M1, and the largest of
 * all, times `over`, that of E4M3. Step by step as compressed-tensors computes it, whose
 * codes these are: values halfway between two numbers go either way otherwise. */
OL_NARROW float ol_nvfp4_scale(float largest, float most, float over)
{
    return ol_e4m3_round(over * (largest / most)) / over;
}

OL_NARROW void ol_nvfp4_block(const float *OL_APART x, int64_t n, float scale,
                              float *OL_APART q)
{
    const float divisor = scale > 0x1p-90f ? scale : INFINITY;
    for (int64_t i = 0; i < n; i++)
        q[i] = ol_e2m1_round(x[i] / divisor) * scale;
}

/* ---- four over six ---- */

static const float ol_smaller_largest = 4;

/* Halves are added to each other: sums of one block need not wait for each other. */
OL_NARROW float ol_squares_off(const float *OL_APART x, const float *OL_APART q,
                               int64_t n)
{
    float squares[OL_NVFP4_BLOCK] = {0};
    for (int64_t i = 0; i < n; i++)
        squares[i] = (q[i] - x[i]) * (q[i] - x[i]);
    for (int i = 0; i < 8; i++)
        squares[i] += squares[i + 8];
    for (int i = 0; i < 4; i++)
        squares[i] += squares[i + 4];
    return (squares[0] + squares[2]) + (squares[1] + squares[3]);
}

OL_NARROW void ol_four_over_six_block(const float *OL_APART x, int64_t n, float six,
                                      float four, float *OL_APART q)
{
    float other[OL_NVFP4_BLOCK];
    ol_nvfp4_block(x, n, six, q);
    ol_nvfp4_block(x, n, four, other);
    const bool better = ol_squares_off(x, other, n) < ol_squares_off(x, q, n);
    for (int64_t i = 0; i < n; i++)
        q[i] = better ? other[i] : q[i];
}

#endif
