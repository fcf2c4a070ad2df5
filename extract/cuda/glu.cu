/* glu: the gated part of an MLP, in place. Roundings are where elementwise operations of
 * the reference have them. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/pack.h"

enum { THREADS = OL_PACK_THREADS };

static __device__ float clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x; /* NaN stays */
}

/* limit: infinite where there is none. */
template <typename T, int V>
static __global__ void silu(T *gate, const T *up, bool alone, float limit,
                            int64_t n_packs)
{
    const int64_t i = ol_thread_index();
    if (i >= n_packs)
        return;
    struct ol_pack<T, V> g = ol_load_pack<T, V>(gate, i * V);
    const struct ol_pack<T, V> u = ol_load_pack<T, V>(alone ? gate : up, i * V);
    for (int c = 0; c < V; c++)
        g.v[c] = ol_rounded<T>(
            ol_round_as<T>(ol_cuda_silu(clamp(ol_value(g.v[c]), -INFINITY, limit))) *
            (alone ? 1 : clamp(ol_value(u.v[c]), -limit, limit)));
    ol_store_pack<T, V>(gate, i * V, g);
}

/* x (1 + tanh(y)) / 2 is x sigmoid(2 y). */
static __device__ float gelu_of(float x)
{
    return x * ol_cuda_sigmoid(1.5957691216057308f * (x + 0.044715f * (x * x * x)));
}

template <typename T, int V>
static __global__ void gelu(T *gate, const T *up, bool alone, int64_t n_packs)
{
    const int64_t i = ol_thread_index();
    if (i >= n_packs)
        return;
    struct ol_pack<T, V> g = ol_load_pack<T, V>(gate, i * V);
    const struct ol_pack<T, V> u = ol_load_pack<T, V>(alone ? gate : up, i * V);
    for (int c = 0; c < V; c++)
        g.v[c] = ol_rounded<T>(ol_round_as<T>(gelu_of(ol_value(g.v[c]))) *
                               (alone ? 1 : ol_value(u.v[c])));
    ol_store_pack<T, V>(gate, i * V, g);
}

template <typename T, int V> static __global__ void relu2(T *gate, int64_t n_packs)
{
    const int64_t i = ol_thread_index();
    if (i >= n_packs)
        return;
    struct ol_pack<T, V> g = ol_load_pack<T, V>(gate, i * V);
    for (int c = 0; c < V; c++) {
        const float x = ol_value(g.v[c]);
        g.v[c] = ol_rounded<T>(x < 0 ? 0 : x * x); /* NaN stays */
    }
    ol_store_pack<T, V>(gate, i * V, g);
}

template <typename T, int V>
static __global__ void clamped(T *gate, const T *up, float alpha, float limit,
                               int64_t n_packs)
{
    const int64_t i = ol_thread_index();
    if (i >= n_packs)
        return;
    struct ol_pack<T, V> p = ol_load_pack<T, V>(gate, i * V);
    const struct ol_pack<T, V> q = ol_load_pack<T, V>(up, i * V);
    for (int c = 0; c < V; c++) {
        const float g = clamp(ol_value(p.v[c]), -INFINITY, limit);
        const float u = clamp(ol_value(q.v[c]), -limit, limit);
        const float s = ol_round_as<T>(ol_cuda_sigmoid(ol_round_as<T>(alpha * g)));
        p.v[c] = ol_rounded<T>(ol_round_as<T>(u + 1) * ol_round_as<T>(g * s));
    }
    ol_store_pack<T, V>(gate, i * V, p);
}

template <typename T, int V>
static int run(struct ol_cuda *cuda, const struct ol_glu_spec *glu, struct ol_tensor gate,
               struct ol_tensor up, struct ol_error *err)
{
    const int64_t n = gate.n_rows * gate.n_cols / V;
    const dim3 grid(ol_cuda_blocks(n, THREADS)), block(THREADS);
    T *const g = (T *)gate.data;
    const T *const u = (const T *)up.data;
    if (glu->function == OL_GLU_CLAMPED)
        return ol_launch(cuda, err, "glu", clamped<T, V>, grid, block, 0, g, u,
                         (float)glu->alpha, (float)glu->limit, n);
    if (glu->function == OL_GLU_RELU2)
        return ol_launch(cuda, err, "glu", relu2<T, V>, grid, block, 0, g, n);
    if (glu->function == OL_GLU_GELU_TANH)
        return ol_launch(cuda, err, "glu", gelu<T, V>, grid, block, 0, g, u, glu->alone,
                         n);
    return ol_launch(cuda, err, "glu", silu<T, V>, grid, block, 0, g, u, glu->alone,
                     glu->limit > 0 ? (float)glu->limit : INFINITY, n);
}

int ol_cuda_glu(struct ol_backend *b, const struct ol_glu_spec *glu,
                struct ol_tensor gate, struct ol_tensor up, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return OL_BY_PACK(gate.dtype, gate.n_cols, run, cuda, glu, gate, up, err);
}
