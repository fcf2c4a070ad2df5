/* Magnitudes of floating-point numbers are ordered as their bits are ordered as integers,
 * so a stretch of values is passed with one maximum of integers; only a stretch that
 * reaches the threshold is looked at value by value. */
#include "analyze/find.h"

#include <math.h>
#include <stdlib.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "common/error.h"

enum { STRETCH = 64 };

#define BF16_INFINITY 0x7f80u
#define F32_INFINITY  0x7f800000u

static uint32_t max_bf16(const uint16_t *x, uint32_t n)
{
    uint16_t max = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint16_t bits = x[i] & 0x7fffu;
        max = bits > max ? bits : max;
    }
    return max;
}

static uint32_t max_f32(const uint32_t *x, uint32_t n)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = x[i] & 0x7fffffffu;
        max = bits > max ? bits : max;
    }
    return max;
}

/* Bit i: x[i] has a magnitude of at least `least` (as bits). n <= STRETCH. */
static uint64_t reaching_bf16(const uint16_t *x, uint32_t n, uint32_t least)
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
        mask |= (uint64_t)((x[i] & 0x7fffu) >= least) << i;
    return mask;
}

static uint64_t reaching_f32(const uint32_t *x, uint32_t n, uint32_t least)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < n; i++)
        mask |= (uint64_t)((x[i] & 0x7fffffffu) >= least) << i;
    return mask;
}

static float value_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Bits of the smallest float that is not below the threshold; that of a bfloat16 are
 * their upper half. */
static uint32_t least_f32(double threshold)
{
    float nearest = (float)threshold;
    if ((double)nearest < threshold)
        nearest = nextafterf(nearest, INFINITY);
    uint32_t bits;
    memcpy(&bits, &nearest, sizeof bits);
    return bits;
}

static uint32_t least_bf16(double threshold)
{
    return (least_f32(threshold) + 0xffffu) >> 16;
}

static void add(struct ol_found *found, uint32_t row, uint32_t feature, float value)
{
    if (found->n == found->room) {
        found->room = 2 * found->room + 4096;
        found->occurrences = ol_xrealloc_array(found->occurrences, found->room,
                                               sizeof *found->occurrences);
    }
    found->occurrences[found->n++] = (struct ol_occurrence){row, feature, value};
}

/* The values of a stretch that reach the threshold, one by one. */
static void look(struct ol_found *found, uint64_t mask, uint32_t row, uint32_t feature,
                 const uint32_t *x)
{
    for (; mask != 0; mask &= mask - 1) {
        const uint32_t i = (uint32_t)__builtin_ctzll(mask);
        const uint32_t bits = x[i];
        if ((bits & 0x7fffffffu) > F32_INFINITY) {
            found->n_nan++;
            continue;
        }
        found->n_inf += (bits & 0x7fffffffu) == F32_INFINITY;
        add(found, row, feature + i, value_of(bits));
    }
}

/* The maximum of a stretch that holds a NaN, without it. */
static uint32_t max_without_nan(const uint32_t *x, uint32_t n)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = x[i] & 0x7fffffffu;
        max = bits <= F32_INFINITY && bits > max ? bits : max;
    }
    return max;
}

static void widen(const uint16_t *x, uint32_t n, uint32_t wide[STRETCH])
{
    for (uint32_t i = 0; i < n; i++)
        wide[i] = (uint32_t)x[i] << 16;
}

static uint32_t find_bf16(const uint16_t *x, uint32_t n_rows, uint32_t width,
                          double threshold, struct ol_found *found)
{
    const uint32_t least = least_bf16(threshold);
    uint32_t max = 0;
    for (uint32_t row = 0; row < n_rows; row++, x += width)
        for (uint32_t c = 0; c < width; c += STRETCH) {
            const uint32_t n = width - c < STRETCH ? width - c : STRETCH;
            uint32_t here = n == STRETCH ? max_bf16(x + c, STRETCH) : max_bf16(x + c, n);
            if (here >= least) {
                uint32_t wide[STRETCH];
                widen(x + c, n, wide);
                look(found, reaching_bf16(x + c, n, least), row, c, wide);
                if (here > BF16_INFINITY)
                    here = max_without_nan(wide, n) >> 16;
            }
            max = here > max ? here : max;
        }
    return max << 16;
}

static uint32_t find_f32(const uint32_t *x, uint32_t n_rows, uint32_t width,
                         double threshold, struct ol_found *found)
{
    const uint32_t least = least_f32(threshold);
    uint32_t max = 0;
    for (uint32_t row = 0; row < n_rows; row++, x += width)
        for (uint32_t c = 0; c < width; c += STRETCH) {
            const uint32_t n = width - c < STRETCH ? width - c : STRETCH;
            uint32_t here = n == STRETCH ? max_f32(x + c, STRETCH) : max_f32(x + c, n);
            if (here >= least)
                look(found, reaching_f32(x + c, n, least), row, c, x + c);
            if (here > F32_INFINITY)
                here = max_without_nan(x + c, n);
            max = here > max ? here : max;
        }
    return max;
}

void ol_find(enum ol_dtype dtype, const void *rows, uint32_t n_rows, uint32_t width,
             double threshold, struct ol_found *found)
{
    found->n = 0;
    found->n_nan = found->n_inf = 0;
    found->max_magnitude = value_of(
        dtype == OL_DTYPE_BF16 ? find_bf16(rows, n_rows, width, threshold, found)
                               : find_f32(rows, n_rows, width, threshold, found));
}
