/* Single-threaded float products: the only door to the matrix library. */
#ifndef OL_CPU_GEMM_H
#define OL_CPU_GEMM_H

#include <stdbool.h>
#include <stdint.h>

/* All row-major with leading dimensions in elements: c [m, n] = a [m, k] b^T + beta c
 * with b [n, k], or with b [k, n] when b_plain. Runs on the calling thread only, so that
 * the same call gives the same bytes whoever makes it. */
struct ol_gemm {
    int64_t m, n, k;
    const float *a;
    int64_t lda;
    const float *b;
    int64_t ldb;
    bool b_plain;
    float beta;
    float *c;
    int64_t ldc;
};
void ol_gemm_run(const struct ol_gemm *g);

/* "oneDNN 2.6.3" for --version. */
const char *ol_gemm_library(void);

#endif
