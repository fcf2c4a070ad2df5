/* Products of bfloat16 matrices with AVX512-BF16: one instruction multiplies a pair of
 * a's values, the same in all lanes, with the pairs of 16 columns of b and adds both
 * products to 16 sums. Sums of ROWS rows by 32 columns stay in registers over the whole
 * depth. */
#include "extract/cpu/gemm_bf16.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)

enum { ROWS = 14 }; /* 28 registers of sums, 2 of b, 1 of a */

#include "extract/cpu/gemm_bf16_kernel.h"

static inline __m512bh broadcast(const uint16_t *pair)
{
    int32_t both;
    memcpy(&both, pair, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

/* `rows` is a constant where this is called, so that the sums become registers. */
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

/* Whether so many rows do not meet in a set of the first cache, as those at a distance of
 * a power of two do. */
static bool are_apart(int64_t distance)
{
    enum { SETS = 64, MOST_IN_A_SET = 4 };
    int in_set[SETS] = {0}, most = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        const int there = ++in_set[i * distance / LINE % SETS];
        most = there > most ? there : most;
    }
    return most <= MOST_IN_A_SET;
}

/* Rows of a are multiplied where they are if they end with a pair. */
static bool reads_in_place(const struct ol_gemm_bf16 *g, int64_t rows)
{
    (void)rows;
    return g->k % 2 == 0 && are_apart(g->lda);
}

static int64_t distance(int64_t n, int64_t k)
{
    return k % 2 != 0 || are_apart(n) ? n : stride(n);
}

/* Blocks of nearly one size: a last one of few rows would wait for every sum. */
static int64_t next_rows(int64_t left)
{
    return left / ((left + ROWS - 1) / ROWS);
}

/* A build for such a processor runs on no other. */
static bool is_usable(void)
{
    return true;
}

const struct ol_gemm_bf16_kind ol_gemm_bf16_avx512 = {"avx512_bf16", is_usable, scratch,
                                                      distance, run_blocks};

#else

const struct ol_gemm_bf16_kind ol_gemm_bf16_avx512 = {.name = "avx512_bf16"};

#endif
