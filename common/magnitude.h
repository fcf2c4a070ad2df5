/* Magnitudes of floating-point numbers are ordered as their bits, without the sign, are
 * ordered as integers: values of at least a threshold are found with integer compares. */
#ifndef OL_MAGNITUDE_H
#define OL_MAGNITUDE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/narrow.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define OL_BF16_MAGNITUDE 0x7fffu
#define OL_F32_MAGNITUDE  0x7fffffffu
#define OL_BF16_INFINITY  0x7f80u
#define OL_F32_INFINITY   0x7f800000u

/* Values that one mask speaks of. */
enum { OL_STRETCH = 64 };

/* Bit i: x[i] has a magnitude of at least `least` (as bits, > 0). n <= OL_STRETCH. */
static inline uint64_t ol_reaching_bf16(const uint16_t *x, uint32_t n, uint32_t least)
{
    uint64_t mask = 0;
    uint32_t i = 0;
#if defined(__AVX512BW__)
    const __m512i below = _mm512_set1_epi16((short)(least - 1));
    const __m512i sign = _mm512_set1_epi16(0x7fff);
    for (; i + 32 <= n; i += 32) {
        const __m512i bits = _mm512_and_si512(_mm512_loadu_si512(x + i), sign);
        mask |= (uint64_t)_mm512_cmpgt_epu16_mask(bits, below) << i;
    }
#elif defined(__AVX2__)
    const __m256i below = _mm256_set1_epi16((short)(least - 1));
    const __m256i sign = _mm256_set1_epi16(0x7fff);
    for (; i + 32 <= n; i += 32) {
        const __m256i *from = (const __m256i *)(const void *)(x + i);
        const __m256i low = _mm256_and_si256(_mm256_loadu_si256(from), sign);
        const __m256i high = _mm256_and_si256(_mm256_loadu_si256(from + 1), sign);
        const __m256i both = _mm256_packs_epi16(_mm256_cmpgt_epi16(low, below),
                                                _mm256_cmpgt_epi16(high, below));
        const __m256i ordered = _mm256_permute4x64_epi64(both, 0xd8);
        mask |= (uint64_t)(uint32_t)_mm256_movemask_epi8(ordered) << i;
    }
#endif
    for (; i < n; i++)
        mask |= (uint64_t)((x[i] & OL_BF16_MAGNITUDE) >= least) << i;
    return mask;
}

/* Maxima side by side, of values that are looked at a stretch at a time; start from {0}.
 */
struct ol_maxima {
#if defined(__AVX512BW__)
    __m512i lanes;
#elif defined(__AVX2__)
    __m256i lanes;
#else
    uint16_t lanes[OL_STRETCH];
#endif
};

/* Whether one of the magnitudes x [OL_STRETCH] is at least `least` (as bits, > 0), which
 * is seldom. All go into *maxima. */
static inline bool ol_any_reaching_bf16(const uint16_t *x, uint32_t least,
                                        struct ol_maxima *maxima)
{
#if defined(__AVX512BW__)
    const __m512i sign = _mm512_set1_epi16(0x7fff);
    const __m512i here =
        _mm512_max_epu16(_mm512_and_si512(_mm512_loadu_si512(x), sign),
                         _mm512_and_si512(_mm512_loadu_si512(x + OL_STRETCH / 2), sign));
    maxima->lanes = _mm512_max_epu16(maxima->lanes, here);
    return _mm512_cmpgt_epu16_mask(here, _mm512_set1_epi16((short)(least - 1))) != 0;
#elif defined(__AVX2__)
    const __m256i sign = _mm256_set1_epi16(0x7fff);
    const __m256i *from = (const __m256i *)(const void *)x;
    __m256i here = _mm256_and_si256(_mm256_loadu_si256(from), sign);
    for (int i = 1; i < 4; i++)
        here =
            _mm256_max_epu16(here, _mm256_and_si256(_mm256_loadu_si256(from + i), sign));
    maxima->lanes = _mm256_max_epu16(maxima->lanes, here);
    const __m256i reaching =
        _mm256_cmpgt_epi16(here, _mm256_set1_epi16((short)(least - 1)));
    return _mm256_testz_si256(reaching, reaching) == 0;
#else
    uint16_t most = 0;
    for (int i = 0; i < OL_STRETCH; i++) {
        const uint16_t bits = x[i] & OL_BF16_MAGNITUDE;
        maxima->lanes[i] = bits > maxima->lanes[i] ? bits : maxima->lanes[i];
        most = bits > most ? bits : most;
    }
    return most >= least;
#endif
}

/* The largest of them, as bits. */
static inline uint32_t ol_maximum_of(const struct ol_maxima *maxima)
{
    uint16_t lanes[sizeof *maxima / sizeof(uint16_t)];
    uint32_t most = 0;
    memcpy(lanes, maxima, sizeof lanes);
    for (size_t i = 0; i < sizeof lanes / sizeof lanes[0]; i++)
        most = lanes[i] > most ? lanes[i] : most;
    return most;
}

static inline uint64_t ol_reaching_f32(const uint32_t *x, uint32_t n, uint32_t least)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < n; i++)
        mask |= (uint64_t)((x[i] & OL_F32_MAGNITUDE) >= least) << i;
    return mask;
}

/* Bits of the smallest float that is not below the threshold; that of a bfloat16 are
 * their upper half. */
static inline uint32_t ol_least_f32(double threshold)
{
    float nearest = (float)threshold;
    if ((double)nearest < threshold)
        nearest = nextafterf(nearest, INFINITY);
    uint32_t bits;
    memcpy(&bits, &nearest, sizeof bits);
    return bits;
}

static inline uint32_t ol_least_bf16(double threshold)
{
    return (ol_least_f32(threshold) + 0xffffu) >> 16;
}

#endif
