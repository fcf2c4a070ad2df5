/* Numbers of 4 and 8 bits (OCP OFP8 1.0, OCP MX 1.0), once for weights that are stored in
 * them, on the CPU and on devices, and for activations that are rounded to them.
 *
 *            sign exponent mantissa  bias  largest
 *     E4M3    1      4        3       7    448     one NaN, no infinity
 *     E5M2    1      5        2      15    57344   NaN and infinity as in half precision
 *     E2M1    1      2        1       1    6       neither
 *     E8M0    0      8        0     127    2^127   one NaN, no zero: scales */
#ifndef OL_NARROW_H
#define OL_NARROW_H

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define OL_NARROW static __host__ __device__ __forceinline__
#else
#define OL_NARROW static inline
#endif

OL_NARROW float ol_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

OL_NARROW uint32_t ol_bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* ---- what a code stands for; higher bits of `code` do not count ---- */

/* The bits of a magnitude's exponent and mantissa, put where float has them, are the
 * value but for a power of two, subnormal ones too; `scale` is that power. */
OL_NARROW float ol_narrow_value(uint32_t bits, float scale, uint32_t sign)
{
    return ol_float_of_bits(ol_bits_of_float(ol_float_of_bits(bits) * scale) | sign);
}

OL_NARROW float ol_e4m3_value(uint32_t code)
{
    const uint32_t magnitude = code & 0x7fu;
    return ol_narrow_value(magnitude == 0x7fu ? 0x7fc00000u : magnitude << 20, 0x1p120f,
                           (code & 0x80u) << 24);
}

OL_NARROW float ol_e5m2_value(uint32_t code)
{
    const uint32_t magnitude = code & 0x7fu;
    return ol_narrow_value(magnitude >= 0x7cu ? 0x7f800000u | (magnitude & 3u) << 21
                                              : magnitude << 21,
                           0x1p112f, (code & 0x80u) << 24);
}

OL_NARROW float ol_e2m1_value(uint32_t code)
{
    return ol_narrow_value((code & 7u) << 22, 0x1p126f, (code & 8u) << 28);
}

/* 2^(code - 127); the smallest is subnormal in float. */
OL_NARROW float ol_e8m0_value(uint32_t code)
{
    code &= 0xffu;
    return ol_float_of_bits(code == 0      ? 0x00400000u
                            : code == 255u ? 0x7fc00000u
                                           : code << 23);
}

/* ---- the nearest number, ties to even ---- */

/* To `n_bits` behind the leading one; from 2^least down all numbers are as far apart as
 * there. What is added and taken away again has no bits for anything smaller than that
 * distance. Without branches, which values near an edge would mislead. */
OL_NARROW float ol_narrow_round(float x, uint32_t n_bits, int32_t least)
{
    const uint32_t smallest = (uint32_t)(least + 127) << 23;
    uint32_t bits = ol_bits_of_float(x) & 0x7f800000u;
    bits = bits < smallest ? smallest : bits;
    bits += (23 - n_bits) << 23 | 0x400000u; /* times 1.5 * 2^(23 - n_bits) */
    const float shift = ol_float_of_bits(bits);
    return (x + shift) - shift;
}

static const float ol_e4m3_largest = 448, ol_e2m1_largest = 6;

/* Of magnitudes that round to 448 at most. */
OL_NARROW float ol_e4m3_round(float x)
{
    return ol_narrow_round(x, 3, -6);
}

/* Larger magnitudes become `most`; NaN stays. By the magnitude, which takes one
 * comparison for both signs. */
OL_NARROW float ol_at_most(float x, float most)
{
    const uint32_t bits = ol_bits_of_float(x), sign = bits & 0x80000000u;
    const float magnitude = ol_float_of_bits(bits ^ sign),
                least = most < magnitude ? most : magnitude;
    return ol_float_of_bits(ol_bits_of_float(least) | sign);
}

/* Larger magnitudes become 6. */
OL_NARROW float ol_e2m1_round(float x)
{
    return ol_at_most(ol_narrow_round(x, 1, 0), ol_e2m1_largest);
}

/* The largest power of two that is not above a magnitude; of subnormal numbers 0. */
OL_NARROW float ol_e8m0_round_down(float x)
{
    return ol_float_of_bits(ol_bits_of_float(x) & 0x7f800000u);
}

/* ---- magnitudes ---- */

/* NaN is larger than any; 0 of none. */
OL_NARROW float ol_largest_magnitude(const float *x, int64_t n)
{
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t bits = ol_bits_of_float(x[i]) & 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    return ol_float_of_bits(most);
}

/* The power of two that brings the magnitude `most` near 1; it has an inverse. */
OL_NARROW float ol_factor_for(float most)
{
    const uint32_t bits = 0x7f000000u - (ol_bits_of_float(most) & 0x7f800000u);
    return ol_float_of_bits(bits < 0x00800000u ? 0x00800000u : bits);
}

#endif
