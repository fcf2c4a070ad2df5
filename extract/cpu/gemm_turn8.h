/* Packing for processors with AVX2: 8 rows by 8 columns change places in registers. */
#ifndef OL_CPU_GEMM_TURN8_H
#define OL_CPU_GEMM_TURN8_H

#include <immintrin.h>

#include "common/dtype.h"

#define OL_GEMM_TURN 8

/* Values of each row that are turned together. */
static inline int64_t ol_turn_span(enum ol_dtype dtype)
{
    (void)dtype;
    return 8;
}

static inline __m256 load8(const void *x, enum ol_dtype dtype)
{
    if (dtype == OL_DTYPE_F32)
        return _mm256_loadu_ps(x);
    const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
}

/* to[k * row + i] = row i of x at k, of 8 rows at a distance of step and 8 values of
 * each. */
static inline __attribute__((always_inline)) void
ol_turn(const void *x, enum ol_dtype dtype, int64_t step, float *to, int64_t row)
{
    __m256 r[8], t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        r[i] = load8((const char *)x + (size_t)(i * step) * ol_dtype_size(dtype), dtype);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * row,
                         _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

#endif
