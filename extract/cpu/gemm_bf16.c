/* b is packed once per call: pairs of neighbours along k, 32 columns side by side, so
 * that one instruction multiplies a pair of a's values, the same in all lanes, with the
 * pairs of 16 columns and adds both products to 16 sums. Sums of ROWS rows by 32 columns
 * stay in registers over the whole depth. */
#include "extract/cpu/gemm_bf16.h"

#include "common/dtype.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#include <immintrin.h>

enum {
    LANES = 16,
    ROWS = 14, /* 28 registers of sums, 2 of b, 1 of a */
    COLS = 32,
    MOST_COLS = 192,
    PACKED_BYTES = 640 << 10, /* of b: half of a common second cache */
    LINE = 32,                /* values of a cache line */
};

bool ol_gemm_bf16_available(void)
{
    return true;
}

int64_t ol_gemm_bf16_columns(int64_t k)
{
    const int64_t n = PACKED_BYTES / 2 / (k > 0 ? k : 1) / COLS * COLS;
    return n < COLS ? COLS : n > MOST_COLS ? MOST_COLS : n;
}

/* Values of one row of a's copy: whole lines, and an odd number of them. */
static int64_t stride(int64_t k)
{
    return ((k + LINE - 1) / LINE | 1) * LINE;
}

/* Values of one packed panel: whole blocks of 16 pairs. */
static int64_t panel(int64_t k)
{
    return (k + 2 * LANES - 1) / (2 * LANES) * (2 * LANES) * COLS;
}

size_t ol_gemm_bf16_scratch(int64_t n, int64_t k)
{
    const int64_t columns = ol_gemm_bf16_columns(k);
    const int64_t panels = ((n < columns ? n : columns) + COLS - 1) / COLS;
    return (size_t)(panels * panel(k) + ROWS * stride(k)) * sizeof(uint16_t);
}

/* r[i] lane j becomes r[j] lane i. */
static inline void transpose(__m512i r[LANES])
{
    __m512i t[LANES];
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* packed[pair][column], each a pair of values, of columns [first, first + COLS); zero
 * behind n and k. */
static void pack(const struct ol_gemm_bf16 *g, int64_t first, uint16_t *to)
{
    for (int64_t k = 0; k < g->k; k += 2 * LANES) {
        const int64_t left = g->k - k;
        const __mmask32 mask =
            left < 2 * LANES ? ((__mmask32)1 << left) - 1 : (__mmask32)0xffffffff;
        for (int half = 0; half < COLS; half += LANES) {
            __m512i r[LANES];
            for (int i = 0; i < LANES; i++) {
                const int64_t col = first + half + i;
                r[i] = col < g->n
                           ? _mm512_maskz_loadu_epi16(mask, g->b + col * g->ldb + k)
                           : _mm512_setzero_si512();
            }
            transpose(r);
            for (int i = 0; i < LANES; i++)
                _mm512_store_si512(to + (k + 2 * i) * COLS + 2 * half, r[i]);
        }
    }
}

/* The same from b [k, n]: two of its rows side by side. */
static void pack_plain(const struct ol_gemm_bf16 *g, int64_t first, uint16_t *to)
{
    for (int half = 0; half < COLS; half += LANES) {
        const int64_t left = g->n - first - half;
        const unsigned some = left > 0 && left < LANES ? (1u << left) - 1 : 0;
        const __mmask16 mask = (__mmask16)(left >= LANES ? 0xffffu : some);
        const uint16_t *b = g->b + first + half;
        for (int64_t k = 0; k < g->k; k += 2, b += 2 * g->ldb) {
            const __m512i even = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, b));
            __m512i odd = _mm512_setzero_si512();
            if (k + 1 < g->k)
                odd = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, b + g->ldb));
            _mm512_store_si512(to + k * COLS + 2 * half,
                               _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
        }
    }
}

static inline __m512bh broadcast(const uint16_t *pair)
{
    int32_t both;
    memcpy(&both, pair, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

/* out = a (rows at distance lda, padded with zeros to whole pairs) x one packed panel.
 * `rows` is a constant where this is called, so that the sums become registers. */
static inline __attribute__((always_inline)) void
multiply(const uint16_t *a, int64_t lda, int64_t k, const uint16_t *packed, int rows,
         float out[ROWS][COLS])
{
    __m512 sums[ROWS][2];
    for (int i = 0; i < rows; i++)
        sums[i][0] = sums[i][1] = _mm512_setzero_ps();
    for (int64_t p = 0; p < k; p += 2, packed += 2 * COLS) {
        const __m512bh b0 = (__m512bh)_mm512_load_si512(packed);
        const __m512bh b1 = (__m512bh)_mm512_load_si512(packed + 2 * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            const __m512bh both = broadcast(a + i * lda + p);
            sums[i][0] = _mm512_dpbf16_ps(sums[i][0], both, b0);
            sums[i][1] = _mm512_dpbf16_ps(sums[i][1], both, b1);
        }
    }
    for (int i = 0; i < rows; i++) {
        _mm512_storeu_ps(out[i], sums[i][0]);
        _mm512_storeu_ps(out[i] + LANES, sums[i][1]);
    }
}

static void multiply_rows(const uint16_t *a, int64_t lda, int64_t k,
                          const uint16_t *packed, int64_t rows, float out[ROWS][COLS])
{
    switch (rows) {
    case ROWS:
        multiply(a, lda, k, packed, ROWS, out);
        break;
    case 13:
        multiply(a, lda, k, packed, 13, out);
        break;
    case 12:
        multiply(a, lda, k, packed, 12, out);
        break;
    case 11:
        multiply(a, lda, k, packed, 11, out);
        break;
    case 10:
        multiply(a, lda, k, packed, 10, out);
        break;
    case 9:
        multiply(a, lda, k, packed, 9, out);
        break;
    case 8:
        multiply(a, lda, k, packed, 8, out);
        break;
    case 7:
        multiply(a, lda, k, packed, 7, out);
        break;
    case 6:
        multiply(a, lda, k, packed, 6, out);
        break;
    case 5:
        multiply(a, lda, k, packed, 5, out);
        break;
    case 4:
        multiply(a, lda, k, packed, 4, out);
        break;
    case 3:
        multiply(a, lda, k, packed, 3, out);
        break;
    case 2:
        multiply(a, lda, k, packed, 2, out);
        break;
    case 1:
        multiply(a, lda, k, packed, 1, out);
        break;
    }
}

static void store(const struct ol_gemm_bf16 *g, int64_t row, int64_t rows, int64_t col,
                  float out[ROWS][COLS])
{
    const int64_t n = g->n - col < COLS ? g->n - col : COLS;
    for (int64_t i = 0; i < rows; i++) {
        if (g->sum != NULL) {
            float *sum = g->sum + (row + i) * g->ldc + col;
            for (int64_t j = 0; j < n; j++)
                sum[j] = g->accumulate ? sum[j] + out[i][j] : out[i][j];
            continue;
        }
        if (g->bias != NULL)
            for (int64_t j = 0; j < n; j++)
                out[i][j] += g->bias[col + j];
        ol_from_f32(OL_DTYPE_BF16, out[i], g->c + (row + i) * g->ldc + col, (size_t)n);
    }
}

/* Whether rows of a are multiplied where they are: they end with a pair, and so many do
 * not meet in a set of the first cache, as those at a distance of a power of two do. */
static bool reads_in_place(const struct ol_gemm_bf16 *g)
{
    enum { SETS = 64, MOST_IN_A_SET = 4 };
    int in_set[SETS] = {0}, most = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        const int there = ++in_set[i * g->lda / LINE % SETS];
        most = there > most ? there : most;
    }
    return g->k % 2 == 0 && most <= MOST_IN_A_SET;
}

/* Rows that are multiplied together, at a distance at which they do not meet. */
static void copy_rows(const struct ol_gemm_bf16 *g, int64_t row, int64_t rows,
                      uint16_t *a, int64_t lda)
{
    for (int64_t i = 0; i < rows; i++) {
        memcpy(a + i * lda, g->a + (row + i) * g->lda, (size_t)g->k * sizeof *a);
        if (g->k % 2 != 0)
            a[i * lda + g->k] = 0;
    }
}

/* Columns [first, first + n) of the result; a: room for the copy of ROWS rows. */
static void run_columns(const struct ol_gemm_bf16 *g, uint16_t *a, int64_t first,
                        int64_t n, uint16_t *packed)
{
    const int64_t panels = (n + COLS - 1) / COLS;
    const bool in_place = reads_in_place(g);
    const int64_t lda = in_place ? g->lda : stride(g->k);
    float out[ROWS][COLS];
    for (int64_t i = 0; i < panels; i++)
        (g->b_plain ? pack_plain : pack)(g, first + i * COLS, packed + i * panel(g->k));
    /* Blocks of nearly one size: a last one of few rows would wait for every sum. */
    const int64_t blocks = (g->m + ROWS - 1) / ROWS;
    for (int64_t i = 0, row = 0, rows; i < blocks; i++, row += rows) {
        rows = (g->m - row) / (blocks - i);
        const uint16_t *from = in_place ? g->a + row * lda : a;
        if (!in_place)
            copy_rows(g, row, rows, a, lda);
        for (int64_t p = 0; p < panels; p++) {
            multiply_rows(from, lda, g->k, packed + p * panel(g->k), rows, out);
            store(g, row, rows, first + p * COLS, out);
        }
    }
}

void ol_gemm_bf16_run(const struct ol_gemm_bf16 *g)
{
    const int64_t columns = ol_gemm_bf16_columns(g->k);
    const int64_t block = g->n < columns ? g->n : columns;
    uint16_t *packed = g->scratch;
    uint16_t *a = packed + (block + COLS - 1) / COLS * panel(g->k);
    for (int64_t first = 0; first < g->n; first += block) {
        const int64_t left = g->n - first;
        run_columns(g, a, first, left < block ? left : block, packed);
    }
}

#else

#include <stdlib.h>

bool ol_gemm_bf16_available(void)
{
    return false;
}

int64_t ol_gemm_bf16_columns(int64_t k)
{
    (void)k;
    return 1;
}

size_t ol_gemm_bf16_scratch(int64_t n, int64_t k)
{
    (void)n;
    (void)k;
    return 0;
}

void ol_gemm_bf16_run(const struct ol_gemm_bf16 *g)
{
    (void)g;
    abort();
}

#endif
