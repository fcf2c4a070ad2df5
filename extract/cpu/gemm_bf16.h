/* Products of bfloat16 matrices with processor instructions for them (AMX, AVX512-BF16),
 * without widening anything first: twice the speed of float ones, with AMX eight times.
 */
#ifndef OL_CPU_GEMM_BF16_H
#define OL_CPU_GEMM_BF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Columns of b that stay in the second cache while all rows of a pass by, for a product
 * of depth k: a call takes so many at a time. */
int64_t ol_gemm_bf16_columns(int64_t k);

/* Bytes of scratch memory, 64-byte aligned, that a product needs. */
size_t ol_gemm_bf16_scratch(int64_t n, int64_t k);

/* The distance at which rows of n values are best for products of depth k: n where they
 * are read as they lie, else that of a copy, whole cache lines with zeros behind a row.
 */
int64_t ol_gemm_bf16_distance(int64_t n, int64_t k);

/* a [m, k] b^T with b [n, k], or a b with b [k, n] when b_plain; all row-major with
 * leading dimensions in elements. Sums are float, over k ascending in an order of the
 * kind's own (pairs, or steps of 32), whatever m and n are. c [m, n] = round(product +
 * bias), bias [n] or NULL; or, when sum is not NULL, sum [m, n] = product, added to what
 * is there when accumulate. */
struct ol_gemm_bf16 {
    int64_t m, n, k;
    const uint16_t *a;
    int64_t lda;
    const uint16_t *b;
    int64_t ldb;
    bool b_plain;
    const float *bias;
    uint16_t *c;
    float *sum;
    bool accumulate;
    int64_t ldc; /* of c or sum */
    void *scratch;
};
void ol_gemm_bf16_run(const struct ol_gemm_bf16 *g);

/* One way for every kind of processor; their results differ in the last bits.
 * run: NULL in a build without the instructions; is_usable: whether processor and system
 * have them, else they are not to be used; scratch, distance: as ol_gemm_bf16_scratch and
 * ol_gemm_bf16_distance. */
struct ol_gemm_bf16_kind {
    const char *name;
    bool (*is_usable)(void);
    size_t (*scratch)(int64_t n, int64_t k);
    int64_t (*distance)(int64_t n, int64_t k);
    void (*run)(const struct ol_gemm_bf16 *g);
};
extern const struct ol_gemm_bf16_kind ol_gemm_bf16_amx, ol_gemm_bf16_avx512;

/* What this process runs; NULL: nothing here multiplies bfloat16. */
const struct ol_gemm_bf16_kind *ol_gemm_bf16_kind(void);

#endif
