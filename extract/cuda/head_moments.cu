/* head_moments, head_columns: a warp has the values of one head of one row. */
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

/* The first column that has the extreme, of those of all lanes; -1: none has. */
template <typename T> static __device__ int find(const T *x, int64_t d, float extreme)
{
    int first = INT32_MAX;
    for (int64_t c = threadIdx.x % OL_WARP; c < d && first == INT32_MAX; c += OL_WARP)
        if (ol_value(x[c]) == extreme)
            first = (int)c;
    for (int apart = OL_WARP / 2; apart > 0; apart /= 2) {
        const int other = __shfl_xor_sync(OL_FULL_WARP, first, apart);
        first = other < first ? other : first;
    }
    return first == INT32_MAX ? -1 : first;
}

/* Of no number the extremes are infinities that no value has to be. */
template <typename T>
static __global__ void head_columns(const T *x, const float *moments, int *columns,
                                    int64_t d, int64_t n)
{
    const int64_t i = ol_thread_index() / OL_WARP;
    if (i >= n)
        return;
    const float most = moments[i * OL_N_HEAD_MOMENTS + OL_MOMENT_LARGEST],
                least = moments[i * OL_N_HEAD_MOMENTS + OL_MOMENT_SMALLEST];
    const int largest = find(x + i * d, d, most), smallest = find(x + i * d, d, least);
    if (threadIdx.x % OL_WARP != 0)
        return;
    int *const to = columns + i * OL_N_HEAD_EXTREMES;
    to[OL_EXTREME_LARGEST] = most > -INFINITY ? largest : -1;
    to[OL_EXTREME_SMALLEST] = least < INFINITY ? smallest : -1;
}

template <typename T>
static int run_columns(struct ol_cuda *cuda, struct ol_tensor x, struct ol_tensor moments,
                       struct ol_tensor columns, struct ol_error *err)
{
    const int64_t n_heads = columns.n_cols / OL_N_HEAD_EXTREMES, n = x.n_rows * n_heads;
    return ol_launch(cuda, err, "head_columns", head_columns<T>,
                     dim3(ol_cuda_blocks(n * OL_WARP, THREADS)), dim3(THREADS), 0,
                     (const T *)x.data, (const float *)moments.data, (int *)columns.data,
                     x.n_cols / n_heads, n);
}

int ol_cuda_head_columns(struct ol_backend *b, struct ol_tensor x,
                         struct ol_tensor moments, struct ol_tensor columns,
                         struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return x.dtype == OL_DTYPE_BF16
               ? run_columns<struct ol_bf16>(cuda, x, moments, columns, err)
               : run_columns<float>(cuda, x, moments, columns, err);
}
