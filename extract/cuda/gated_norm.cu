/* gated_norm: y = x silu(gate) in float; each of n_groups pieces of a row divided by its
 * root mean square, times the weight, rounded once. A warp has a piece. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { THREADS = 256, WARPS = THREADS / OL_WARP };

struct gated_norm {
    const float *x, *weight; /* [n_rows, n_cols], [n_cols] */
    const void *gate;
    void *out;
    float eps;
    int n_groups;
    int64_t n_pieces, group; /* values of a piece */
};

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    gated_norm_kernel(const struct gated_norm p)
{
    const int lane = (int)(threadIdx.x % OL_WARP);
    const int64_t piece = (int64_t)blockIdx.x * WARPS + threadIdx.x / OL_WARP;
    /* All lanes of a warp have the same piece: none is missing in the sum. */
    if (piece >= p.n_pieces)
        return;
    const float *x = p.x + piece * p.group;
    const float *weight = p.weight + piece % p.n_groups * p.group;
    const T *gate = (const T *)p.gate + piece * p.group;
    T *out = (T *)p.out + piece * p.group;
    double sum = 0;
    for (int64_t c = lane; c < p.group; c += OL_WARP) {
        const double y = (double)(x[c] * ol_cuda_silu(ol_value(gate[c])));
        sum += y * y;
    }
    const float mean = (float)(ol_warp_sum(sum) / (double)p.group);
    const float r = 1.0f / sqrtf(mean + p.eps);
    for (int64_t c = lane; c < p.group; c += OL_WARP) {
        const float y = x[c] * ol_cuda_silu(ol_value(gate[c]));
        out[c] = ol_rounded<T>(weight[c] * (y * r));
    }
}

int ol_cuda_gated_norm(struct ol_backend *b, int n_groups, double eps, struct ol_tensor x,
                       struct ol_tensor gate, struct ol_weight weight,
                       struct ol_tensor out, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    const float *w = ol_cuda_values(cuda, &weight, b->dtype, err);
    if (w == NULL)
        return -1;
    const struct gated_norm p = {.x = (const float *)x.data,
                                 .weight = w,
                                 .gate = gate.data,
                                 .out = out.data,
                                 .eps = (float)eps,
                                 .n_groups = n_groups,
                                 .n_pieces = x.n_rows * n_groups,
                                 .group = x.n_cols / n_groups};
    const dim3 grid(ol_cuda_blocks(p.n_pieces, WARPS)), block(THREADS);
    return out.dtype == OL_DTYPE_BF16
               ? ol_launch(cuda, err, "gated_norm", gated_norm_kernel<struct ol_bf16>,
                           grid, block, 0, p)
               : ol_launch(cuda, err, "gated_norm", gated_norm_kernel<float>, grid, block,
                           0, p);
}
