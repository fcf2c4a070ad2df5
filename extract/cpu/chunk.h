/* What the mixers have in common that run a sequence a chunk of tokens at a time
 * (delta_net, mamba): columns of activations come in as float, and everything between is
 * a product of small matrices. */
#ifndef OL_CHUNK_H
#define OL_CHUNK_H

#include "extract/cpu/cpu.h"
#include "extract/cpu/gemm.h"

enum { OL_CHUNK = 64 }; /* tokens */

/* `width` values of rows [row, row + n) from column `col` on, as float; dst [n, width].
 */
static inline void ol_chunk_load(struct ol_tensor t, int64_t row, int64_t n, int64_t col,
                                 int64_t width, float *dst)
{
    for (int64_t i = 0; i < n; i++)
        ol_to_f32(t.dtype,
                  (const char *)ol_cpu_row(t, row + i) +
                      (size_t)col * ol_dtype_size(t.dtype),
                  dst + i * width, (size_t)width);
}

/* product = x y^T, x and y [n, k], product [n, n] in rows of OL_CHUNK. */
static inline void ol_chunk_square(const float *x, const float *y, int64_t n, int64_t k,
                                   float *product, float *scratch)
{
    const struct ol_gemm g = {.m = n,
                              .n = n,
                              .k = k,
                              .a = x,
                              .lda = k,
                              .b = y,
                              .ldb = k,
                              .c = product,
                              .ldc = OL_CHUNK,
                              .scratch = scratch};
    ol_gemm_run(&g);
}

/* c = beta * c + a b, a [m, k] in rows of lda, b [k, n], c [m, n]. */
static inline void ol_chunk_multiply(struct ol_gemm g, float *scratch)
{
    g.b_plain = true;
    g.ldb = g.ldc = g.n;
    g.scratch = scratch;
    ol_gemm_run(&g);
}

#endif
