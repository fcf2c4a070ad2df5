/* Functions of float that a compiler turns into vector code when they stand in a loop. */
#ifndef OL_VECTOR_MATH_H
#define OL_VECTOR_MATH_H

#ifdef __AVX512F__
#include <immintrin.h>
#endif
#include <stdint.h>
#include <string.h>

/* e^x, within 2 units in the last place of the exact value where the result is normal;
 * overflows to inf, underflows gradually to 0, NaN stays NaN. x = n ln 2 + r, a
 * polynomial of degree 7 for e^r on |r| <= ln(2)/2 (minimax coefficients as in the Cephes
 * library), then 2^n in two factors, because n reaches past the exponents that one float
 * can hold. */
static inline float ol_exp(float x)
{
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    const float shifter = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const float shifted = x * 1.44269504088896341f + shifter;
    const float n = shifted - shifter;
    float r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    const uint32_t biased = bits - 0x4b400000u + 256u; /* n + 256 */
    const uint32_t half = biased >> 1;                 /* of n, + 128 */
    const uint32_t first_bits = (half - 1u) << 23;     /* 2^(half - 128) */
    const uint32_t second_bits = (biased - half - 1u) << 23;
    float first, second;
    memcpy(&first, &first_bits, sizeof first);
    memcpy(&second, &second_bits, sizeof second);
    return p * first * second;
}

static inline float ol_sigmoid(float x)
{
    return 1.0f / (1.0f + ol_exp(-x));
}

static inline float ol_silu(float x)
{
    return x / (1.0f + ol_exp(-x));
}

/* x (1 + tanh(y)) / 2 with y = sqrt(2 / pi) (x + 0.044715 x^3), which is x sigmoid(2 y).
 */
static inline float ol_gelu(float x)
{
    return x * ol_sigmoid(1.5957691216057308f * (x + 0.044715f * (x * x * x)));
}

/* Within an absolute 3e-7. */
static inline float ol_tanh(float x)
{
    return 1.0f - 2.0f / (1.0f + ol_exp(2.0f * x));
}

enum { OL_LANES = 16 }; /* what grows side by side, whatever a processor's vectors are */

/* The largest of x [n] and top; NaN is not larger. */
static inline float ol_largest(const float *x, int64_t n, float top)
{
    float tops[OL_LANES];
    for (int l = 0; l < OL_LANES; l++)
        tops[l] = top;
    int64_t i = 0;
#ifdef __AVX512F__
    /* Compilers make four times slower code of the loop below. */
    __m512 lanes = _mm512_loadu_ps(tops);
    for (; i + OL_LANES <= n; i += OL_LANES)
        lanes = _mm512_max_ps(_mm512_loadu_ps(x + i), lanes);
    _mm512_storeu_ps(tops, lanes);
#endif
    for (; i + OL_LANES <= n; i += OL_LANES)
        for (int l = 0; l < OL_LANES; l++)
            tops[l] = x[i + l] > tops[l] ? x[i + l] : tops[l];
    for (; i < n; i++)
        tops[0] = x[i] > tops[0] ? x[i] : tops[0];
    for (int l = 1; l < OL_LANES; l++)
        tops[0] = tops[l] > tops[0] ? tops[l] : tops[0];
    return tops[0];
}

/* x = e^(x - shift), x [n]; their sum. */
static inline float ol_exponentials(float *x, int64_t n, float shift)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = ol_exp(x[i] - shift);
    float sums[OL_LANES] = {0};
    int64_t i = 0;
    for (; i + OL_LANES <= n; i += OL_LANES)
        for (int l = 0; l < OL_LANES; l++)
            sums[l] += x[i + l];
    float sum = 0;
    for (int l = 0; l < OL_LANES; l++)
        sum += sums[l];
    for (; i < n; i++)
        sum += x[i];
    return sum;
}

#endif
