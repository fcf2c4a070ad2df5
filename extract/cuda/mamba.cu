/* mamba: Mamba-2's state space of one sequence, CHUNK tokens at a time (the state space
 * dual form of arXiv 2405.21060, section 6).
 *
 * With step the time that a token takes, time[i] its sum over a chunk up to token i, a =
 * -exp(a_log), and S [state_dim, head_dim] the state before the chunk:
 *     out = exp(a time) C S + (C B^T exp(a (time[i] - time[j])) step[j], j <= i) x + skip
 * x S = exp(a time[last]) S + (exp(a (time[last] - time)) step B)^T x
 *
 * The columns of a head's state do not know each other: a block has COLUMNS of them and
 * walks all chunks, with the state in shared memory. Of C S, the deepest product, a
 * thread has 4 x 4 values and every LANES-th term of each, and LANES neighbours meet;
 * of the state's change it has 4 x 4 values and all terms. Sums are in float, but those
 * of time. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"
#include "extract/cuda/unroll.h"

enum { THREADS = 256, MAX_STATE_DIM = 256, PAD = 4 };

struct mamba {
    const void *mixed, *step;
    const float *dt_bias, *a_log, *skip; /* [n_heads] */
    float *out;
    float least, most; /* of steps */
    int64_t n_rows, mixed_step;
    int n_heads, n_groups, head_dim, state_dim;
};

/* Rows of shared memory are padded, so that lanes that walk down a column meet other
 * banks. D: state_dim or more. */
template <int D, int CHUNK, int COLUMNS> struct tile {
    /* Zeros from state_dim, from head_dim and from the chunk's last token on. */
    alignas(16) float b[CHUNK][D + PAD], c[CHUNK][D + PAD], x[CHUNK][COLUMNS];
    alignas(16) float state[D][COLUMNS + PAD];
    alignas(16) float out[CHUNK][COLUMNS];
    float product[CHUNK][CHUNK];
    /* In double: what is left between neighbours is the difference of long sums. */
    double time[CHUNK];
    float step[CHUNK];
    float kept[CHUNK], left[CHUNK]; /* of S at a token, of a token at the end */
};

/* Linear from 20 on, as the reference's. */
static __device__ __forceinline__ float softplus(float x)
{
    return x > 20 ? x : log1pf(expf(x));
}

static __device__ __forceinline__ float clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x; /* NaN stays */
}

template <typename T, int D, int CHUNK, int COLUMNS>
static __device__ __forceinline__ void load(const struct mamba &m,
                                            struct tile<D, CHUNK, COLUMNS> &t,
                                            int64_t first, int n_tokens, int head)
{
    const int thread = (int)threadIdx.x, column = (int)blockIdx.x * COLUMNS;
    const int64_t group = head / (m.n_heads / m.n_groups);
    const int64_t heads = (int64_t)m.n_heads * m.head_dim;
    const int64_t groups = (int64_t)m.n_groups * m.state_dim;
    const T *rows = (const T *)m.mixed + first * m.mixed_step;
    const T *b = rows + heads + group * m.state_dim, *c = b + groups;
    const T *x = rows + (int64_t)head * m.head_dim + column;
    for (int i = thread; i < CHUNK * D; i += THREADS) {
        const int token = i / D, s = i % D;
        const bool there = token < n_tokens && s < m.state_dim;
        t.b[token][s] = there ? ol_value(b[token * m.mixed_step + s]) : 0;
        t.c[token][s] = there ? ol_value(c[token * m.mixed_step + s]) : 0;
    }
    for (int i = thread; i < CHUNK * COLUMNS; i += THREADS) {
        const int token = i / COLUMNS, w = i % COLUMNS;
        t.x[token][w] = token < n_tokens && column + w < m.head_dim
                            ? ol_value(x[token * m.mixed_step + w])
                            : 0;
    }
    if (thread < CHUNK && thread >= n_tokens)
        t.step[thread] = 0;
    if (thread < n_tokens) {
        const T step = ((const T *)m.step)[(first + thread) * m.n_heads + head];
        const float shifted = ol_round_as<T>(ol_value(step) + m.dt_bias[head]);
        t.step[thread] = clamp(ol_round_as<T>(softplus(shifted)), ol_round_as<T>(m.least),
                               ol_round_as<T>(m.most));
    }
}

/* Of token threadIdx.x: how much time has passed, and what is left of what. */
template <int D, int CHUNK, int COLUMNS>
static __device__ __forceinline__ void find_decays(struct tile<D, CHUNK, COLUMNS> &t,
                                                   float a)
{
    const int i = (int)threadIdx.x;
    if (i >= CHUNK)
        return;
    double time = 0, rest = 0;
    for (int k = 0; k <= i; k++)
        time += (double)t.step[k];
    for (int k = i + 1; k < CHUNK; k++)
        rest += (double)t.step[k];
    t.time[i] = time;
    t.kept[i] = expf(a * (float)time);
    t.left[i] = expf(a * (float)rest) * t.step[i];
}

/* C B^T, with what is left of token j at token i. */
template <int D, int CHUNK, int COLUMNS>
static __device__ __forceinline__ void make_product(struct tile<D, CHUNK, COLUMNS> &t,
                                                    float a)
{
    for (int at = (int)threadIdx.x; at < CHUNK * CHUNK; at += THREADS) {
        const int i = at / CHUNK, j = at % CHUNK;
        float sum[2] = {0, 0}; /* two chains: shorter waits */
        if (j > i)
            continue;
        for (int s = 0; s < D; s += 4) {
            const float4 c = *(const float4 *)(const void *)&t.c[i][s];
            const float4 b = *(const float4 *)(const void *)&t.b[j][s];
            sum[0] = fmaf(c.x, b.x, sum[0]);
            sum[1] = fmaf(c.y, b.y, sum[1]);
            sum[0] = fmaf(c.z, b.z, sum[0]);
            sum[1] = fmaf(c.w, b.w, sum[1]);
        }
        t.product[i][j] =
            (sum[0] + sum[1]) * (expf(a * (float)(t.time[i] - t.time[j])) * t.step[j]);
    }
}

/* sum[r] += factor[r] * x, four columns each. */
static __device__ __forceinline__ void add_tile(float sum[4][4], const float factor[4],
                                                float4 x)
{
    OL_UNROLL
    for (int r = 0; r < 4; r++) {
        sum[r][0] = fmaf(factor[r], x.x, sum[r][0]);
        sum[r][1] = fmaf(factor[r], x.y, sum[r][1]);
        sum[r][2] = fmaf(factor[r], x.z, sum[r][2]);
        sum[r][3] = fmaf(factor[r], x.w, sum[r][3]);
    }
}

/* t.out = exp(a time) C S */
template <int D, int CHUNK, int COLUMNS>
static __device__ __forceinline__ void read_state(struct tile<D, CHUNK, COLUMNS> &t)
{
    constexpr int ACROSS = COLUMNS / 4, TILES = CHUNK / 4 * ACROSS;
    constexpr int LANES = THREADS / TILES;
    static_assert(LANES * TILES == THREADS && LANES <= 32, "lanes of one warp meet");
    const int lane = (int)threadIdx.x % LANES, number = (int)threadIdx.x / LANES;
    const int row = number / ACROSS * 4, column = number % ACROSS * 4;
    float sum[4][4] = {{0}};
    for (int s = lane; s < D; s += LANES) {
        const float c[4] = {t.c[row][s], t.c[row + 1][s], t.c[row + 2][s],
                            t.c[row + 3][s]};
        add_tile(sum, c, *(const float4 *)(const void *)&t.state[s][column]);
    }
    OL_UNROLL
    for (int r = 0; r < 4; r++)
        OL_UNROLL
    for (int w = 0; w < 4; w++) {
        for (int apart = LANES / 2; apart > 0; apart /= 2)
            sum[r][w] += __shfl_xor_sync(OL_FULL_WARP, sum[r][w], apart);
        if (lane == 0)
            t.out[row + r][column + w] = t.kept[row + r] * sum[r][w];
    }
}

/* What the chunk's tokens give each other, and the skip; to where it belongs. */
template <int D, int CHUNK, int COLUMNS>
static __device__ __forceinline__ void write_out(const struct mamba &m,
                                                 const struct tile<D, CHUNK, COLUMNS> &t,
                                                 int64_t first, int n_tokens, int head)
{
    const int column = (int)blockIdx.x * COLUMNS;
    const int64_t step = (int64_t)m.n_heads * m.head_dim;
    float *out = m.out + first * step + (int64_t)head * m.head_dim + column;
    for (int at = (int)threadIdx.x; at < n_tokens * COLUMNS; at += THREADS) {
        const int i = at / COLUMNS, w = at % COLUMNS;
        if (column + w >= m.head_dim)
            continue;
        float sum = t.out[i][w];
        for (int j = 0; j <= i; j++)
            sum = fmaf(t.product[i][j], t.x[j][w], sum);
        out[i * step + w] = fmaf(m.skip[head], t.x[i][w], sum);
    }
}

template <int D, int CHUNK, int COLUMNS>
static __device__ __forceinline__ void change_state(struct tile<D, CHUNK, COLUMNS> &t)
{
    constexpr int ACROSS = COLUMNS / 4;
    const float kept = t.kept[CHUNK - 1];
    for (int at = (int)threadIdx.x; at < D / 4 * ACROSS; at += THREADS) {
        const int row = at / ACROSS * 4, column = at % ACROSS * 4;
        float sum[4][4];
        for (int r = 0; r < 4; r++)
            for (int w = 0; w < 4; w++)
                sum[r][w] = kept * t.state[row + r][column + w];
        for (int i = 0; i < CHUNK; i++) {
            const float4 b = *(const float4 *)(const void *)&t.b[i][row];
            const float left = t.left[i];
            const float factor[4] = {left * b.x, left * b.y, left * b.z, left * b.w};
            add_tile(sum, factor, *(const float4 *)(const void *)&t.x[i][column]);
        }
        for (int r = 0; r < 4; r++)
            for (int w = 0; w < 4; w++)
                t.state[row + r][column + w] = sum[r][w];
    }
}

template <typename T, int D, int CHUNK, int COLUMNS>
static __global__ void __launch_bounds__(THREADS) mamba_kernel(const struct mamba m)
{
    typedef struct tile<D, CHUNK, COLUMNS> tile;
    OL_SHARED(tile, tiles, 1);
    tile &t = tiles[0];
    const int head = (int)blockIdx.y;
    const float a = -expf(m.a_log[head]);
    for (int i = (int)threadIdx.x; i < D * COLUMNS; i += THREADS)
        t.state[i / COLUMNS][i % COLUMNS] = 0;
    for (int64_t first = 0; first < m.n_rows; first += CHUNK) {
        const int64_t rest = m.n_rows - first;
        const int n_tokens = rest < CHUNK ? (int)rest : CHUNK;
        load<T>(m, t, first, n_tokens, head);
        __syncthreads();
        find_decays(t, a);
        __syncthreads();
        make_product(t, a);
        read_state(t);
        __syncthreads();
        write_out(m, t, first, n_tokens, head);
        change_state(t);
        __syncthreads();
    }
}

template <typename T, int D, int CHUNK, int COLUMNS>
static int launch_of(struct ol_cuda *cuda, const struct mamba *m, struct ol_error *err)
{
    const dim3 grid(ol_cuda_blocks(m->head_dim, COLUMNS), (unsigned)m->n_heads);
    return ol_launch(cuda, err, "mamba", mamba_kernel<T, D, CHUNK, COLUMNS>, grid,
                     dim3(THREADS), 0, *m);
}

template <typename T>
static int launch(struct ol_cuda *cuda, const struct mamba *m, struct ol_error *err)
{
    if (m->state_dim <= 64)
        return launch_of<T, 64, 32, 32>(cuda, m, err);
    if (m->state_dim <= 128)
        return launch_of<T, 128, 16, 32>(cuda, m, err);
    return launch_of<T, MAX_STATE_DIM, 8, 16>(cuda, m, err);
}

int ol_cuda_mamba(struct ol_backend *b, const struct ol_mamba_args *args,
                  struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const struct ol_mamba_spec *spec = &args->spec;
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    if (spec->state_dim > MAX_STATE_DIM)
        return ol_fail(err, "cuda: mamba: states of %d values, expected at most %d",
                       spec->state_dim, MAX_STATE_DIM);
    if (spec->n_heads > 65535)
        return ol_fail(err, "cuda: mamba: %d heads, expected at most 65535",
                       spec->n_heads);
    const float *dt_bias = ol_cuda_values(cuda, &args->dt_bias, b->dtype, err);
    const float *a_log = ol_cuda_values(cuda, &args->a_log, b->dtype, err);
    const float *skip = ol_cuda_values(cuda, &args->skip, b->dtype, err);
    if (dt_bias == NULL || a_log == NULL || skip == NULL)
        return -1;
    const struct mamba m = {.mixed = args->mixed.data,
                            .step = args->step.data,
                            .dt_bias = dt_bias,
                            .a_log = a_log,
                            .skip = skip,
                            .out = (float *)args->out.data,
                            .least = (float)spec->least_step,
                            .most = (float)spec->most_step,
                            .n_rows = args->out.n_rows,
                            .mixed_step = args->mixed.n_cols,
                            .n_heads = spec->n_heads,
                            .n_groups = spec->n_groups,
                            .head_dim = spec->head_dim,
                            .state_dim = spec->state_dim};
    return args->mixed.dtype == OL_DTYPE_BF16 ? launch<struct ol_bf16>(cuda, &m, err)
                                              : launch<float>(cuda, &m, err);
}
