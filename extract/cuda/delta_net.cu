/* delta_net: the gated delta rule of one sequence, token by token.
 *
 * The columns of a head's state do not know each other: a block has COLUMNS of them and
 * walks all tokens, LANES neighbouring threads share a column and keep its rows in
 * registers, four and four:
 *
 *     rows     0..3 4..7 ... 28..31 32..35 ...
 *     lane       0    1  ...    7      0   ...
 *
 * With g = exp(-exp(a_log) softplus(decay + dt_bias)) and S as the token before left it,
 *     d = round(sigmoid(beta)) (v - g S^T k)   S' = g S + k d^T
 *     out = S'^T q = g S^T q + (k . q) d
 * so that both products read the same S and the lanes meet once per token. TOKENS tokens
 * at a time are brought to shared memory, and their keys and queries divided by their
 * lengths there. (Chunks as in cpu/delta_net.c would do as many operations in float,
 * and only pay where matrix units may round.) */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"
#include "extract/cuda/unroll.h"

enum {
    COLUMNS = 32,
    LANES = 8,
    THREADS = COLUMNS * LANES,
    WARPS = THREADS / OL_WARP,
    TOKENS = 16,
    ROWS = 4 * LANES, /* that the lanes of a column have together, once */
    MAX_KEY_DIM = 256,
};

struct delta_net {
    const void *mixed, *beta, *decay;
    const float *dt_bias, *a_log; /* [n_value_heads] */
    void *out;
    int64_t n_rows, mixed_step;
    int n_key_heads, n_value_heads, key_dim, value_dim;
};

/* What a token brings. */
template <int D> struct tile {
    alignas(16) float q[TOKENS][D], k[TOKENS][D]; /* zeros from key_dim on */
    float v[TOKENS][COLUMNS], out[TOKENS][COLUMNS];
    float product[TOKENS]; /* k . q */
    float beta[TOKENS], keep[TOKENS];
};

/* Linear from 20 on, as the reference's. */
static __device__ __forceinline__ float softplus(float x)
{
    return x > 20 ? x : log1pf(expf(x));
}

/* One token's query and key by one warp: loaded, divided by their lengths, multiplied. */
template <typename T, int D>
static __device__ __forceinline__ void
load_keys(const struct delta_net &n, struct tile<D> &t, int64_t row, int i, int key_head)
{
    const int lane = (int)(threadIdx.x % OL_WARP);
    const T *q = (const T *)n.mixed + row * n.mixed_step + (int64_t)key_head * n.key_dim;
    const T *k = q + (int64_t)n.n_key_heads * n.key_dim;
    float squares_q = 0, squares_k = 0, product = 0;
    for (int c = lane; c < D; c += OL_WARP) {
        const float a = c < n.key_dim ? ol_value(q[c]) : 0;
        const float b = c < n.key_dim ? ol_value(k[c]) : 0;
        t.q[i][c] = a;
        t.k[i][c] = b;
        squares_q = fmaf(a, a, squares_q);
        squares_k = fmaf(b, b, squares_k);
    }
    const float length_q = sqrtf(ol_warp_sum(squares_q) + 1e-6f);
    const float length_k = sqrtf(ol_warp_sum(squares_k) + 1e-6f);
    const float scale_q = 1 / (length_q * sqrtf((float)n.key_dim));
    const float scale_k = 1 / length_k;
    for (int c = lane; c < D; c += OL_WARP) {
        t.q[i][c] *= scale_q;
        t.k[i][c] *= scale_k;
        product = fmaf(t.q[i][c], t.k[i][c], product);
    }
    product = ol_warp_sum(product);
    if (lane == 0)
        t.product[i] = product;
}

template <typename T, int D>
static __device__ __forceinline__ void load_tile(const struct delta_net &n,
                                                 struct tile<D> &t, int64_t first,
                                                 int n_tokens, int head)
{
    const int key_head = head / (n.n_value_heads / n.n_key_heads);
    const int thread = (int)threadIdx.x, column = (int)blockIdx.x * COLUMNS;
    const int64_t keys = (int64_t)n.n_key_heads * n.key_dim;
    const T *v = (const T *)n.mixed + 2 * keys + (int64_t)head * n.value_dim + column;
    for (int i = thread / OL_WARP; i < n_tokens; i += WARPS)
        load_keys<T, D>(n, t, first + i, i, key_head);
    for (int i = thread; i < n_tokens * COLUMNS; i += THREADS) {
        const int c = i % COLUMNS;
        t.v[i / COLUMNS][c] = column + c < n.value_dim
                                  ? ol_value(v[(first + i / COLUMNS) * n.mixed_step + c])
                                  : 0;
    }
    if (thread < n_tokens) {
        const int64_t at = (first + thread) * n.n_value_heads + head;
        const float beta = ol_value(((const T *)n.beta)[at]);
        const float decay = ol_value(((const T *)n.decay)[at]) + n.dt_bias[head];
        t.beta[thread] = ol_round_as<T>(ol_cuda_sigmoid(beta));
        t.keep[thread] = expf(-expf(n.a_log[head]) * softplus(decay));
    }
}

/* One token, for the thread's column and rows. */
template <int D>
static __device__ __forceinline__ void step(float state[D / ROWS][4], struct tile<D> &t,
                                            int i)
{
    const int column = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    float4 k[D / ROWS];
    float read[2] = {0, 0}, seen[2] = {0, 0}; /* two chains of each: shorter waits */
    OL_UNROLL
    for (int r = 0; r < D / ROWS; r++) {
        const int at = r * ROWS + lane * 4;
        const float4 q = *(const float4 *)(const void *)&t.q[i][at];
        k[r] = *(const float4 *)(const void *)&t.k[i][at];
        read[0] = fmaf(state[r][0], k[r].x, read[0]);
        read[1] = fmaf(state[r][1], k[r].y, read[1]);
        read[0] = fmaf(state[r][2], k[r].z, read[0]);
        read[1] = fmaf(state[r][3], k[r].w, read[1]);
        seen[0] = fmaf(state[r][0], q.x, seen[0]);
        seen[1] = fmaf(state[r][1], q.y, seen[1]);
        seen[0] = fmaf(state[r][2], q.z, seen[0]);
        seen[1] = fmaf(state[r][3], q.w, seen[1]);
    }
    float s_k = read[0] + read[1], s_q = seen[0] + seen[1];
    for (int apart = LANES / 2; apart > 0; apart /= 2) {
        s_k += __shfl_xor_sync(OL_FULL_WARP, s_k, apart);
        s_q += __shfl_xor_sync(OL_FULL_WARP, s_q, apart);
    }
    const float keep = t.keep[i];
    const float d = t.beta[i] * fmaf(-keep, s_k, t.v[i][column]);
    if (lane == 0)
        t.out[i][column] = fmaf(t.product[i], d, keep * s_q);
    OL_UNROLL
    for (int r = 0; r < D / ROWS; r++) {
        state[r][0] = fmaf(k[r].x, d, keep * state[r][0]);
        state[r][1] = fmaf(k[r].y, d, keep * state[r][1]);
        state[r][2] = fmaf(k[r].z, d, keep * state[r][2]);
        state[r][3] = fmaf(k[r].w, d, keep * state[r][3]);
    }
}

/* D: key_dim or more. */
template <typename T, int D>
static __global__ void __launch_bounds__(THREADS)
    delta_net_kernel(const struct delta_net n)
{
    OL_SHARED(struct tile<D>, tiles, 1);
    struct tile<D> &t = tiles[0];
    const int head = (int)blockIdx.y, column = (int)blockIdx.x * COLUMNS;
    const int64_t out_step = (int64_t)n.n_value_heads * n.value_dim;
    T *out = (T *)n.out + (int64_t)head * n.value_dim + column;
    float state[D / ROWS][4];
    OL_UNROLL
    for (int r = 0; r < D / ROWS; r++)
        state[r][0] = state[r][1] = state[r][2] = state[r][3] = 0;
    for (int64_t first = 0; first < n.n_rows; first += TOKENS) {
        const int64_t left = n.n_rows - first;
        const int n_tokens = left < TOKENS ? (int)left : TOKENS;
        load_tile<T, D>(n, t, first, n_tokens, head);
        __syncthreads();
        for (int i = 0; i < n_tokens; i++)
            step<D>(state, t, i);
        __syncthreads();
        for (int i = (int)threadIdx.x; i < n_tokens * COLUMNS; i += THREADS)
            if (column + i % COLUMNS < n.value_dim)
                out[(first + i / COLUMNS) * out_step + i % COLUMNS] =
                    ol_rounded<T>(t.out[i / COLUMNS][i % COLUMNS]);
    }
}

template <typename T>
static int launch(struct ol_cuda *cuda, const struct delta_net *n, struct ol_error *err)
{
    const dim3 grid(ol_cuda_blocks(n->value_dim, COLUMNS), (unsigned)n->n_value_heads);
    if (n->key_dim <= 64)
        return ol_launch(cuda, err, "delta_net", delta_net_kernel<T, 64>, grid, THREADS,
                         0, *n);
    if (n->key_dim <= 128)
        return ol_launch(cuda, err, "delta_net", delta_net_kernel<T, 128>, grid, THREADS,
                         0, *n);
    return ol_launch(cuda, err, "delta_net", delta_net_kernel<T, MAX_KEY_DIM>, grid,
                     THREADS, 0, *n);
}

int ol_cuda_delta_net(struct ol_backend *b, const struct ol_delta_net_args *args,
                      struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const struct ol_delta_net_spec *spec = &args->spec;
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    if (spec->key_dim > MAX_KEY_DIM)
        return ol_fail(err, "cuda: delta_net: keys of %d values, expected at most %d",
                       spec->key_dim, MAX_KEY_DIM);
    if (spec->n_value_heads > 65535)
        return ol_fail(err, "cuda: delta_net: %d value heads, expected at most 65535",
                       spec->n_value_heads);
    const float *dt_bias = ol_cuda_values(cuda, &args->dt_bias, b->dtype, err);
    const float *a_log = ol_cuda_values(cuda, &args->a_log, b->dtype, err);
    if (dt_bias == NULL || a_log == NULL)
        return -1;
    const struct delta_net n = {.mixed = args->mixed.data,
                                .beta = args->beta.data,
                                .decay = args->decay.data,
                                .dt_bias = dt_bias,
                                .a_log = a_log,
                                .out = args->out.data,
                                .n_rows = args->out.n_rows,
                                .mixed_step = args->mixed.n_cols,
                                .n_key_heads = spec->n_key_heads,
                                .n_value_heads = spec->n_value_heads,
                                .key_dim = spec->key_dim,
                                .value_dim = spec->value_dim};
    return args->mixed.dtype == OL_DTYPE_BF16 ? launch<struct ol_bf16>(cuda, &n, err)
                                              : launch<float>(cuda, &n, err);
}
