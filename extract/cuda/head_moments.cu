/* head_moments: a warp has the values of one head of one row. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { THREADS = 128 };

/* fmaxf and fminf leave NaN out. */
template <typename T>
static __global__ void head_moments(const T *x, float *moments, int64_t d, int64_t n)
{
    const int64_t i = ol_thread_index() / OL_WARP;
    if (i >= n)
        return;
    float squares = 0, most = -INFINITY, least = INFINITY;
    for (int64_t c = threadIdx.x % OL_WARP; c < d; c += OL_WARP) {
        const float value = ol_value(x[i * d + c]);
        squares += value * value;
        most = fmaxf(most, value);
        least = fminf(least, value);
    }
    squares = ol_warp_sum(squares);
    most = ol_warp_max(most);
    least = -ol_warp_max(-least);
    if (threadIdx.x % OL_WARP != 0)
        return;
    float *const to = moments + i * OL_N_HEAD_MOMENTS;
    to[OL_MOMENT_SQUARES] = squares;
    to[OL_MOMENT_LARGEST] = most;
    to[OL_MOMENT_SMALLEST] = least;
}

template <typename T>
static int run(struct ol_cuda *cuda, struct ol_tensor x, struct ol_tensor moments,
               struct ol_error *err)
{
    const int64_t n_heads = moments.n_cols / OL_N_HEAD_MOMENTS, n = x.n_rows * n_heads;
    return ol_launch(cuda, err, "head_moments", head_moments<T>,
                     dim3(ol_cuda_blocks(n * OL_WARP, THREADS)), dim3(THREADS), 0,
                     (const T *)x.data, (float *)moments.data, x.n_cols / n_heads, n);
}

int ol_cuda_head_moments(struct ol_backend *b, struct ol_tensor x,
                         struct ol_tensor moments, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return x.dtype == OL_DTYPE_BF16 ? run<struct ol_bf16>(cuda, x, moments, err)
                                    : run<float>(cuda, x, moments, err);
}
