/* norm: root mean square normalisation of rows, r = 1 / sqrt(mean(x^2) + eps).
 * RMS: out = round(w * round(x * r)), as LlamaRMSNorm. RMS_ONCE and RMS_OFFSET, whose
 * weight is w or 1 + w: out = round(w * x * r), as GptOssRMSNorm and Qwen3NextRMSNorm;
 * RMS_STORED likewise, of a w that is not rounded, as DeepseekV4RMSNorm.
 * x [n_rows, n_cols] any size; sums in double, in an order that n_cols alone decides. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

/* Long rows have a block each; short ones, of heads, a warp. */
enum { THREADS = 256, WARPS = THREADS / OL_WARP, SHORT_ROW = 1024 };

struct norm {
    enum ol_norm_kind kind;
    float eps;
    const float *weight; /* [n_cols] or NULL */
    int64_t n_rows, n_cols;
};

template <typename T>
static __device__ double squares(const T *row, int64_t n, unsigned first, unsigned step)
{
    double sum = 0;
    for (int64_t c = first; c < n; c += step) {
        const double x = (double)ol_value(row[c]);
        sum += x * x;
    }
    return sum;
}

/* Values first, first + step, ... of a row whose squares have that sum. */
template <typename T>
static __device__ void normalise(const struct norm &p, const T *x, T *out, double sum,
                                 unsigned first, unsigned step)
{
    const float mean = (float)(sum / (double)p.n_cols);
    const float r = 1.0f / sqrtf(mean + p.eps);
    for (int64_t c = first; c < p.n_cols; c += step) {
        float w = p.weight == nullptr ? 1 : p.weight[c];
        if (p.kind == OL_NORM_RMS_OFFSET && p.weight != nullptr)
            w = 1 + w;
        const float y = ol_value(x[c]) * r;
        out[c] = ol_rounded<T>(w * (p.kind == OL_NORM_RMS ? ol_round_as<T>(y) : y));
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    norm_short(const struct norm p, const T *x, T *out)
{
    const unsigned lane = threadIdx.x % OL_WARP;
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / OL_WARP;
    /* All lanes of a warp have the same row: none is missing in the sum. */
    if (row >= p.n_rows)
        return;
    const T *from = x + row * p.n_cols;
    const double sum = ol_warp_sum(squares(from, p.n_cols, lane, OL_WARP));
    normalise(p, from, out + row * p.n_cols, sum, lane, OL_WARP);
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    norm_long(const struct norm p, const T *x, T *out)
{
    OL_SHARED(double, warps, WARPS);
    const int64_t at = (int64_t)blockIdx.x * p.n_cols;
    const double sum =
        ol_block_sum(squares(x + at, p.n_cols, threadIdx.x, THREADS), warps);
    normalise(p, x + at, out + at, sum, threadIdx.x, THREADS);
}

template <typename T>
static int run(struct ol_cuda *cuda, const struct norm *p, struct ol_tensor x,
               struct ol_tensor out, struct ol_error *err)
{
    const T *const from = (const T *)x.data;
    T *const to = (T *)out.data;
    if (p->n_cols <= SHORT_ROW)
        return ol_launch(cuda, err, "norm", norm_short<T>,
                         dim3(ol_cuda_blocks(p->n_rows, WARPS)), dim3(THREADS), 0, *p,
                         from, to);
    return ol_launch(cuda, err, "norm", norm_long<T>, dim3(ol_cuda_blocks(p->n_rows, 1)),
                     dim3(THREADS), 0, *p, from, to);
}

int ol_cuda_norm(struct ol_backend *b, enum ol_norm_kind kind, double eps,
                 struct ol_tensor x, struct ol_weight weight, struct ol_tensor out,
                 struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    struct norm p = {kind, (float)eps, NULL, x.n_rows, x.n_cols};
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    if (weight.data != NULL) {
        p.weight = ol_cuda_values(
            cuda, &weight, kind == OL_NORM_RMS_STORED ? OL_DTYPE_F32 : b->dtype, err);
        if (p.weight == NULL)
            return -1;
    }
    if (x.dtype == OL_DTYPE_BF16)
        return run<struct ol_bf16>(cuda, &p, x, out, err);
    return run<float>(cuda, &p, x, out, err);
}
