/* Packing for processors with AVX-512: a cache line of each of 16 rows changes places in
 * registers. */
#ifndef OL_CPU_GEMM_TURN16_H
#define OL_CPU_GEMM_TURN16_H

#include "common/dtype.h"
#include "extract/cpu/transpose16.h"

#define OL_GEMM_TURN 16

/* Values of each row that are turned together. */
static inline int64_t ol_turn_span(enum ol_dtype dtype)
{
    return dtype == OL_DTYPE_F32 ? 16 : 32;
}

/* to[k * row + i] = row i of x at k, of 16 rows at a distance of step and a line of each.
 * Pairs of bfloat16 are turned as one value, then widened: the second of a pair is the
 * upper half already. */
static inline __attribute__((always_inline)) void
ol_turn(const void *x, enum ol_dtype dtype, int64_t step, float *to, int64_t row)
{
    const size_t bytes = (size_t)step * ol_dtype_size(dtype);
    __m512i r[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        r[i] = _mm512_loadu_si512((const char *)x + (size_t)i * bytes);
    ol_transpose16(r);
    if (dtype == OL_DTYPE_F32) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            _mm512_storeu_si512(to + i * row, r[i]);
        return;
    }
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        _mm512_storeu_si512(to + 2 * i * row, _mm512_slli_epi32(r[i], 16));
        _mm512_storeu_si512(to + (2 * i + 1) * row, _mm512_and_si512(r[i], upper));
    }
}

#endif
