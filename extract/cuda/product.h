/* What matmul and nll share: tiles of a weight as an operand, and products with it. */
#ifndef OL_CUDA_PRODUCT_H
#define OL_CUDA_PRODUCT_H

#include "extract/cuda/cuda.h"

/* Rows of a weight [n, k] on the device, in the type of activations. */
struct ol_cuda_operand {
    const void *data;
    enum ol_dtype dtype;
    int64_t n, k;
    int64_t step; /* values from a row to the next, */
    bool turned;  /* or from a column to the next */
};

/* Whether the stored bytes are such an operand. */
bool ol_cuda_is_ready(const struct ol_weight *w, enum ol_dtype dtype);

/* Rows [row, row + n), n at most ol_cuda_tile_rows. room: n * k values for a weight that
 * is not ready. */
int ol_cuda_load_operand(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                         int64_t n, enum ol_dtype dtype, void *room,
                         struct ol_cuda_operand *operand, struct ol_error *err);

/* gemm.cu: out [m, n], with out_step values from a row to the next, = x [m, k], with
 * x_step, times operand^T (+ out when `adds`), by the lane's stream. x is of `dtype`, as
 * the operand is. */
struct ol_cuda_product {
    enum ol_dtype dtype, out_dtype;
    const void *x;
    const struct ol_cuda_operand *w;
    void *out;
    int64_t m, x_step, out_step;
    bool adds;
};
int ol_cuda_gemm(struct ol_cuda *cuda, const struct ol_cuda_product *product,
                 struct ol_error *err);

/* out [m, n], with `step` values from a row to the next, = x [m, k] operand^T (+ out when
 * `adds`), sums in float, rounded once to out_dtype. */
int ol_cuda_multiply(struct ol_cuda *cuda, struct ol_tensor x,
                     const struct ol_cuda_operand *w, void *out, enum ol_dtype out_dtype,
                     int64_t step, bool adds, struct ol_error *err);

#endif
