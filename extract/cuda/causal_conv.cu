/* causal_conv: depthwise causal convolution of one sequence, then silu. A thread has one
 * channel of ROWS rows, neighbouring threads neighbouring channels; what it reads again
 * for the next row is in the cache. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { THREADS = 128, ROWS = 16 };

template <typename T>
static __global__ void causal_conv_kernel(const T *x, const float *weight,
                                          const float *bias, T *out, int64_t n_rows,
                                          int64_t n_channels, int kernel)
{
    const int64_t channel = ol_thread_index();
    const int64_t first = (int64_t)blockIdx.y * ROWS;
    const int64_t end = first + ROWS < n_rows ? first + ROWS : n_rows;
    if (channel >= n_channels)
        return;
    for (int64_t row = first; row < end; row++) {
        float sum = 0;
        for (int k = row + 1 < kernel ? kernel - 1 - (int)row : 0; k < kernel; k++)
            sum = fmaf(weight[channel * kernel + k],
                       ol_value(x[(row - kernel + 1 + k) * n_channels + channel]), sum);
        if (bias != nullptr)
            sum += bias[channel];
        out[row * n_channels + channel] =
            ol_rounded<T>(ol_cuda_silu(ol_round_as<T>(sum)));
    }
}

template <typename T>
static int run(struct ol_cuda *cuda, struct ol_tensor x, const float *weight,
               const float *bias, int kernel, struct ol_tensor out, struct ol_error *err)
{
    const int64_t tiles = (x.n_rows + ROWS - 1) / ROWS;
    if (tiles > 65535)
        return ol_fail(err, "cuda: causal_conv: %lld rows, expected at most %lld",
                       (long long)x.n_rows, 65535ll * ROWS);
    return ol_launch(cuda, err, "causal_conv", causal_conv_kernel<T>,
                     dim3(ol_cuda_blocks(x.n_cols, THREADS), (unsigned)tiles), THREADS, 0,
                     (const T *)x.data, weight, bias, (T *)out.data, x.n_rows, x.n_cols,
                     kernel);
}

int ol_cuda_causal_conv(struct ol_backend *b, struct ol_tensor x, struct ol_weight weight,
                        struct ol_weight bias, struct ol_tensor out, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    const float *values = ol_cuda_values(cuda, &weight, b->dtype, err);
    if (values == NULL)
        return -1;
    const float *added = NULL;
    if (bias.data != NULL && (added = ol_cuda_values(cuda, &bias, b->dtype, err)) == NULL)
        return -1;
    const int kernel = (int)weight.n_cols;
    return x.dtype == OL_DTYPE_BF16
               ? run<struct ol_bf16>(cuda, x, values, added, kernel, out, err)
               : run<float>(cuda, x, values, added, kernel, out, err);
}
