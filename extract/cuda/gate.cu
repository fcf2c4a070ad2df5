/* gate: x = round(x * g), g = round(sigmoid(gate)) or silu(gate) in float, value by value
 * or one for a row. gate_means: the means of round(sigmoid(gate)) over heads. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/pack.h"

enum { THREADS = OL_PACK_THREADS };

template <typename T>
static __device__ float factor(enum ol_gate_function function, T gate)
{
    const float g = ol_value(gate);
    return function == OL_GATE_SILU ? ol_cuda_silu(g)
                                    : ol_round_as<T>(ol_cuda_sigmoid(g));
}

template <typename T, int V>
static __global__ void gate_values(enum ol_gate_function function, T *x, const T *gate,
                                   int64_t n_packs)
{
    const int64_t i = ol_thread_index();
    if (i >= n_packs)
        return;
    struct ol_pack<T, V> p = ol_load_pack<T, V>(x, i * V);
    const struct ol_pack<T, V> g = ol_load_pack<T, V>(gate, i * V);
    for (int c = 0; c < V; c++)
        p.v[c] = ol_rounded<T>(ol_value(p.v[c]) * factor(function, g.v[c]));
    ol_store_pack<T, V>(x, i * V, p);
}

template <typename T, int V>
static __global__ void gate_rows(enum ol_gate_function function, T *x, const T *gate,
                                 int64_t per_row, int64_t n_packs)
{
    const int64_t i = ol_thread_index();
    if (i >= n_packs)
        return;
    const float by = factor(function, gate[ol_divide(i, per_row)]);
    struct ol_pack<T, V> p = ol_load_pack<T, V>(x, i * V);
    for (int c = 0; c < V; c++)
        p.v[c] = ol_rounded<T>(ol_value(p.v[c]) * by);
    ol_store_pack<T, V>(x, i * V, p);
}

template <typename T, int V>
static int run(struct ol_cuda *cuda, enum ol_gate_function function, struct ol_tensor x,
               struct ol_tensor gate, struct ol_error *err)
{
    const int64_t n = x.n_rows * x.n_cols / V;
    const dim3 grid(ol_cuda_blocks(n, THREADS)), block(THREADS);
    T *const to = (T *)x.data;
    const T *const g = (const T *)gate.data;
    if (gate.n_cols == x.n_cols)
        return ol_launch(cuda, err, "gate", gate_values<T, V>, grid, block, 0, function,
                         to, g, n);
    return ol_launch(cuda, err, "gate", gate_rows<T, V>, grid, block, 0, function, to, g,
                     x.n_cols / V, n);
}

int ol_cuda_gate(struct ol_backend *b, enum ol_gate_function function, struct ol_tensor x,
                 struct ol_tensor gate, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return OL_BY_PACK(x.dtype, x.n_cols, run, cuda, function, x, gate, err);
}

/* A warp has the d values of one head of one row. */
template <typename T>
static __global__ void mean_gates(const T *gate, float *means, int64_t d, int64_t n)
{
    const int64_t i = ol_thread_index() / OL_WARP;
    if (i >= n)
        return;
    float sum = 0;
    for (int64_t c = threadIdx.x % OL_WARP; c < d; c += OL_WARP)
        sum += factor(OL_GATE_SIGMOID, gate[i * d + c]);
    sum = ol_warp_sum(sum);
    if (threadIdx.x % OL_WARP == 0)
        means[i] = sum / (float)d;
}

template <typename T>
static int run_means(struct ol_cuda *cuda, struct ol_tensor gate, struct ol_tensor means,
                     struct ol_error *err)
{
    const int64_t n = means.n_rows * means.n_cols;
    return ol_launch(cuda, err, "gate_means", mean_gates<T>,
                     dim3(ol_cuda_blocks(n * OL_WARP, THREADS)), dim3(THREADS), 0,
                     (const T *)gate.data, (float *)means.data,
                     gate.n_cols / means.n_cols, n);
}

int ol_cuda_gate_means(struct ol_backend *b, struct ol_tensor gate,
                       struct ol_tensor means, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return gate.dtype == OL_DTYPE_BF16 ? run_means<struct ol_bf16>(cuda, gate, means, err)
                                       : run_means<float>(cuda, gate, means, err);
}
