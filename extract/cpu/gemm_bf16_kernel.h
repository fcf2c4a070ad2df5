/* The product of bfloat16 matrices, for one kind of processor: included by
 * gemm_bf16_avx512.c and gemm_bf16_amx.c, which say how ROWS rows are multiplied.
 *
 * b is packed once per call: pairs of neighbours along k, COLS columns side by side, zero
 * behind n and up to a whole number of pairs of lines. Both kinds of instructions read it
 * so: one multiplies a pair of a's values, the same in all lanes, with the pairs of 16
 * columns; for the other, 16 pairs of 16 columns are a tile. The packed columns stay in
 * the second cache while all rows of a pass by. */
#ifndef OL_CPU_GEMM_BF16_KERNEL_H
#define OL_CPU_GEMM_BF16_KERNEL_H

#include <immintrin.h>
#include <string.h>

#include "common/dtype.h"
#include "extract/cpu/gemm_bf16.h"
#include "extract/cpu/transpose16.h"

enum {
    LANES = 16,
    COLS = 32,
    LINE = 32, /* values of a cache line */
};

/* out = a x one packed panel; rows of a at distance lda, with zeros behind k up to a line
 * unless they are multiplied where they are. */
static void multiply_rows(const uint16_t *a, int64_t lda, int64_t k,
                          const uint16_t *packed, int64_t rows, float out[ROWS][COLS]);

/* Whether `rows` rows of a can be multiplied where they are. */
static bool reads_in_place(const struct ol_gemm_bf16 *g, int64_t rows);

/* Rows to multiply next, where `left` are left. */
static int64_t next_rows(int64_t left);

/* Values of one row of a's copy: whole lines, and an odd number of them, so that rows do
 * not meet in the same lines of the first cache. */
static int64_t stride(int64_t k)
{
    return ((k + LINE - 1) / LINE | 1) * LINE;
}

/* Values of one packed panel: whole blocks of 16 pairs. */
static int64_t panel(int64_t k)
{
    return (k + 2 * LANES - 1) / (2 * LANES) * (2 * LANES) * COLS;
}

static size_t scratch(int64_t n, int64_t k)
{
    const int64_t columns = ol_gemm_bf16_columns(k);
    const int64_t panels = ((n < columns ? n : columns) + COLS - 1) / COLS;
    return (size_t)(panels * panel(k) + ROWS * stride(k)) * sizeof(uint16_t);
}

/* packed[pair][column], each a pair of values, of columns [first, first + COLS); zero
 * behind n and k. Weights come from memory where no one has read them before, a line of
 * each of many rows at a time: the processor does not see what is next on its own. */
static void pack(const struct ol_gemm_bf16 *g, int64_t first, uint16_t *to)
{
    enum { AHEAD = 8 * LINE };
    for (int64_t k = 0; k < g->k; k += 2 * LANES) {
        const int64_t left = g->k - k, next = left > AHEAD ? k + AHEAD : k;
        const __mmask32 mask =
            left < 2 * LANES ? ((__mmask32)1 << left) - 1 : (__mmask32)0xffffffff;
        for (int half = 0; half < COLS; half += LANES) {
            __m512i r[LANES];
            for (int i = 0; i < LANES; i++) {
                const int64_t col = first + half + i;
                const uint16_t *row = g->b + col * g->ldb;
                r[i] = _mm512_setzero_si512();
                if (col >= g->n)
                    continue;
                _mm_prefetch((const char *)(row + next), _MM_HINT_T1);
                r[i] = _mm512_maskz_loadu_epi16(mask, row + k);
            }
            ol_transpose16(r);
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
        for (int64_t k = g->k + g->k % 2; k % (2 * LANES) != 0; k += 2)
            _mm512_store_si512(to + k * COLS + 2 * half, _mm512_setzero_si512());
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

/* Rows that are multiplied together, at a distance at which they do not meet, each with
 * zeros up to a whole line. */
static void copy_rows(const struct ol_gemm_bf16 *g, int64_t row, int64_t rows,
                      uint16_t *a, int64_t lda)
{
    const int64_t rest = (LINE - g->k % LINE) % LINE;
    for (int64_t i = 0; i < rows; i++) {
        memcpy(a + i * lda, g->a + (row + i) * g->lda, (size_t)g->k * sizeof *a);
        memset(a + i * lda + g->k, 0, (size_t)rest * sizeof *a);
    }
}

/* Columns [first, first + n) of the result; a: room for the copy of ROWS rows. */
static void run_columns(const struct ol_gemm_bf16 *g, uint16_t *a, int64_t first,
                        int64_t n, uint16_t *packed)
{
    const int64_t panels = (n + COLS - 1) / COLS;
    float out[ROWS][COLS];
    for (int64_t i = 0; i < panels; i++)
        (g->b_plain ? pack_plain : pack)(g, first + i * COLS, packed + i * panel(g->k));
    for (int64_t row = 0, rows; row < g->m; row += rows) {
        rows = next_rows(g->m - row);
        const bool in_place = reads_in_place(g, rows);
        const int64_t lda = in_place ? g->lda : stride(g->k);
        const uint16_t *from = in_place ? g->a + row * lda : a;
        if (!in_place)
            copy_rows(g, row, rows, a, lda);
        for (int64_t p = 0; p < panels; p++) {
            multiply_rows(from, lda, g->k, packed + p * panel(g->k), rows, out);
            store(g, row, rows, first + p * COLS, out);
        }
    }
}

static void run_blocks(const struct ol_gemm_bf16 *g)
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

#endif
