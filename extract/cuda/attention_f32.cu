/* attention of float heads: the same walk as attention_bf16.cu with plain products, for
 * the exact precision.
 *
 * One block = one head and QUERIES queries; LANES neighbouring threads share a query:
 * each has every LANES-th key of a tile and every LANES-th value of the head. */
#include "extract/cuda/attention.cuh"

enum { QUERIES = 32, LANES = 8, THREADS = QUERIES * LANES };

/* Of a tile, by the values of a head that a thread has: tiles of large heads are to fit
 * into 99 KiB of shared memory, which is all that some devices have. */
static __host__ __device__ constexpr int keys_of(int values)
{
    return values <= 128 / LANES ? 32 : values <= 256 / LANES ? 16 : 8;
}

/* n rows of `width` values from `from` to `to`, zeros where there are none. The step is
 * odd, so that equal places of neighbouring rows lie in different banks. */
static __device__ void load_tile(int n, float *to, int to_step, const float *from,
                                 int64_t step, int there, int width)
{
    for (int i = (int)threadIdx.x; i < n * width; i += THREADS) {
        const int row = i / width, column = i % width;
        to[row * to_step + column] = row < there ? from[row * step + column] : 0;
    }
}

/* The largest, or the sum, over the threads of a query. */
static __device__ float largest_of_query(float x)
{
    for (int apart = LANES / 2; apart > 0; apart /= 2)
        x = fmaxf(x, __shfl_xor_sync(OL_FULL_WARP, x, apart));
    return x;
}

static __device__ float sum_of_query(float x)
{
    for (int apart = LANES / 2; apart > 0; apart /= 2)
        x += __shfl_xor_sync(OL_FULL_WARP, x, apart);
    return x;
}

/* VALUES: of a head, that a thread has. */
template <int VALUES>
static __global__ void __launch_bounds__(THREADS)
    attention_f32_kernel(const struct attention all)
{
    constexpr int KEYS = keys_of(VALUES);
    OL_SHARED_DYNAMIC(float, q);
    const struct attention_tile tile = all.tiles[blockIdx.y];
    const struct attention a = of_tile<float>(all, tile);
    const int step = a.head_dim | 1, step_v = a.value_dim | 1;
    float *k = q + QUERIES * step, *v = k + KEYS * step, *weight = v + KEYS * step_v;
    const int head = (int)blockIdx.x, kv_head = head / a.group;
    const int query = tile.from;
    const int rest = a.n_rows - query;
    const int last = (rest < QUERIES ? a.n_rows : query + QUERIES) - 1;
    const int row = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    const int lowest = lowest_key(a, query + row);
    float top = a.sinks != NULL ? a.sinks[head] : -INFINITY;
    float total = a.sinks != NULL ? 1 : 0;
    float sum[VALUES];
    for (int c = 0; c < VALUES; c++)
        sum[c] = 0;

    load_tile(QUERIES, q, step, (const float *)a.q + query * a.q_step + head * a.head_dim,
              a.q_step, rest, a.head_dim);
    for (int key = lowest_key(a, query) / KEYS * KEYS; key <= last; key += KEYS) {
        __syncthreads();
        load_tile(KEYS, k, step,
                  (const float *)a.k + key * a.k_step + kv_head * a.head_dim, a.k_step,
                  a.n_rows - key, a.head_dim);
        load_tile(KEYS, v, step_v,
                  (const float *)a.v + key * a.v_step + kv_head * a.value_dim, a.v_step,
                  a.n_rows - key, a.value_dim);
        __syncthreads();
        float score[KEYS / LANES] = {0}, highest = top;
        for (int c = 0; c < a.head_dim; c++)
            for (int i = 0; i < KEYS / LANES; i++)
                score[i] =
                    fmaf(q[row * step + c], k[(i * LANES + lane) * step + c], score[i]);
        for (int i = 0; i < KEYS / LANES; i++) {
            const int at = key + i * LANES + lane;
            const bool seen =
                at >= lowest && at <= query + row && is_chosen(a, query + row, at);
            score[i] = seen ? score[i] * a.scale : -INFINITY;
            highest = fmaxf(highest, score[i]);
        }
        highest = largest_of_query(highest);
        /* Nothing seen yet: a difference of infinities would be no number. */
        const float shift = highest == -INFINITY ? 0 : highest;
        const float factor = expf(top - shift);
        float fresh = 0;
        for (int i = 0; i < KEYS / LANES; i++) {
            score[i] = expf(score[i] - shift);
            weight[row * (KEYS + 1) + i * LANES + lane] = score[i];
            fresh += score[i];
        }
        top = highest;
        total = total * factor + sum_of_query(fresh);
        for (int c = 0; c < VALUES; c++)
            sum[c] *= factor;
        __syncwarp();
        for (int i = 0; i < KEYS; i++)
            for (int c = 0; c < VALUES; c++)
                if (c * LANES + lane < a.value_dim)
                    sum[c] = fmaf(weight[row * (KEYS + 1) + i],
                                  v[i * step_v + c * LANES + lane], sum[c]);
    }
    if (a.log_sums != NULL && row < rest && lane == 0)
        a.log_sums[(int64_t)(query + row) * a.n_heads + head] = top + logf(total);
    float *out = (float *)a.out + (query + row) * a.out_step + head * a.value_dim + lane;
    for (int c = 0; c < VALUES && row < rest; c++)
        if (c * LANES + lane < a.value_dim)
            out[c * LANES] = sum[c] / total;
}

/* The second walk: one block = one head and QUERIES keys, LANES threads to a key, each
 * with every LANES-th query of a tile of N. */
template <int N>
static __global__ void __launch_bounds__(THREADS)
    received_f32_kernel(const struct attention all)
{
    OL_SHARED_DYNAMIC(float, k);
    const struct attention_tile tile = all.tiles[gridDim.y - 1 - blockIdx.y];
    const struct attention a = of_tile<float>(all, tile);
    const int step = a.head_dim | 1;
    float *q = k + QUERIES * step;
    const int head = (int)blockIdx.x, kv_head = head / a.group;
    const int key = tile.from;
    const int row = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    const int last_key = key + QUERIES < a.n_rows ? key + QUERIES - 1 : a.n_rows - 1;
    const int last = highest_query(a, last_key), highest = highest_query(a, key + row);
    float sum = 0;
    load_tile(QUERIES, k, step,
              (const float *)a.k + key * a.k_step + kv_head * a.head_dim, a.k_step,
              a.n_rows - key, a.head_dim);
    for (int query = key; query <= last; query += N) {
        __syncthreads();
        load_tile(N, q, step, (const float *)a.q + query * a.q_step + head * a.head_dim,
                  a.q_step, a.n_rows - query, a.head_dim);
        __syncthreads();
        float score[N / LANES] = {0};
        for (int c = 0; c < a.head_dim; c++)
            for (int i = 0; i < N / LANES; i++)
                score[i] =
                    fmaf(q[(i * LANES + lane) * step + c], k[row * step + c], score[i]);
        for (int i = 0; i < N / LANES; i++) {
            const int at = query + i * LANES + lane;
            if (key + row < a.n_rows && at >= key + row && at <= highest &&
                is_chosen(a, at, key + row))
                sum +=
                    expf(score[i] * a.scale - a.log_sums[(int64_t)at * a.n_heads + head]);
        }
    }
    sum = sum_of_query(sum);
    if (lane == 0 && key + row < a.n_rows)
        a.received[(int64_t)(key + row) * a.n_heads + head] =
            sum / (float)(highest - key - row + 1);
}

template <int N>
static int launch_received(struct ol_cuda *cuda, const struct attention *a,
                           struct ol_error *err)
{
    return ol_launch(
        cuda, err, "attention", received_f32_kernel<N>, ol_cuda_attention_grid(a),
        THREADS, (size_t)(QUERIES + N) * (size_t)(a->head_dim | 1) * sizeof(float), *a);
}

/* For heads of at most so many values to be weighed. */
template <int MOST>
static int launch(struct ol_cuda *cuda, const struct attention *a, struct ol_error *err)
{
    constexpr int VALUES = MOST / LANES, KEYS = keys_of(VALUES);
    const size_t floats = (size_t)(QUERIES + KEYS) * (size_t)(a->head_dim | 1) +
                          (size_t)KEYS * (size_t)(a->value_dim | 1) +
                          (size_t)QUERIES * (KEYS + 1);
    if (!a->second_alone &&
        ol_launch(cuda, err, "attention", attention_f32_kernel<VALUES>,
                  ol_cuda_attention_grid(a), THREADS, floats * sizeof(float), *a) != 0)
        return -1;
    return a->received == NULL ? 0 : launch_received<KEYS>(cuda, a, err);
}

int ol_cuda_attention_f32(struct ol_cuda *cuda, const struct ol_sequences *sequences,
                          struct attention *a, struct ol_error *err)
{
    const bool small = a->head_dim <= 256;
    if (ol_cuda_attention_tiles(cuda, sequences, QUERIES, a, err) != 0)
        return -1;
    return (small && a->value_dim <= 128   ? launch<128>
            : small && a->value_dim <= 256 ? launch<256>
                                           : launch<512>)(cuda, a, err);
}
