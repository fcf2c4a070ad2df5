/* Shuffles look up as many codes at a time as a vector has; a loop does the rest. */
#include "extract/weights/formats/lookup.h"

#if defined(__AVX512BW__) && defined(__AVX512VL__)
#define OL_AVX512_WORDS
#elif defined(__AVX2__)
#define OL_AVX2_BYTES
#endif
#if defined(OL_AVX512_WORDS) || defined(OL_AVX2_BYTES)
#include <immintrin.h>
#endif

/* Codes come from memory where no one has read them before, in pages behind whose ends
 * the processor does not look on its own. */
enum { AHEAD = 2048 };
static inline void fetch_ahead(const uint8_t *codes)
{
    __builtin_prefetch(codes + AHEAD);
}

/* A code is an exponent of 4 bits and a mantissa of 3; doubling adds 128 to a bfloat16.
 */
void ol_lookup_prepare(struct ol_lookup *l)
{
    for (int i = 0; i < 8; i++) {
        l->of_mantissa[i] = (uint16_t)(l->table[8 + i] - 128);
        l->of_mantissa[8 + i] = l->table[i];
    }
    l->doubles = true;
    for (int i = 8; i < 127; i++) /* 127 is NaN */
        l->doubles &= l->table[i] == (uint16_t)(l->of_mantissa[i % 8] + (i / 8 << 7));
}

static void look_up_one_by_one(const uint8_t *codes, const uint16_t table[128], int64_t n,
                               uint16_t *dst)
{
    for (int64_t c = 0; c < n; c++)
        dst[c] = (uint16_t)(table[codes[c] & 127] ^ (codes[c] & 128) << 8);
}

#ifdef OL_AVX2_BYTES

/* The low and the high bytes of 16 words, in both halves. */
static inline void part_bytes(const uint16_t words[16], __m256i *low, __m256i *high)
{
    const __m256i even =
        _mm256_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6,
                         8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    const __m256i all = _mm256_shuffle_epi8(
        _mm256_loadu_si256((const __m256i *)(const void *)words), even);
    *low = _mm256_permute4x64_epi64(all, 0x88);
    *high = _mm256_permute4x64_epi64(all, 0xdd);
}

/* What unpacking the lower and the upper halves of two vectors of bytes gave, in order.
 */
static inline void store_halves(__m256i first, __m256i second, uint16_t *dst)
{
    __m256i *to = (__m256i *)(void *)dst;
    _mm256_storeu_si256(to, _mm256_permute2x128_si256(first, second, 0x20));
    _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(first, second, 0x31));
}

/* Words of 2 x 16 bytes: their parts, with the exponents in place and signs. */
static inline __m256i assemble(__m256i parts, __m256i exponents, __m256i signs)
{
    return _mm256_xor_si256(_mm256_add_epi16(parts, _mm256_slli_epi16(exponents, 4)),
                            signs);
}

/* As many of n codes as are whole vectors; returns how many. */
static int64_t look_up_doubling(const uint8_t *codes, const struct ol_lookup *l,
                                int64_t n, uint16_t *dst)
{
    const __m256i none = _mm256_setzero_si256(), sign = _mm256_set1_epi8((char)0x80);
    const __m256i exponent = _mm256_set1_epi8(0x78), mantissa = _mm256_set1_epi8(7);
    const __m256i eight = _mm256_set1_epi8(8), nan = _mm256_set1_epi8(0x7f);
    __m256i lows, highs;
    part_bytes(l->of_mantissa, &lows, &highs);
    int64_t c = 0;
    for (; c + 32 <= n; c += 32) {
        fetch_ahead(codes + c);
        const __m256i code =
            _mm256_loadu_si256((const __m256i *)(const void *)(codes + c));
        const __m256i magnitude = _mm256_andnot_si256(sign, code);
        if (_mm256_movemask_epi8(_mm256_cmpeq_epi8(magnitude, nan)) != 0) {
            look_up_one_by_one(codes + c, l->table, 32, dst + c);
            continue;
        }
        const __m256i e = _mm256_and_si256(code, exponent);
        const __m256i least = _mm256_and_si256(_mm256_cmpeq_epi8(e, none), eight);
        const __m256i at = _mm256_or_si256(_mm256_and_si256(code, mantissa), least);
        const __m256i low = _mm256_shuffle_epi8(lows, at),
                      high = _mm256_shuffle_epi8(highs, at);
        const __m256i s = _mm256_and_si256(code, sign);
        const __m256i first =
            assemble(_mm256_unpacklo_epi8(low, high), _mm256_unpacklo_epi8(e, none),
                     _mm256_unpacklo_epi8(none, s));
        const __m256i second =
            assemble(_mm256_unpackhi_epi8(low, high), _mm256_unpackhi_epi8(e, none),
                     _mm256_unpackhi_epi8(none, s));
        store_halves(first, second, dst + c);
    }
    return c;
}

#endif

void ol_lookup_fp8(const uint8_t *codes, const struct ol_lookup *l, int64_t n,
                   uint16_t *dst)
{
    const uint16_t *table = l->table;
    int64_t c = 0;
#ifdef OL_AVX512_WORDS
    const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 32);
    const __m512i t2 = _mm512_loadu_si512(table + 64),
                  t3 = _mm512_loadu_si512(table + 96);
    const __m512i upper = _mm512_set1_epi16(64), sign = _mm512_set1_epi16(128);
    for (; c + 32 <= n; c += 32) {
        fetch_ahead(codes + c);
        const __m512i code = _mm512_cvtepu8_epi16(
            _mm256_loadu_si256((const __m256i *)(const void *)(codes + c)));
        const __m512i small = _mm512_permutex2var_epi16(t0, code, t1);
        const __m512i large = _mm512_permutex2var_epi16(t2, code, t3);
        const __m512i magnitude =
            _mm512_mask_blend_epi16(_mm512_test_epi16_mask(code, upper), small, large);
        const __m512i signs = _mm512_slli_epi16(_mm512_and_si512(code, sign), 8);
        _mm512_storeu_si512(dst + c, _mm512_xor_si512(magnitude, signs));
    }
#elif defined(OL_AVX2_BYTES)
    if (l->doubles)
        c = look_up_doubling(codes, l, n, dst);
#endif
    look_up_one_by_one(codes + c, table, n - c, dst + c);
}

void ol_lookup_fp4(const uint8_t *codes, const uint16_t table[16], int64_t n,
                   uint16_t *dst)
{
    fetch_ahead(codes);
#ifdef OL_AVX512_WORDS
    if (n == 32) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)codes);
        const __m128i mask = _mm_set1_epi8(15);
        const __m128i low = _mm_and_si128(bytes, mask);
        const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask);
        const __m256i all =
            _mm256_set_m128i(_mm_unpackhi_epi8(low, high), _mm_unpacklo_epi8(low, high));
        const __m512i known = _mm512_castsi256_si512(
            _mm256_loadu_si256((const __m256i *)(const void *)table));
        _mm512_storeu_si512(dst,
                            _mm512_permutexvar_epi16(_mm512_cvtepu8_epi16(all), known));
        return;
    }
#elif defined(OL_AVX2_BYTES)
    if (n == 32) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)codes);
        const __m128i mask = _mm_set1_epi8(15);
        const __m128i even = _mm_and_si128(bytes, mask);
        const __m128i odd = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask);
        const __m256i all =
            _mm256_set_m128i(_mm_unpackhi_epi8(even, odd), _mm_unpacklo_epi8(even, odd));
        __m256i low, high;
        part_bytes(table, &low, &high);
        low = _mm256_shuffle_epi8(low, all);
        high = _mm256_shuffle_epi8(high, all);
        store_halves(_mm256_unpacklo_epi8(low, high), _mm256_unpackhi_epi8(low, high),
                     dst);
        return;
    }
#endif
    for (int64_t i = 0; i < n / 2; i++) {
        dst[2 * i] = table[codes[i] & 15];
        dst[2 * i + 1] = table[codes[i] >> 4];
    }
}
