/* layer_norm: out = round((x - mean) / sqrt(variance + eps) * weight + bias) of rows, a
 * warp to a row; sums in double, in an order that n_cols alone decides. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { THREADS = 256, WARPS = THREADS / OL_WARP };

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    layer_norm_kernel(const T *x, const float *weight, const float *bias, double eps,
                      int64_t n_rows, int64_t n, T *out)
{
    const unsigned lane = threadIdx.x % OL_WARP;
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / OL_WARP;
    /* All lanes of a warp have the same row: none is missing in the sums. */
    if (row >= n_rows)
        return;
    const T *from = x + row * n;
    double sum = 0, squares = 0;
    for (int64_t c = lane; c < n; c += OL_WARP)
        sum += (double)ol_value(from[c]);
    const double mean = ol_warp_sum(sum) / (double)n;
    for (int64_t c = lane; c < n; c += OL_WARP) {
        const double apart = (double)ol_value(from[c]) - mean;
        squares += apart * apart;
    }
    const double r = 1 / sqrt(ol_warp_sum(squares) / (double)n + eps);
    for (int64_t c = lane; c < n; c += OL_WARP)
        out[row * n + c] = ol_rounded<T>(
            (float)(((double)ol_value(from[c]) - mean) * r) * weight[c] + bias[c]);
}

template <typename T>
static int run(struct ol_cuda *cuda, double eps, struct ol_tensor x, const float *weight,
               const float *bias, struct ol_tensor out, struct ol_error *err)
{
    return ol_launch(cuda, err, "layer_norm", layer_norm_kernel<T>,
                     dim3(ol_cuda_blocks(x.n_rows, WARPS)), dim3(THREADS), 0,
                     (const T *)x.data, weight, bias, eps, x.n_rows, x.n_cols,
                     (T *)out.data);
}

int ol_cuda_layer_norm(struct ol_backend *b, double eps, struct ol_tensor x,
                       struct ol_weight weight, struct ol_weight bias,
                       struct ol_tensor out, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    const float *w = ol_cuda_values(cuda, &weight, b->dtype, err);
    const float *shift = w != NULL ? ol_cuda_values(cuda, &bias, b->dtype, err) : NULL;
    if (shift == NULL)
        return -1;
    if (x.dtype == OL_DTYPE_BF16)
        return run<struct ol_bf16>(cuda, eps, x, w, shift, out, err);
    return run<float>(cuda, eps, x, w, shift, out, err);
}
