/* The product in float, for one kind of processor: included by gemm_avx512.c, gemm_avx2.c
 * and gemm_generic.c, which say what a vector is. LANES floats make a vector, and FMA(a,
 * b, c, exact) is a b + c with one rounding in each lane (with `exact`, where a b has no
 * rounding, it need not be one operation): so all kinds give the same bytes, because an
 * element's sum is its own lane's, over k in rising order, whatever LANES and ROWS are.
 *
 * A block of b is packed once, COLS columns side by side, and stays in the second cache.
 * Rows of a, ROWS at a time, are widened to float and stay in the first while all panels
 * of COLS columns pass by. The sums of ROWS rows by COLS columns are kept in registers
 * over the block's depth.
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

enum {
    COLS = 2 * LANES,
    DEPTH = OL_GEMM_DEPTH,
    STRIDE = OL_GEMM_STRIDE,
    LINE = 16, /* floats of a cache line */
};

#ifdef OL_GEMM_TURN
enum { TURN = OL_GEMM_TURN };
#else
enum { TURN = COLS };
#endif

_Static_assert((int)ROWS <= (int)OL_GEMM_ROWS && OL_GEMM_COLUMNS % COLS == 0,
               "blocks are whole");

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static const void *element(const void *x, enum ol_dtype dtype, int64_t i)
{
    return (const char *)x + (size_t)i * ol_dtype_size(dtype);
}

static int64_t values_of_line(enum ol_dtype dtype)
{
    return LINE * (int64_t)sizeof(float) / (int64_t)ol_dtype_size(dtype);
}

/* ---- packing ---- */

/* x [n], as float. */
static void widen(const void *x, enum ol_dtype dtype, int64_t n, float *to)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        STORE(to + i, LOAD_AS(element(x, dtype, i), dtype));
    if (i < n)
        ol_to_f32(dtype, element(x, dtype, i), to + i, (size_t)(n - i));
}

static void fetch_row(const void *x, enum ol_dtype dtype, int64_t n)
{
    const int64_t line = values_of_line(dtype);
    for (int64_t at = 0; at < n; at += line)
        __builtin_prefetch(element(x, dtype, at));
}

/* to[k][i] = row i of x at k, of n_rows rows at a distance of step and n values. Weights
 * come from memory where no one has read them before, a piece of each row at a time: the
 * processor does not see what is next on its own, and is told of the n_next rows behind.
 */
static void turn(const void *x, enum ol_dtype dtype, int64_t step, int64_t n_rows,
                 int64_t n, int64_t n_next, float *to)
{
    int64_t k = 0;
#ifdef OL_GEMM_TURN
    const int64_t line = values_of_line(dtype), span = ol_turn_span(dtype);
    for (; n_rows == OL_GEMM_TURN && k + span <= n; k += span) {
        for (int64_t i = 0; k % line == 0 && i < n_next; i++)
            __builtin_prefetch(element(x, dtype, (n_rows + i) * step + k));
        ol_turn(element(x, dtype, k), dtype, step, to + k * COLS, COLS);
    }
#else
    (void)n_next;
#endif
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t l = k; l < n; l++)
            ol_to_f32(dtype, element(x, dtype, i * step + l), &to[l * COLS + i], 1);
}

/* packed[k][column] of columns [first, first + COLS) and depth [at, at + depth); zero
 * behind the last column. */
static void pack(const struct ol_gemm *g, int64_t first, int64_t at, int64_t depth,
                 float *packed)
{
    enum { AHEAD = 16 };
    const int64_t n = least(COLS, g->n - first);
    if (n < COLS)
        memset(packed, 0, (size_t)(depth * COLS) * sizeof *packed);
    if (g->b_plain) {
        for (int64_t k = 0; k < depth; k++) {
            const void *row = element(g->b, g->b_dtype, (at + k) * g->ldb + first);
            if (k + AHEAD < depth)
                fetch_row(element(row, g->b_dtype, AHEAD * g->ldb), g->b_dtype, n);
            widen(row, g->b_dtype, n, packed + k * COLS);
        }
        return;
    }
    for (int64_t i = 0; i < n; i += TURN) {
        const int64_t row = first + i, next = g->n - row - TURN;
        turn(element(g->b, g->b_dtype, row * g->ldb + at), g->b_dtype, g->ldb,
             least(TURN, n - i), depth, least(TURN, next), packed + i);
    }
}

/* ---- sums ---- */

/* Where sums go: c = sums or, with `add`, c + sums. */
struct target {
    float *c;
    int64_t ldc;
    bool add;
};

/* Rows of a at distance STRIDE x one packed panel. `rows` is a constant where this is
 * called, so that the sums become registers. What they are added to is on its way from
 * the second cache meanwhile. */
static inline __attribute__((always_inline)) void
multiply(const float *a, const float *packed, int64_t depth, int rows, bool exact,
         const struct target *to)
{
    enum { AHEAD = 8 * LINE / LANES }; /* of depth */
    vector sums[ROWS][2];
    for (int i = 0; i < rows; i++) {
        sums[i][0] = sums[i][1] = ALL(0);
        __builtin_prefetch(to->c + i * to->ldc, 1);
        __builtin_prefetch(to->c + i * to->ldc + LANES, 1);
    }
    for (int64_t k = 0; k < depth; k++, packed += COLS) {
        for (int at = 0; at < COLS; at += LINE)
            __builtin_prefetch(packed + AHEAD * COLS + at);
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
    for (int i = 0; to->add && i < rows; i++) {
        const float *c = to->c + i * to->ldc;
        sums[i][0] = LOAD(c) + sums[i][0];
        sums[i][1] = LOAD(c + LANES) + sums[i][1];
    }
    for (int i = 0; i < rows; i++) {
        STORE(to->c + i * to->ldc, sums[i][0]);
        STORE(to->c + i * to->ldc + LANES, sums[i][1]);
    }
}

/* exact: products of two values have no rounding of their own. */
static inline __attribute__((always_inline)) void
multiply_so_many(const float *a, const float *packed, int64_t depth, int64_t rows,
                 bool exact, const struct target *to)
{
    switch (rows) {
#define CASE(n)                                                                          \
    case n:                                                                              \
        multiply(a, packed, depth, n, exact, to);                                        \
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
                          int64_t rows, bool exact, const struct target *to)
{
    if (EXACT_IS_FASTER && exact)
        multiply_so_many(a, packed, depth, rows, true, to);
    else
        multiply_so_many(a, packed, depth, rows, false, to);
}

/* Row `row`, column `col` and what follows of c: beta c + the product. */
static void multiply_into(const struct ol_gemm *g, float beta, int64_t row, int64_t rows,
                          int64_t col, const float *a, const float *packed, int64_t depth)
{
    const bool exact = g->a_dtype == OL_DTYPE_BF16 && g->b_dtype == OL_DTYPE_BF16;
    const int64_t n = least(COLS, g->n - col);
    float *c = g->c + row * g->ldc + col, out[ROWS][COLS];
    if (n == COLS && (beta == 0 || beta == 1)) { /* most of them */
        multiply_rows(a, packed, depth, rows, exact,
                      &(struct target){c, g->ldc, beta != 0});
        return;
    }
    multiply_rows(a, packed, depth, rows, exact, &(struct target){out[0], COLS, false});
    for (int64_t i = 0; i < rows; i++, c += g->ldc)
        for (int64_t j = 0; j < n; j++)
            c[j] = beta == 0 ? out[i][j] : beta * c[j] + out[i][j];
}

/* The share of rows [first, end) of a that falls to the panel at column p of n: they are
 * fetched while the rows before them are multiplied. */
static void fetch_share(const struct ol_gemm *g, int64_t first, int64_t end, int64_t p,
                        int64_t n, int64_t at, int64_t depth)
{
    const int64_t rows = (ROWS * COLS + n - 1) / n, from = first + p / COLS * rows;
    for (int64_t row = from; row < least(from + rows, end); row++)
        fetch_row(element(g->a, g->a_dtype, row * g->lda + at), g->a_dtype, depth);
}

/* Columns [col, col + n) over one block of depth. */
static void run_block(const struct ol_gemm *g, int64_t col, int64_t n, int64_t at,
                      int64_t depth)
{
    const float beta = at == 0 ? g->beta : 1;
    float *a = g->scratch, *packed = a + OL_GEMM_ROWS * STRIDE;
    for (int64_t p = 0; p < n; p += COLS) {
        fetch_share(g, 0, least(ROWS, g->m), p, n, at, depth);
        pack(g, col + p, at, depth, packed + p * depth);
    }
    /* Groups of nearly one size: a last one of few rows would wait for every sum. */
    int64_t groups = (g->m + ROWS - 1) / ROWS;
    for (int64_t row = 0, next; row < g->m; row = next, groups--) {
        const int64_t rows = (g->m - row) / groups;
        next = row + rows;
        for (int64_t i = 0; i < rows; i++)
            widen(element(g->a, g->a_dtype, (row + i) * g->lda + at), g->a_dtype, depth,
                  a + i * STRIDE);
        for (int64_t p = 0; p < n; p += COLS) {
            fetch_share(g, next, least(next + ROWS, g->m), p, n, at, depth);
            multiply_into(g, beta, row, rows, col + p, a, packed + p * depth, depth);
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
