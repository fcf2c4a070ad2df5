/* glu: the gated part of an MLP, in place. Roundings are where elementwise operations of
 * the reference have them. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { THREADS = 256 };

template <typename T> static __global__ void silu(T *gate, const T *up, int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i < n)
        gate[i] = ol_rounded<T>(ol_round_as<T>(ol_cuda_silu(ol_value(gate[i]))) *
                                ol_value(up[i]));
}

static __device__ float clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x; /* NaN stays */
}

template <typename T>
static __global__ void clamped(T *gate, const T *up, float alpha, float limit, int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i >= n)
        return;
    const float g = clamp(ol_value(gate[i]), -INFINITY, limit);
    const float u = clamp(ol_value(up[i]), -limit, limit);
    const float s = ol_round_as<T>(ol_cuda_sigmoid(ol_round_as<T>(alpha * g)));
    gate[i] = ol_rounded<T>(ol_round_as<T>(u + 1) * ol_round_as<T>(g * s));
}

template <typename T>
static int run(struct ol_cuda *cuda, const struct ol_glu_spec *glu, struct ol_tensor gate,
               struct ol_tensor up, struct ol_error *err)
{
    const int64_t n = gate.n_rows * gate.n_cols;
    const dim3 grid(ol_cuda_blocks(n, THREADS));
    T *const g = (T *)gate.data;
    const T *const u = (const T *)up.data;
    if (glu->function == OL_GLU_CLAMPED)
        return ol_launch(cuda, err, "glu", clamped<T>, grid, dim3(THREADS), 0, g, u,
                         (float)glu->alpha, (float)glu->limit, n);
    return ol_launch(cuda, err, "glu", silu<T>, grid, dim3(THREADS), 0, g, u, n);
}

int ol_cuda_glu(struct ol_backend *b, const struct ol_glu_spec *glu,
                struct ol_tensor gate, struct ol_tensor up, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    if (gate.dtype == OL_DTYPE_BF16)
        return run<struct ol_bf16>(cuda, glu, gate, up, err);
    return run<float>(cuda, glu, gate, up, err);
}
