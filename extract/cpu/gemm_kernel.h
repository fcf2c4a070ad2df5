/* The product in float, for one kind of processor: included by gemm_avx512.c, gemm_avx2.c
 * and gemm_generic.c, which say what a vector is. LANES floats make a vector, and FMA(a,
 * b, c, exact) is a b + c with one rounding in each lane (with `exact`, where a b has no
 * rounding, it need not be one operation): so all kinds give the same bytes, because an
 * element's sum is its own lane's, over k in rising order, whatever LANES and ROWS are.
 *
 * A block of b is packed once, COLS columns side by side, and stays in the second cache
 * with a block of rows of a, widened to float; a panel of COLS columns stays in the first
 * while the rows pass by, ROWS at a time. The sums of ROWS rows by COLS columns are kept
 * in registers over the block's depth.
 *
 *        b: panels of COLS columns          c
 *           +--+--+--+--+
 *     depth |  |  |  |  |
 *           +--+--+--+--+
 *   a: ROWS x depth          ->   ROWS x COLS, added up over blocks of depth
 *
 * Why not a library's product: those choose another order of summation, or another
 * kernel, for another number of rows, so that an activation's last bits tell what else
 * was in the run. */
#ifndef OL_CPU_GEMM_KERNEL_H
#define OL_CPU_GEMM_KERNEL_H

#include <string.h>

#include "extract/cpu/gemm.h"

enum { COLS = 2 * LANES, DEPTH = OL_GEMM_DEPTH, STRIDE = OL_GEMM_STRIDE };

_Static_assert(OL_GEMM_ROWS % ROWS == 0 && OL_GEMM_COLUMNS % COLS == 0,
               "blocks are whole");

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static const void *element(const void *x, enum ol_dtype dtype, int64_t i)
{
    return (const char *)x + (size_t)i * ol_dtype_size(dtype);
}

/* ---- packing ---- */

/* to[k][i] = row i of x at k, of n_rows rows at a distance of step and n values. */
static void turn(const void *x, enum ol_dtype dtype, int64_t step, int64_t n_rows,
                 int64_t n, float *to)
{
    int64_t k = 0;
#ifdef OL_GEMM_TURN8
    for (; n_rows == 8 && k + 8 <= n; k += 8)
        turn8(element(x, dtype, k), dtype, step, to + k * COLS, COLS);
#endif
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t l = k; l < n; l++)
            ol_to_f32(dtype, element(x, dtype, i * step + l), &to[l * COLS + i], 1);
}

/* Weights come from memory where no one has read them before, a piece of each row at a
 * time: the processor does not see what is next on its own. */
static void fetch_ahead(const void *x, enum ol_dtype dtype, int64_t step, int64_t n_rows,
                        int64_t n)
{
    enum { LINE = 64 };
    const int64_t bytes = n * (int64_t)ol_dtype_size(dtype);
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t at = 0; at < bytes; at += LINE)
            __builtin_prefetch((const char *)element(x, dtype, i * step) + at);
}

/* packed[k][column] of columns [first, first + COLS) and depth [at, at + depth); zero
 * behind the last column. */
static void pack(const struct ol_gemm *g, int64_t first, int64_t at, int64_t depth,
                 float *packed)
{
    const int64_t n = least(COLS, g->n - first);
    if (n < COLS)
        memset(packed, 0, (size_t)(depth * COLS) * sizeof *packed);
    if (g->b_plain) {
        for (int64_t k = 0; k < depth; k++)
            ol_to_f32(g->b_dtype, element(g->b, g->b_dtype, (at + k) * g->ldb + first),
                      packed + k * COLS, (size_t)n);
        return;
    }
    for (int64_t i = 0; i < n; i += 8) {
        const int64_t row = first + i, next = row + 8;
        if (next < g->n)
            fetch_ahead(element(g->b, g->b_dtype, next * g->ldb + at), g->b_dtype, g->ldb,
                        least(8, g->n - next), depth);
        turn(element(g->b, g->b_dtype, row * g->ldb + at), g->b_dtype, g->ldb,
             least(8, n - i), depth, packed + i);
    }
}

/* ---- sums ---- */

/* out = rows of a at distance STRIDE x one packed panel. `rows` is a constant where this
 * is called, so that the sums become registers. */
static inline __attribute__((always_inline)) void multiply(const float *a,
                                                           const float *packed,
                                                           int64_t depth, int rows,
                                                           bool exact, float (*out)[COLS])
{
    vector sums[ROWS][2];
    for (int i = 0; i < rows; i++)
        sums[i][0] = sums[i][1] = ALL(0);
    for (int64_t k = 0; k < depth; k++, packed += COLS) {
        vector b0 = LOAD(packed), b1 = LOAD(packed + LANES);
        STAY(b0);
        STAY(b1);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            const vector x = ALL(a[i * STRIDE + k]);
            sums[i][0] = FMA(x, b0, sums[i][0], exact);
            sums[i][1] = FMA(x, b1, sums[i][1], exact);
        }
    }
    for (int i = 0; i < rows; i++) {
        STORE(out[i], sums[i][0]);
        STORE(out[i] + LANES, sums[i][1]);
    }
}

/* exact: products of two values have no rounding of their own. */
static inline __attribute__((always_inline)) void
multiply_so_many(const float *a, const float *packed, int64_t depth, int64_t rows,
                 bool exact, float (*out)[COLS])
{
    switch (rows) {
#define CASE(n)                                                                          \
    case n:                                                                              \
        multiply(a, packed, depth, n, exact, out);                                       \
        break
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
        CASE(5);
        CASE(6);
#if MOST_ROWS > 6
        CASE(7);
        CASE(8);
        CASE(9);
        CASE(10);
        CASE(11);
        CASE(12);
        CASE(13);
        CASE(14);
#endif
#undef CASE
    }
}

static void multiply_rows(const float *a, const float *packed, int64_t depth,
                          int64_t rows, bool exact, float (*out)[COLS])
{
    if (EXACT_IS_FASTER && exact)
        multiply_so_many(a, packed, depth, rows, true, out);
    else
        multiply_so_many(a, packed, depth, rows, false, out);
}

/* c = beta c + out, or out alone, at that row and column. */
static inline void store(const struct ol_gemm *g, float beta, int64_t row, int64_t rows,
                         int64_t col, float (*out)[COLS])
{
    const int64_t n = least(COLS, g->n - col);
    for (int64_t i = 0; i < rows; i++) {
        float *c = g->c + (row + i) * g->ldc + col;
        if (n == COLS && beta == 1) /* most of them */
            for (int64_t j = 0; j < COLS; j++)
                c[j] += out[i][j];
        else
            for (int64_t j = 0; j < n; j++)
                c[j] = beta == 0 ? out[i][j] : beta * c[j] + out[i][j];
    }
}

/* Columns [col, col + n) over one block of depth. */
static void run_block(const struct ol_gemm *g, int64_t col, int64_t n, int64_t at,
                      int64_t depth)
{
    const float beta = at == 0 ? g->beta : 1;
    const bool exact = g->a_dtype == OL_DTYPE_BF16 && g->b_dtype == OL_DTYPE_BF16;
    float *a = g->scratch, *packed = a + OL_GEMM_ROWS * STRIDE;
    enum { AHEAD = 8 };
    float out[ROWS][COLS];
    for (int64_t p = 0; p < n; p += COLS)
        pack(g, col + p, at, depth, packed + p * depth);
    for (int64_t first = 0; first < g->m; first += OL_GEMM_ROWS) {
        const int64_t m = least(OL_GEMM_ROWS, g->m - first);
        for (int64_t i = 0; i < m; i++) {
            const int64_t row = first + i;
            if (row + AHEAD < g->m)
                fetch_ahead(element(g->a, g->a_dtype, (row + AHEAD) * g->lda + at),
                            g->a_dtype, g->lda, 1, depth);
            ol_to_f32(g->a_dtype, element(g->a, g->a_dtype, row * g->lda + at),
                      a + i * STRIDE, (size_t)depth);
        }
        /* Groups of nearly one size: a last one of few rows would wait for every sum. */
        const int64_t groups = (m + ROWS - 1) / ROWS;
        for (int64_t p = 0; p < n; p += COLS)
            for (int64_t i = 0, row = 0, rows; i < groups; i++, row += rows) {
                rows = (m - row) / (groups - i);
                multiply_rows(a + row * STRIDE, packed + p * depth, depth, rows, exact,
                              out);
                store(g, beta, first + row, rows, col + p, out);
            }
    }
}

static void run(const struct ol_gemm *g)
{
    for (int64_t col = 0; col < g->n; col += OL_GEMM_COLUMNS)
        /* Once also for no depth at all: c = beta c. */
        for (int64_t at = 0; at == 0 || at < g->k; at += DEPTH)
            run_block(g, col, least(OL_GEMM_COLUMNS, g->n - col), at,
                      least(DEPTH, g->k - at));
}

#endif
