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
    ROWS = 12, /* 24 registers of sums, 2 of b, 1 of a */
    COLS = OL_GEMM_BF16_COLS,
};

bool ol_gemm_bf16_available(void)
{
    return true;
}

static int64_t pairs_of(int64_t k)
{
    return (k + 1) / 2;
}

size_t ol_gemm_bf16_scratch(int64_t k)
{
    /* Packing writes whole blocks of 16 pairs. */
    return (size_t)((pairs_of(k) + LANES - 1) / LANES * LANES) * COLS * 4;
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

/* packed[pair][column], each a pair of values; zero behind n and k. */
static void pack(const struct ol_gemm_bf16 *g)
{
    int32_t *packed = g->scratch;
    for (int64_t k = 0; k < g->k; k += 2 * LANES) {
        const int64_t left = g->k - k;
        const __mmask32 mask =
            left < 2 * LANES ? ((__mmask32)1 << left) - 1 : (__mmask32)0xffffffff;
        for (int half = 0; half < COLS; half += LANES) {
            __m512i r[LANES];
            for (int i = 0; i < LANES; i++)
                r[i] =
                    half + i < g->n
                        ? _mm512_maskz_loadu_epi16(mask, g->b + (half + i) * g->ldb + k)
                        : _mm512_setzero_si512();
            transpose(r);
            for (int i = 0; i < LANES; i++)
                _mm512_store_si512(packed + (k / 2 + i) * COLS + half, r[i]);
        }
    }
}

static inline __m512bh broadcast(const uint16_t *pair)
{
    int32_t both;
    memcpy(&both, pair, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

/* `rows` is a constant where this is called, so that the sums become registers. */
static inline __attribute__((always_inline)) void
multiply(const struct ol_gemm_bf16 *g, int64_t row, int rows, float out[ROWS][COLS])
{
    const int32_t *packed = g->scratch;
    const uint16_t *a = g->a + row * g->lda;
    __m512 sums[ROWS][2];
    for (int i = 0; i < rows; i++)
        sums[i][0] = sums[i][1] = _mm512_setzero_ps();
    int64_t k = 0;
    for (; k + 2 <= g->k; k += 2, packed += COLS) {
        const __m512bh b0 = (__m512bh)_mm512_load_si512(packed);
        const __m512bh b1 = (__m512bh)_mm512_load_si512(packed + LANES);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            const __m512bh both = broadcast(a + i * g->lda + k);
            sums[i][0] = _mm512_dpbf16_ps(sums[i][0], both, b0);
            sums[i][1] = _mm512_dpbf16_ps(sums[i][1], both, b1);
        }
    }
    if (k < g->k) {
        const __m512bh b0 = (__m512bh)_mm512_load_si512(packed);
        const __m512bh b1 = (__m512bh)_mm512_load_si512(packed + LANES);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            const uint16_t last[2] = {a[i * g->lda + k], 0};
            const __m512bh both = broadcast(last);
            sums[i][0] = _mm512_dpbf16_ps(sums[i][0], both, b0);
            sums[i][1] = _mm512_dpbf16_ps(sums[i][1], both, b1);
        }
    }
    for (int i = 0; i < rows; i++) {
        _mm512_storeu_ps(out[i], sums[i][0]);
        _mm512_storeu_ps(out[i] + LANES, sums[i][1]);
    }
}

static void multiply_rows(const struct ol_gemm_bf16 *g, int64_t row, int rows,
                          float out[ROWS][COLS])
{
    switch (rows) {
    case ROWS:
        multiply(g, row, ROWS, out);
        break;
    case 8:
        multiply(g, row, 8, out);
        break;
    case 4:
        multiply(g, row, 4, out);
        break;
    default:
        multiply(g, row, 1, out);
        break;
    }
}

void ol_gemm_bf16_run(const struct ol_gemm_bf16 *g)
{
    float out[ROWS][COLS];
    pack(g);
    for (int64_t row = 0, rows; row < g->m; row += rows) {
        const int64_t left = g->m - row;
        rows = left >= ROWS ? ROWS : left >= 8 ? 8 : left >= 4 ? 4 : 1;
        multiply_rows(g, row, (int)rows, out);
        for (int64_t i = 0; i < rows; i++) {
            if (g->bias != NULL)
                for (int64_t j = 0; j < g->n; j++)
                    out[i][j] += g->bias[j];
            ol_from_f32(OL_DTYPE_BF16, out[i], g->c + (row + i) * g->ldc, (size_t)g->n);
        }
    }
}

#else

#include <stdlib.h>

bool ol_gemm_bf16_available(void)
{
    return false;
}

size_t ol_gemm_bf16_scratch(int64_t k)
{
    (void)k;
    return 0;
}

void ol_gemm_bf16_run(const struct ol_gemm_bf16 *g)
{
    (void)g;
    abort();
}

#endif
