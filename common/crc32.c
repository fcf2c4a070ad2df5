#include "common/crc32.h"

#include <pthread.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Bit 31 is the coefficient of x^0. */
#define POLYNOMIAL 0xedb88320U
#define ONE        0x80000000U

/* Bytes, eight at a time, by what each byte of eight contributes to the register. */
static uint32_t tables[8][256];
/* x^(2^k) */
static uint32_t powers[32];

/* a * b modulo the polynomial. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = ONE; bit != 0; bit >>= 1) {
        if ((a & bit) != 0)
            product ^= b;
        b = (b & 1) != 0 ? b >> 1 ^ POLYNOMIAL : b >> 1;
    }
    return product;
}

static void fill_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = (c & 1) != 0 ? c >> 1 ^ POLYNOMIAL : c >> 1;
        tables[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++)
            tables[t][i] = tables[0][tables[t - 1][i] & 0xff] ^ tables[t - 1][i] >> 8;
    powers[0] = ONE >> 1;
    for (int k = 1; k < 32; k++)
        powers[k] = multiply(powers[k - 1], powers[k - 1]);
}

static void prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_tables);
}

/* The register after n zero bytes. The powers come round: x^(2^32) is x. */
static uint32_t shift(uint32_t c, uint64_t n)
{
    enum { BITS_PER_BYTE_LOG2 = 3 };
    for (unsigned k = BITS_PER_BYTE_LOG2; n != 0 && c != 0; n >>= 1, k++)
        if ((n & 1) != 0)
            c = multiply(powers[k % 32], c);
    return c;
}

/* The register after the bytes, from c before them. */
static uint32_t run_by_tables(uint32_t c, const unsigned char *at, size_t n)
{
    for (; n >= 8; n -= 8, at += 8) {
        uint64_t word = 0;
        for (int i = 7; i >= 0; i--)
            word = word << 8 | at[i];
        word ^= c;
        c = 0;
        for (int i = 0; i < 8; i++)
            c ^= tables[7 - i][word >> 8 * i & 0xff];
    }
    for (; n > 0; n--, at++)
        c = tables[0][(c ^ *at) & 0xff] ^ c >> 8;
    return c;
}

#if defined(__x86_64__)

/* V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
 * Instruction", Intel 2009: 64 bytes are folded into the next 64, these into 16, and 16
 * into the register; the constants are those of its table for this polynomial. */
enum { FOLD_BYTES = 64, LANE_BYTES = 16 };

#define FOLDING __attribute__((target("pclmul,sse4.1")))

FOLDING static inline __m128i fold(__m128i x, __m128i by, __m128i next)
{
    return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x00),
                                       _mm_clmulepi64_si128(x, by, 0x11)),
                         next);
}

FOLDING static inline __m128i load(const unsigned char *at)
{
    return _mm_loadu_si128((const void *)at);
}

/* 128 bits to the register, by Barrett's reduction. */
FOLDING static uint32_t reduce(__m128i x)
{
    const __m128i by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0),
                  by_64 = _mm_set_epi64x(0, 0x0163cd6124),
                  quotient = _mm_set_epi64x(0x01f7011641, 0x01db710641),
                  low = _mm_setr_epi32(~0, 0, ~0, 0);
    __m128i y = _mm_clmulepi64_si128(x, by_128, 0x10);
    x = _mm_xor_si128(_mm_srli_si128(x, 8), y);
    y = _mm_srli_si128(x, 4);
    x = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(x, low), by_64, 0x00), y);
    y = _mm_clmulepi64_si128(_mm_and_si128(x, low), quotient, 0x10);
    y = _mm_clmulepi64_si128(_mm_and_si128(y, low), quotient, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(x, y), 1);
}

FOLDING static uint32_t run_by_folding(uint32_t c, const unsigned char *at, size_t n)
{
    const __m128i by_512 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4),
                  by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
    const size_t whole = n / LANE_BYTES * LANE_BYTES;
    const unsigned char *end = at + whole;
    __m128i x0 = _mm_xor_si128(load(at), _mm_cvtsi32_si128((int)c)), x1 = load(at + 16),
            x2 = load(at + 32), x3 = load(at + 48);
    for (at += FOLD_BYTES; end - at >= FOLD_BYTES; at += FOLD_BYTES) {
        x0 = fold(x0, by_512, load(at));
        x1 = fold(x1, by_512, load(at + 16));
        x2 = fold(x2, by_512, load(at + 32));
        x3 = fold(x3, by_512, load(at + 48));
    }
    x0 = fold(fold(fold(x0, by_128, x1), by_128, x2), by_128, x3);
    for (; at < end; at += LANE_BYTES)
        x0 = fold(x0, by_128, load(at));
    return run_by_tables(reduce(x0), end, n - whole);
}

/* The same with four times the width: 256 bytes are folded into the next 256. */
enum { WIDE_BYTES = 64, WIDE_FOLD_BYTES = 4 * WIDE_BYTES };

#define WIDE __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.1")))

WIDE static inline __m512i fold_wide(__m512i x, __m512i by, __m512i next)
{
    enum { XOR_OF_THREE = 0x96 };
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, by, 0x00),
                                     _mm512_clmulepi64_epi128(x, by, 0x11), next,
                                     XOR_OF_THREE);
}

WIDE static inline __m512i load_wide(const unsigned char *at)
{
    return _mm512_loadu_si512((const void *)at);
}

WIDE static uint32_t run_by_wide_folding(uint32_t c, const unsigned char *at, size_t n)
{
    const __m512i by_2048 =
                      _mm512_broadcast_i32x4(_mm_set_epi64x(0x01322d1430, 0x011542778a)),
                  by_512 =
                      _mm512_broadcast_i32x4(_mm_set_epi64x(0x01c6e41596, 0x0154442bd4));
    const __m128i by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
    const size_t whole = n / WIDE_FOLD_BYTES * WIDE_FOLD_BYTES;
    const unsigned char *end = at + whole;
    __m512i x0 = _mm512_xor_si512(load_wide(at),
                                  _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)c))),
            x1 = load_wide(at + 64), x2 = load_wide(at + 128), x3 = load_wide(at + 192);
    for (at += WIDE_FOLD_BYTES; at < end; at += WIDE_FOLD_BYTES) {
        x0 = fold_wide(x0, by_2048, load_wide(at));
        x1 = fold_wide(x1, by_2048, load_wide(at + 64));
        x2 = fold_wide(x2, by_2048, load_wide(at + 128));
        x3 = fold_wide(x3, by_2048, load_wide(at + 192));
    }
    x0 = fold_wide(fold_wide(fold_wide(x0, by_512, x1), by_512, x2), by_512, x3);
    __m128i x =
        fold(_mm512_extracti32x4_epi32(x0, 0), by_128, _mm512_extracti32x4_epi32(x0, 1));
    x = fold(fold(x, by_128, _mm512_extracti32x4_epi32(x0, 2)), by_128,
             _mm512_extracti32x4_epi32(x0, 3));
    n -= whole;
    return n >= FOLD_BYTES ? run_by_folding(reduce(x), end, n)
                           : run_by_tables(reduce(x), end, n);
}

static uint32_t run(uint32_t c, const unsigned char *at, size_t n)
{
    if (n >= WIDE_FOLD_BYTES && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("vpclmulqdq"))
        return run_by_wide_folding(c, at, n);
    if (n >= FOLD_BYTES && __builtin_cpu_supports("pclmul"))
        return run_by_folding(c, at, n);
    return run_by_tables(c, at, n);
}

#else

static uint32_t run(uint32_t c, const unsigned char *at, size_t n)
{
    return run_by_tables(c, at, n);
}

#endif

uint32_t ol_crc32_part(const void *bytes, size_t n, uint64_t behind)
{
    prepare();
    return shift(run(0, bytes, n), behind);
}

void ol_crc32_go_on(struct ol_crc32_run *so_far, const void *bytes, size_t n)
{
    prepare();
    so_far->c = run(so_far->c, bytes, n);
}

uint32_t ol_crc32_run_part(const struct ol_crc32_run *so_far, uint64_t behind)
{
    prepare();
    return shift(run(0, so_far->folded, sizeof so_far->folded) ^ so_far->c, behind);
}

uint32_t ol_crc32_of_zeros(uint64_t n)
{
    prepare();
    return ~shift(~0U, n);
}

uint32_t ol_crc32(const void *bytes, size_t n)
{
    prepare();
    return ~run(~0U, bytes, n);
}
