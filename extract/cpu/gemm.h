/* Single-threaded products in float. A row of the result is the same bytes whatever rows
 * and columns stand beside it: what a sequence's activations are does not depend on what
 * else is in the run. */
#ifndef OL_CPU_GEMM_H
#define OL_CPU_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"

enum {
    OL_GEMM_DEPTH = 256,   /* of k at a time */
    OL_GEMM_ROWS = 14,     /* of a at a time, at most */
    OL_GEMM_COLUMNS = 384, /* of b at a time */
    /* Rows of blocks: at a distance of a power of two they would meet in the same lines
     * of the first cache. */
    OL_GEMM_STRIDE = OL_GEMM_DEPTH + 16,
};

/* Floats of scratch memory, 64-byte aligned, that a product needs: whole cache lines. */
size_t ol_gemm_scratch(int64_t n, int64_t k);

/* c [m, n] = a b^T + beta c with a [m, k], b [n, k], or a b with b [k, n] when b_plain;
 * row-major, leading dimensions in elements. a and b are float or bfloat16, which is
 * widened exactly. Products are summed in float in rising order of k, OL_GEMM_DEPTH of
 * them at a time, then these sums, whatever m and n are; beta 0 does not read c. Where
 * both are bfloat16, beta is 0 or 1, and the processor has instructions for it, these do
 * it (gemm_bf16.h). */
struct ol_gemm {
    int64_t m, n, k;
    enum ol_dtype a_dtype, b_dtype;
    const void *a;
    int64_t lda;
    const void *b;
    int64_t ldb;
    bool b_plain;
    float beta;
    float *c;
    int64_t ldc;
    float *scratch; /* [ol_gemm_scratch(n, k)] */
};
void ol_gemm_run(const struct ol_gemm *g);

/* One way for every kind of processor, all of the same bytes: each product and its sum
 * are rounded once. They are for floats, and multiply what is bfloat16 as floats too.
 * run: NULL in a build without the instructions. */
struct ol_gemm_kind {
    const char *name;
    void (*run)(const struct ol_gemm *g);
};
extern const struct ol_gemm_kind ol_gemm_avx512, ol_gemm_avx2, ol_gemm_generic;

/* What this build runs. */
const struct ol_gemm_kind *ol_gemm_kind(void);

#endif
