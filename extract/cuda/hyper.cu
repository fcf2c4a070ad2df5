/* collapse and expand: the ways in and out of a layer's part where the residual stream is
 * n streams of d values (hyper-connections). A block collapses ROWS rows, so that what
 * they are multiplied with is read once for all: a warp has every WARPS-th product, and
 * of each row's values every 32nd. The order of sums is that of the sizes alone. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum {
    THREADS = 256,
    WARPS = THREADS / OL_WARP,
    ROWS = 4,
    MAX_OUT = OL_MAX_STREAMS * (2 + OL_MAX_STREAMS),
};

struct connection {
    int n_streams, n_iterations, n_out;
    float norm_eps, eps;
    const float *fn, *base, *scale;
    int64_t n_rows, d;
    float *mixing; /* [n_rows, n + n * n] or NULL */
};

/* Divide every row (step 1 within it, n from row to row), or every column, by its sum. */
static __device__ void normalise(float *m, int n, int step, int next, float eps)
{
    for (int i = 0; i < n; i++) {
        float sum = eps;
        for (int k = 0; k < n; k++)
            sum += m[i * next + k * step];
        for (int k = 0; k < n; k++)
            m[i * next + k * step] /= sum;
    }
}

/* From products [n, n] to how much of stream i (row) stream j (column) takes over. */
static __device__ void find_exchange(const struct connection &a, float *m)
{
    const int n = a.n_streams;
    for (int i = 0; i < n; i++) {
        float top = m[i * n], total = 0;
        for (int k = 1; k < n; k++)
            top = fmaxf(top, m[i * n + k]);
        for (int k = 0; k < n; k++)
            total += m[i * n + k] = expf(m[i * n + k] - top);
        for (int k = 0; k < n; k++)
            m[i * n + k] = m[i * n + k] / total + a.eps;
    }
    normalise(m, n, n, 1, a.eps);
    for (int i = 1; i < a.n_iterations; i++) {
        normalise(m, n, 1, n, a.eps);
        normalise(m, n, n, 1, a.eps);
    }
}

/* A row's products [n_out], and behind them its sum of squares, become its weights. */
static __device__ void weigh(const struct connection &a, float *products, int64_t row)
{
    const int n = a.n_streams;
    const float length = 1 / sqrtf(products[a.n_out] / (float)(n * a.d) + a.norm_eps);
    for (int i = 0; i < a.n_out; i++)
        products[i] = products[i] * length *
                          a.scale[i < n       ? 0
                                  : i < 2 * n ? 1
                                              : 2] +
                      a.base[i];
    for (int i = 0; i < n; i++)
        products[i] = ol_cuda_sigmoid(products[i]) + a.eps;
    if (a.mixing == NULL || row >= a.n_rows)
        return;
    find_exchange(a, products + 2 * n);
    float *mixing = a.mixing + row * (n + n * n);
    for (int i = 0; i < n; i++)
        mixing[i] = 2 * ol_cuda_sigmoid(products[n + i]);
    for (int i = 0; i < n * n; i++)
        mixing[n + i] = products[2 * n + i];
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    collapse_kernel(const struct connection a, const T *streams, T *out)
{
    OL_SHARED(float, products, ROWS *(MAX_OUT + 1));
    const int lane = (int)threadIdx.x % OL_WARP;
    const int64_t first = (int64_t)blockIdx.x * ROWS, width = a.n_streams * a.d;
    for (int o = (int)threadIdx.x / OL_WARP; o <= a.n_out; o += WARPS) {
        float sum[ROWS] = {0};
        for (int64_t c = lane; c < width; c += OL_WARP) {
            const float f = o < a.n_out ? a.fn[o * width + c] : 0;
            for (int i = 0; i < ROWS; i++) {
                const float x =
                    first + i < a.n_rows ? ol_value(streams[(first + i) * width + c]) : 0;
                sum[i] = fmaf(o < a.n_out ? f : x, x, sum[i]);
            }
        }
        for (int i = 0; i < ROWS; i++) {
            const float all = ol_warp_sum(sum[i]);
            if (lane == 0)
                products[i * (MAX_OUT + 1) + o] = all;
        }
    }
    __syncthreads();
    if (threadIdx.x < ROWS)
        weigh(a, products + threadIdx.x * (MAX_OUT + 1), first + threadIdx.x);
    __syncthreads();
    for (int i = 0; i < ROWS && first + i < a.n_rows; i++)
        for (int64_t c = threadIdx.x; c < a.d; c += THREADS) {
            const T *x = streams + (first + i) * width + c;
            float sum = 0;
            for (int s = 0; s < a.n_streams; s++)
                sum = fmaf(products[i * (MAX_OUT + 1) + s], ol_value(x[s * a.d]), sum);
            out[(first + i) * a.d + c] = ol_rounded<T>(sum);
        }
}

int ol_cuda_collapse(struct ol_backend *b, const struct ol_connection *c,
                     struct ol_tensor streams, struct ol_tensor out,
                     struct ol_tensor mixing, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    struct connection a = {.n_streams = c->n_streams,
                           .n_iterations = c->n_iterations,
                           .n_out = (int)c->fn.n_rows,
                           .norm_eps = (float)c->norm_eps,
                           .eps = (float)c->eps,
                           .fn = ol_cuda_values(cuda, &c->fn, OL_DTYPE_F32, err),
                           .base = NULL,
                           .scale = NULL,
                           .n_rows = streams.n_rows,
                           .d = out.n_cols,
                           .mixing = (float *)mixing.data};
    if (a.fn == NULL ||
        (a.base = ol_cuda_values(cuda, &c->base, OL_DTYPE_F32, err)) == NULL ||
        (a.scale = ol_cuda_values(cuda, &c->scale, OL_DTYPE_F32, err)) == NULL)
        return -1;
    const dim3 grid(ol_cuda_blocks(a.n_rows, ROWS)), block(THREADS);
    if (streams.dtype == OL_DTYPE_BF16)
        return ol_launch(cuda, err, "collapse", collapse_kernel<struct ol_bf16>, grid,
                         block, 0, a, (const struct ol_bf16 *)streams.data,
                         (struct ol_bf16 *)out.data);
    return ol_launch(cuda, err, "collapse", collapse_kernel<float>, grid, block, 0, a,
                     (const float *)streams.data, (float *)out.data);
}

/* ---- expand ---- */

/* Y: the type of what joins the streams. A thread has a column of all of them. */
template <typename T, typename Y>
static __global__ void __launch_bounds__(THREADS)
    expand_kernel(T *streams, const Y *y, const float *mixing, int n, int64_t d, T *mean)
{
    OL_SHARED(float, weights, OL_MAX_STREAMS *(1 + OL_MAX_STREAMS));
    const int64_t row = blockIdx.x;
    const int n_weights = n + n * n;
    for (int i = (int)threadIdx.x; i < n_weights; i += THREADS)
        weights[i] = ol_round_as<T>(mixing[row * n_weights + i]);
    __syncthreads();
    for (int64_t c = threadIdx.x; c < d; c += THREADS) {
        T *column = streams + row * n * d + c;
        const float added = ol_round_as<T>(ol_value(y[row * d + c]));
        float x[OL_MAX_STREAMS], sum = 0;
        for (int i = 0; i < n; i++)
            x[i] = ol_value(column[i * d]);
        for (int s = 0; s < n; s++) {
            float kept = 0;
            for (int i = 0; i < n; i++)
                kept = fmaf(weights[n + i * n + s], x[i], kept);
            const T fresh =
                ol_rounded<T>(ol_round_as<T>(weights[s] * added) + ol_round_as<T>(kept));
            column[s * d] = fresh;
            sum += ol_value(fresh);
        }
        mean[row * d + c] = ol_rounded<T>(sum / (float)n);
    }
}

template <typename T, typename Y>
static int expand(struct ol_cuda *cuda, struct ol_tensor streams, struct ol_tensor y,
                  struct ol_tensor mixing, struct ol_tensor mean, struct ol_error *err)
{
    return ol_launch(cuda, err, "expand", expand_kernel<T, Y>,
                     dim3(ol_cuda_blocks(streams.n_rows, 1)), dim3(THREADS), 0,
                     (T *)streams.data, (const Y *)y.data, (const float *)mixing.data,
                     (int)(streams.n_cols / y.n_cols), y.n_cols, (T *)mean.data);
}

int ol_cuda_expand(struct ol_backend *b, struct ol_tensor streams, struct ol_tensor y,
                   struct ol_tensor mixing, struct ol_tensor mean, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    if (streams.dtype == OL_DTYPE_F32)
        return expand<float, float>(cuda, streams, y, mixing, mean, err);
    return y.dtype == OL_DTYPE_F32
               ? expand<struct ol_bf16, float>(cuda, streams, y, mixing, mean, err)
               : expand<struct ol_bf16, struct ol_bf16>(cuda, streams, y, mixing, mean,
                                                        err);
}
