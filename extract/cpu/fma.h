/* a b + c with one rounding on every kind of processor. */
#ifndef OL_CPU_FMA_H
#define OL_CPU_FMA_H

#include <stdint.h>
#include <string.h>

/* In double: a b is exact there. The sum is rounded to the neighbour with an odd last bit
 * where it is not exact, so that rounding it once more, to float, rounds as if once
 * (Boldo, Melquiond: Emulation of FMA and correctly rounded sums, 2008). Faster by far
 * than the library's, and a compiler makes vectors of it. */
static inline float ol_fma_by_doubles(float a, float b, float c)
{
    const double product = (double)a * (double)b, addend = (double)c;
    double sum = product + addend;
    /* What rounding has cost the sum (Knuth); NaN where it is not finite. */
    const double part = sum - product;
    const double lost = (product - (sum - part)) + (addend - part);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    const int inexact = (lost > 0) | (lost < 0);
    const uint64_t step = (lost > 0) == (sum > 0) ? 1 : UINT64_MAX;
    bits += inexact && !(bits & 1) ? step : 0;
    memcpy(&sum, &bits, sizeof sum);
    return (float)sum;
}

#ifdef __FP_FAST_FMAF
#define OL_FMA_IS_SLOW 0
#define ol_fma         __builtin_fmaf
#else
#define OL_FMA_IS_SLOW 1
#define ol_fma         ol_fma_by_doubles
#endif

#endif
