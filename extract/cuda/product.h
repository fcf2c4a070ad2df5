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

/* out[i] [m, n], with out_step values from a row to the next, = x [m, k], with x_step,
 * times w[i]^T (+ out[i] when `adds`), i from 0 to n_products - 1; sums in float, rounded
 * once to out_dtype. x is of `dtype`, as the operands are, and these are of one shape. */
struct ol_cuda_product {
    enum ol_dtype dtype, out_dtype;
    const void *x;
    int n_products; /* at most OL_CUDA_TOGETHER */
    struct ol_cuda_operand w[OL_CUDA_TOGETHER];
    void *out[OL_CUDA_TOGETHER];
    int64_t m, x_step, out_step;
    bool adds;
};

/* gemm.cu: by the lane's stream. Each of the products has the bytes that it has alone. */
int ol_cuda_gemm(struct ol_cuda *cuda, const struct ol_cuda_product *product,
                 struct ol_error *err);

#endif
