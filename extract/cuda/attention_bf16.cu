/* attention of bfloat16 heads, by the matrix units.
 *
 * One block = one head and QUERIES queries, 16 x ROW_TILES to a warp. It walks the keys
 * that its queries see in tiles of KEYS and keeps, per query, the largest score so far,
 * the sum of exponentials and the weighted sum of values (online softmax, arXiv
 * 1805.02867; the walk is that of arXiv 2307.08691). The next tile of keys or values is
 * under way while the one before is multiplied:
 *
 *     keys    |copy 0|      |copy 1       |      |copy 2 ...
 *     values         |copy 0|             |copy 1|
 *     units          |q k0  | softmax p v0|q k1  | softmax p v1 ...
 *
 * Exponentials are rounded to bfloat16 before they weigh values, as the reference's are;
 * sums are in float. Nothing is shared between blocks: the order is fixed. What is kept
 * of eight queries is rescaled only where one of them has met a larger score. */
#include "extract/cuda/attention.cuh"

#include "extract/cuda/fragment.h"
#include "extract/cuda/unroll.h"

/* Exponentials are powers of 2. */
static constexpr float LOG2_E = 1.44269504f;

/* A variant: heads are padded with zeros to D and DV. Heads of more than DV values take
 * PARTS blocks, each with DV of them and the scores of all: the weighted sums of more do
 * not fit into registers. */
template <int D_, int DV_, int ROW_TILES_, int WARPS_, int KEYS_, int PARTS_ = 1>
struct variant {
    static constexpr int D = D_, DV = DV_, KEYS = KEYS_;
    static constexpr int ROW_TILES = ROW_TILES_, WARPS = WARPS_, PARTS = PARTS_;
    static constexpr int THREADS = 32 * WARPS;
    static constexpr int QUERIES = 16 * ROW_TILES * WARPS;
    /* 8 values more than a row: rows that are read together begin in different banks. */
    static constexpr int STEP = D + 8, STEP_V = DV + 8;
    static constexpr int SHARED_BYTES =
        2 * (QUERIES * STEP + KEYS * STEP + KEYS * STEP_V);
    static_assert(D >= DV && D % 16 == 0 && DV % 16 == 0 && KEYS % 16 == 0, "tiles");
};

/* `there` rows of `width` values at `from` to the N x WIDTH tile at `to`, zeros around
 * them; in pieces of 16 bytes where they are aligned. Eight threads have a row. */
template <int N, int WIDTH, int THREADS>
static __device__ __forceinline__ void load_tile(struct ol_bf16 *to,
                                                 const struct ol_bf16 *from, int64_t step,
                                                 int there, int width, bool aligned)
{
    constexpr int TOGETHER = WIDTH < 64 ? WIDTH / 8 : 8, ROWS = THREADS / TOGETHER;
    static_assert(N % ROWS == 0 && WIDTH / 8 % TOGETHER == 0, "whole turns");
    const struct ol_bf16 zero = {0};
    int row = (int)threadIdx.x / TOGETHER;
    struct ol_bf16 *piece = to + row * (WIDTH + 8);
    const struct ol_bf16 *source = from + row * step;
    /* Not unrolled: addresses kept for every turn would not leave enough registers. */
    OL_NO_UNROLL
    for (; row < N; row += ROWS, piece += ROWS * (WIDTH + 8), source += ROWS * step)
        for (int c = (int)threadIdx.x % TOGETHER * 8; c < WIDTH; c += 8 * TOGETHER) {
            const bool is_there = row < there && c < width;
            if (aligned)
                ol_copy_async(piece + c, is_there ? source + c : from, is_there);
            else
                for (int i = c; i < c + 8; i++)
                    piece[i] = row < there && i < width ? source[i] : zero;
        }
}

/* What a warp keeps of its queries. A lane has rows g and g + 8 of every tile of 16. */
template <class V> struct running {
    float sum[V::ROW_TILES][V::DV / 8][4];
    float top[V::ROW_TILES][2];   /* of the scores before they are scaled */
    float total[V::ROW_TILES][2]; /* of the lane's own columns */
};

template <class V>
static __device__ __forceinline__ void
score_tile(float score[V::ROW_TILES][V::KEYS / 8][4], const struct ol_bf16 *q,
           const struct ol_bf16 *k)
{
    for (int r = 0; r < V::ROW_TILES; r++)
        for (int n = 0; n < V::KEYS / 8; n++)
            for (int i = 0; i < 4; i++)
                score[r][n][i] = 0;
    for (int c = 0; c < V::D; c += 16) {
        unsigned a[V::ROW_TILES][4];
        for (int r = 0; r < V::ROW_TILES; r++)
            ol_load_a(a[r], q + r * 16 * V::STEP + c, V::STEP);
        for (int n = 0; n < V::KEYS / 16; n++) {
            unsigned b[4];
            ol_load_b(b, k + n * 16 * V::STEP + c, V::STEP);
            for (int r = 0; r < V::ROW_TILES; r++) {
                ol_mma_bf16(score[r][2 * n], a[r], b);
                ol_mma_bf16(score[r][2 * n + 1], a[r], b + 2);
            }
        }
    }
}

/* -inf where a query does not see a key: these then count for nothing. */
template <class V>
static __device__ __forceinline__ void
mask_tile(float score[V::ROW_TILES][V::KEYS / 8][4], const struct attention &a, int query,
          int key)
{
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4 * 2;
    OL_UNROLL
    for (int one = 0; one < 2 * V::ROW_TILES; one++) {
        const int r = one / 2, half = one % 2;
        const int row = query + r * 16 + half * 8 + g;
        const int low = lowest_key(a, row) - key, high = row - key;
        for (int n = 0; n < V::KEYS / 8; n++)
            for (int i = 0; i < 2; i++) {
                const int at = n * 8 + t + i;
                if (at < low || at > high || !is_chosen(a, row, key + at))
                    score[r][n][2 * half + i] = -INFINITY;
            }
    }
}

/* Scores become exponentials; what was kept is rescaled where a larger score appears. */
template <class V>
static __device__ __forceinline__ void
soften_tile(float score[V::ROW_TILES][V::KEYS / 8][4], struct running<V> &kept,
            float scale)
{
    OL_UNROLL
    for (int one = 0; one < 2 * V::ROW_TILES; one++) {
        const int r = one / 2, half = one % 2;
        float top = kept.top[r][half];
        for (int n = 0; n < V::KEYS / 8; n++)
            top = fmaxf(top, fmaxf(score[r][n][2 * half], score[r][n][2 * half + 1]));
        top = fmaxf(top, __shfl_xor_sync(OL_FULL_WARP, top, 1));
        top = fmaxf(top, __shfl_xor_sync(OL_FULL_WARP, top, 2));
        /* Nothing seen yet: a difference of infinities would be no number. */
        const float shift = top == -INFINITY ? 0 : top * scale;
        const float factor = ol_exp2(kept.top[r][half] * scale - shift);
        kept.top[r][half] = top;
        float total = 0;
        for (int n = 0; n < V::KEYS / 8; n++)
            for (int i = 2 * half; i < 2 * half + 2; i++) {
                score[r][n][i] = ol_exp2(fmaf(score[r][n][i], scale, -shift));
                total += score[r][n][i];
            }
        kept.total[r][half] = kept.total[r][half] * factor + total;
        /* 1 changes nothing. */
        if (!__any_sync(OL_FULL_WARP, factor != 1))
            continue;
        for (int n = 0; n < V::DV / 8; n++) {
            kept.sum[r][n][2 * half] *= factor;
            kept.sum[r][n][2 * half + 1] *= factor;
        }
    }
}

/* A sum's part of two tiles of 8 columns is a left operand's part of 16 k. */
template <class V>
static __device__ __forceinline__ void
weigh_tile(struct running<V> &kept, const float score[V::ROW_TILES][V::KEYS / 8][4],
           const struct ol_bf16 *v)
{
    for (int n = 0; n < V::KEYS / 16; n++) {
        unsigned a[V::ROW_TILES][4];
        for (int r = 0; r < V::ROW_TILES; r++)
            for (int i = 0; i < 4; i++)
                a[r][i] = ol_pack_bf16(score[r][2 * n + i / 2][i % 2 * 2],
                                       score[r][2 * n + i / 2][i % 2 * 2 + 1]);
        for (int c = 0; c < V::DV / 16; c++) {
            unsigned b[4];
            ol_load_b_plain(b, v + n * 16 * V::STEP_V + c * 16, V::STEP_V);
            for (int r = 0; r < V::ROW_TILES; r++) {
                ol_mma_bf16(kept.sum[r][2 * c], a[r], b);
                ol_mma_bf16(kept.sum[r][2 * c + 1], a[r], b + 2);
            }
        }
    }
}

/* log(2^x + 2^y) to the base 2; of the sums of a query, neither overflows before. */
static __device__ __forceinline__ float log2_of_sum(float x, float y)
{
    const float high = fmaxf(x, y);
    return high + log2f(exp2f(x - high) + exp2f(y - high));
}

/* The logarithms of sums of the warp's queries. */
template <class V>
static __device__ __forceinline__ void store_log_sums(const struct attention &a,
                                                      const struct running<V> &kept,
                                                      int query, int head)
{
    const int lane = (int)threadIdx.x % 32, g = lane / 4;
    OL_UNROLL
    for (int one = 0; one < 2 * V::ROW_TILES; one++) {
        const int r = one / 2, half = one % 2;
        const int row = query + r * 16 + half * 8 + g;
        float total = kept.total[r][half];
        total += __shfl_xor_sync(OL_FULL_WARP, total, 1);
        total += __shfl_xor_sync(OL_FULL_WARP, total, 2);
        float log_sum = kept.top[r][half] * (a.scale * LOG2_E) + log2f(total);
        if (a.sinks != NULL)
            log_sum = log2_of_sum(log_sum, a.sinks[head] * LOG2_E);
        if (lane % 4 == 0 && row < a.n_rows)
            a.log_sums[(int64_t)row * a.n_heads + head] = log_sum / LOG2_E;
    }
}

/* Divide, and round into the warp's own rows of the queries' tile, which it no longer
 * needs. */
template <class V>
static __device__ __forceinline__ void
finish(const struct running<V> &kept, struct ol_bf16 *to, const float *sink, float scale)
{
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4 * 2;
    __syncwarp();
    OL_UNROLL
    for (int one = 0; one < 2 * V::ROW_TILES; one++) {
        const int r = one / 2, half = one % 2;
        float total = kept.total[r][half];
        total += __shfl_xor_sync(OL_FULL_WARP, total, 1);
        total += __shfl_xor_sync(OL_FULL_WARP, total, 2);
        /* Overflows only where nothing is left of the values beside the sink. */
        if (sink != NULL)
            total += exp2f(*sink * LOG2_E - kept.top[r][half] * scale);
        struct ol_bf16 *row = to + (r * 16 + half * 8 + g) * V::STEP;
        for (int n = 0; n < V::DV / 8; n++)
            *(unsigned *)(void *)(row + n * 8 + t) = ol_pack_bf16(
                kept.sum[r][n][2 * half] / total, kept.sum[r][n][2 * half + 1] / total);
    }
    __syncwarp();
}

/* The first of a head's values that are this block's. */
template <class V> static __device__ __forceinline__ int first_value(void)
{
    return V::PARTS == 1 ? 0 : (int)blockIdx.z * V::DV;
}

/* The warp's rows from shared memory to `out`, `width` values of each, in pieces of 16
 * bytes where aligned. */
template <class V>
static __device__ __forceinline__ void
store_rows(const struct attention &a, const struct ol_bf16 *from, struct ol_bf16 *to,
           int there, int width, bool aligned)
{
    constexpr int ROWS = 16 * V::ROW_TILES, PIECES = V::DV / 8;
    for (int i = (int)threadIdx.x % 32; i < ROWS * PIECES; i += 32) {
        const int row = i / PIECES, column = i % PIECES * 8;
        const struct ol_bf16 *piece = from + row * V::STEP + column;
        struct ol_bf16 *target = to + row * a.out_step + column;
        if (row >= there)
            continue;
        if (aligned && column < width)
            *(uint4 *)(void *)target = *(const uint4 *)(const void *)piece;
        for (int c = 0; c < 8 && !aligned && column + c < width; c++)
            target[c] = piece[c];
    }
}

template <class V>
static __global__ void __launch_bounds__(V::THREADS)
    attention_bf16_kernel(const struct attention all, const bool aligned)
{
    OL_SHARED_DYNAMIC(struct ol_bf16, q);
    /* Read again behind every barrier: registers are short. */
    OL_SHARED(struct attention_tile, at, 1);
    struct ol_bf16 *k = q + V::QUERIES * V::STEP, *v = k + V::KEYS * V::STEP;
    const int head = (int)blockIdx.x, kv_head = head / all.group;
    const int own = (int)threadIdx.x / 32 * 16 * V::ROW_TILES; /* the warp's first row */
    const float scale = all.scale * LOG2_E;
    const struct ol_bf16 *keys = (const struct ol_bf16 *)all.k + kv_head * all.head_dim,
                         *values = (const struct ol_bf16 *)all.v +
                                   kv_head * all.value_dim + first_value<V>();
    if (threadIdx.x == 0)
        at[0] = all.tiles[blockIdx.y];
    __syncthreads();

    struct running<V> kept;
    OL_UNROLL
    for (int one = 0; one < 2 * V::ROW_TILES; one++) {
        const int r = one / 2, half = one % 2;
        kept.top[r][half] = -INFINITY;
        kept.total[r][half] = 0;
        for (int n = 0; n < V::DV / 8; n++)
            kept.sum[r][n][2 * half] = kept.sum[r][n][2 * half + 1] = 0;
    }

    int key = lowest_key(all, at->from) / V::KEYS * V::KEYS;
    load_tile<V::QUERIES, V::D, V::THREADS>(
        q,
        (const struct ol_bf16 *)all.q + row_of(*at, at->from) * all.q_step +
            head * all.head_dim,
        all.q_step, at->n_rows - at->from, all.head_dim, aligned);
    load_tile<V::KEYS, V::D, V::THREADS>(k, keys + row_of(*at, key) * all.k_step,
                                         all.k_step, at->n_rows - key, all.head_dim,
                                         aligned);
    ol_copy_async_commit();
    for (; key <= last_query(*at, V::QUERIES); key += V::KEYS) {
        ol_copy_async_wait<0>();
        __syncthreads(); /* keys are here, and all are done with the values before */
        load_tile<V::KEYS, V::DV, V::THREADS>(v, values + row_of(*at, key) * all.v_step,
                                              all.v_step, at->n_rows - key,
                                              all.value_dim - first_value<V>(), aligned);
        ol_copy_async_commit();
        float score[V::ROW_TILES][V::KEYS / 8][4];
        score_tile<V>(score, q + own * V::STEP, k);
        if (key + V::KEYS - 1 > at->from ||
            key < lowest_key(all, last_query(*at, V::QUERIES)) || all.chosen != NULL)
            mask_tile<V>(score, of_tile<struct ol_bf16>(all, *at), at->from + own, key);
        soften_tile<V>(score, kept, scale);
        ol_copy_async_wait<0>();
        __syncthreads(); /* values are here, and all are done with the keys */
        if (key + V::KEYS <= last_query(*at, V::QUERIES))
            load_tile<V::KEYS, V::D, V::THREADS>(
                k, keys + row_of(*at, key + V::KEYS) * all.k_step, all.k_step,
                at->n_rows - key - V::KEYS, all.head_dim, aligned);
        ol_copy_async_commit();
        weigh_tile<V>(kept, score, v);
    }
    const struct attention a = of_tile<struct ol_bf16>(all, *at);
    const int query = at->from + own;
    if (a.log_sums != NULL && first_value<V>() == 0)
        store_log_sums<V>(a, kept, query, head);
    finish<V>(kept, q + own * V::STEP, a.sinks != NULL ? a.sinks + head : NULL, scale);
    store_rows<V>(a, q + own * V::STEP,
                  (struct ol_bf16 *)a.out + query * a.out_step + head * a.value_dim +
                      first_value<V>(),
                  a.n_rows - query, a.value_dim - first_value<V>(), aligned);
}

/* ---- the second walk: what keys receive ---- */

/* Add a tile's queries; rows of the scores are keys, columns queries. */
template <class V>
static __device__ __forceinline__ void
receive_tile(float sum[V::ROW_TILES][2], const float score[V::ROW_TILES][V::KEYS / 8][4],
             const struct attention &a, int head, int key, int query)
{
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4 * 2;
    const float scale = a.scale * LOG2_E;
    for (int n = 0; n < V::KEYS / 8; n++)
        for (int i = 0; i < 2; i++) {
            const int at = query + n * 8 + t + i;
            if (at >= a.n_rows)
                continue;
            const float log_sum = a.log_sums[(int64_t)at * a.n_heads + head] * LOG2_E;
            const int low = lowest_key(a, at);
            OL_UNROLL
            for (int one = 0; one < 2 * V::ROW_TILES; one++) {
                const int r = one / 2, half = one % 2;
                const int row = key + r * 16 + half * 8 + g;
                if (row >= low && row <= at && is_chosen(a, at, row))
                    sum[r][half] +=
                        ol_exp2(fmaf(score[r][n][2 * half + i], scale, -log_sum));
            }
        }
}

/* One block = one head and as many keys as the first walk has queries to a block. */
template <class V>
static __global__ void __launch_bounds__(V::THREADS)
    received_bf16_kernel(const struct attention all, const bool aligned)
{
    OL_SHARED_DYNAMIC(struct ol_bf16, k);
    struct ol_bf16 *q = k + V::QUERIES * V::STEP;
    const int head = (int)blockIdx.x, kv_head = head / all.group;
    /* What few keys are seen by, many queries see. */
    const struct attention_tile tile = all.tiles[gridDim.y - 1 - blockIdx.y];
    const struct attention a = of_tile<struct ol_bf16>(all, tile);
    const int key = tile.from;
    const int end = key + V::QUERIES < a.n_rows ? key + V::QUERIES : a.n_rows;
    const int own = (int)threadIdx.x / 32 * 16 * V::ROW_TILES; /* the warp's first key */
    const int lane = (int)threadIdx.x % 32, g = lane / 4;
    float sum[V::ROW_TILES][2];
    for (int r = 0; r < V::ROW_TILES; r++)
        sum[r][0] = sum[r][1] = 0;

    load_tile<V::QUERIES, V::D, V::THREADS>(
        k, (const struct ol_bf16 *)a.k + key * a.k_step + kv_head * a.head_dim, a.k_step,
        a.n_rows - key, a.head_dim, aligned);
    for (int query = key; query <= highest_query(a, end - 1); query += V::KEYS) {
        load_tile<V::KEYS, V::D, V::THREADS>(
            q, (const struct ol_bf16 *)a.q + query * a.q_step + head * a.head_dim,
            a.q_step, a.n_rows - query, a.head_dim, aligned);
        ol_copy_async_commit();
        ol_copy_async_wait<0>();
        __syncthreads();
        float score[V::ROW_TILES][V::KEYS / 8][4];
        score_tile<V>(score, k + own * V::STEP, q);
        receive_tile<V>(sum, score, a, head, key + own, query);
        __syncthreads(); /* all are done with these queries */
    }
    OL_UNROLL
    for (int one = 0; one < 2 * V::ROW_TILES; one++) {
        const int r = one / 2, half = one % 2;
        const int row = key + own + r * 16 + half * 8 + g;
        float share = sum[r][half];
        share += __shfl_xor_sync(OL_FULL_WARP, share, 1);
        share += __shfl_xor_sync(OL_FULL_WARP, share, 2);
        if (lane % 4 == 0 && row < a.n_rows)
            a.received[(int64_t)row * a.n_heads + head] =
                share / (float)(highest_query(a, row) - row + 1);
    }
}

/* ---- launch ---- */

/* Whether all rows and heads begin on 16 bytes. */
static bool is_aligned(const struct attention *a)
{
    const int64_t steps = a->q_step | a->k_step | a->v_step | a->out_step;
    const uintptr_t at =
        (uintptr_t)a->q | (uintptr_t)a->k | (uintptr_t)a->v | (uintptr_t)a->out;
    return steps % 8 == 0 && at % 16 == 0 && (a->head_dim | a->value_dim) % 8 == 0;
}

template <class V>
static int launch(struct ol_cuda *cuda, const struct ol_sequences *sequences,
                  struct attention *a, struct ol_error *err)
{
    if (ol_cuda_attention_tiles(cuda, sequences, V::QUERIES, a, err) != 0)
        return -1;
    const dim3 grid = ol_cuda_attention_grid(a);
    if (!a->second_alone && ol_launch(cuda, err, "attention", attention_bf16_kernel<V>,
                                      dim3(grid.x, grid.y, V::PARTS), V::THREADS,
                                      V::SHARED_BYTES, *a, is_aligned(a)) != 0)
        return -1;
    return a->received == NULL
               ? 0
               : ol_launch(cuda, err, "attention", received_bf16_kernel<V>, grid,
                           V::THREADS, 2 * (V::QUERIES + V::KEYS) * V::STEP, *a,
                           is_aligned(a));
}

/* The first that the device has shared memory for. */
template <class V, class Smaller>
static int launch_fitting(struct ol_cuda *cuda, const struct ol_sequences *sequences,
                          struct attention *a, struct ol_error *err)
{
    return ((size_t)V::SHARED_BYTES <= cuda->most_shared
                ? launch<V>
                : launch<Smaller>)(cuda, sequences, a, err);
}

int ol_cuda_attention_bf16(struct ol_cuda *cuda, const struct ol_sequences *s,
                           struct attention *a, struct ol_error *err)
{
    const int d = a->head_dim, dv = a->value_dim;
    if (d <= 32 && dv <= 32)
        return launch<variant<32, 32, 2, 4, 64>>(cuda, s, a, err);
    if (d <= 64 && dv <= 64)
        return launch<variant<64, 64, 2, 4, 64>>(cuda, s, a, err);
    if (d <= 128 && dv <= 128)
        return launch<variant<128, 128, 2, 4, 64>>(cuda, s, a, err);
    if (d <= 192 && dv <= 128)
        return launch<variant<192, 128, 2, 4, 64>>(cuda, s, a, err);
    /* The first of two takes more than devices of capability 8.6 and 8.9 have. */
    if (d <= 256 && dv <= 256)
        return launch_fitting<variant<256, 256, 1, 8, 64>, variant<256, 256, 1, 4, 32>>(
            cuda, s, a, err);
    return launch_fitting<variant<512, 256, 1, 4, 32, 2>, variant<512, 256, 1, 4, 16, 2>>(
        cuda, s, a, err);
}
