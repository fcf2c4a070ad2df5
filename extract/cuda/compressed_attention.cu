/* compressed_attention: every head of a query sees the same keys, which are values too:
 * the last `window` ones, and entries that stand for earlier ones. One block = one query
 * and HEADS heads, so that what it reads of keys serves all of them; LANES neighbouring
 * threads share a head: each has every LANES-th key of a tile and every LANES-th value.
 * Tiles hold keys that the query sees and no others: the first thread lists them. */
#include "extract/cuda/attention.cuh"
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { HEADS = 32, LANES = 8, THREADS = HEADS * LANES, KEYS = 16, MAX_HEAD_DIM = 512 };

struct compressed {
    const float *sinks;
    int n_heads, d, window, rate;
    float scale;
    const unsigned *chosen; /* [n_rows, chosen_step] bits of entries, or NULL */
    int64_t chosen_step;
    float *log_sums; /* [n_rows, n_heads] or NULL, as of attention */
};

/* The next keys of a query: key and entry are those to come. list[KEYS]: how many; keys
 * as they are counted, entries from -1 down. */
static __device__ void list_keys(const struct compressed &a, int query, int *key,
                                 int *entry, int *list)
{
    const int whole = a.rate > 0 ? (query + 1) / a.rate : 0;
    int n = 0;
    while (n < KEYS && *key <= query)
        list[n++] = (*key)++;
    while (n < KEYS && *entry < whole) {
        const unsigned word =
            a.chosen == NULL
                ? ~0u
                : a.chosen[query * a.chosen_step + *entry / 32] >> (*entry % 32);
        if (word == 0) {
            *entry = (*entry / 32 + 1) * 32;
            continue;
        }
        *entry += 31 - __clz((int)(word & (0u - word)));
        if (*entry < whole)
            list[n++] = -1 - (*entry)++;
    }
    list[KEYS] = n;
}

/* The largest, or the sum, over the threads of a head. */
static __device__ float largest_of_head(float x)
{
    for (int apart = LANES / 2; apart > 0; apart /= 2)
        x = fmaxf(x, __shfl_xor_sync(OL_FULL_WARP, x, apart));
    return x;
}

static __device__ float sum_of_head(float x)
{
    for (int apart = LANES / 2; apart > 0; apart /= 2)
        x += __shfl_xor_sync(OL_FULL_WARP, x, apart);
    return x;
}

/* VALUES: of a head, that a thread has. */
template <typename T, int VALUES>
static __global__ void __launch_bounds__(THREADS)
    compressed_kernel(const struct compressed a, const T *queries, const T *keys,
                      const T *entries, T *out)
{
    OL_SHARED_DYNAMIC(float, q);
    OL_SHARED(int, list, KEYS + 1);
    /* Odd, so that equal places of neighbouring rows lie in different banks. */
    const int step = a.d | 1, query = (int)blockIdx.x, first = (int)blockIdx.y * HEADS;
    float *k = q + HEADS * step, *weight = k + KEYS * step;
    const int row = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    const bool there = first + row < a.n_heads;
    const float sink = there ? a.sinks[first + row] : 0;
    const T *own = queries + ((int64_t)query * a.n_heads + first) * a.d;
    for (int i = (int)threadIdx.x; i < HEADS * a.d; i += THREADS)
        q[i / a.d * step + i % a.d] = first + i / a.d < a.n_heads ? ol_value(own[i]) : 0;
    float top = sink, total = 1, sum[VALUES];
    for (int c = 0; c < VALUES; c++)
        sum[c] = 0;
    int key = query + 1 < a.window ? 0 : query + 1 - a.window, entry = 0;
    for (;;) {
        __syncthreads();
        if (threadIdx.x == 0)
            list_keys(a, query, &key, &entry, list);
        __syncthreads();
        const int n = list[KEYS];
        if (n == 0)
            break;
        for (int i = (int)threadIdx.x; i < KEYS * a.d; i += THREADS) {
            const int at = i / a.d < n ? list[i / a.d] : 0;
            const T *from =
                at < 0 ? entries + (int64_t)(-1 - at) * a.d : keys + (int64_t)at * a.d;
            k[i / a.d * step + i % a.d] = i / a.d < n ? ol_value(from[i % a.d]) : 0;
        }
        __syncthreads();
        float score[KEYS / LANES] = {0}, highest = top;
        for (int c = 0; c < a.d; c++)
            for (int i = 0; i < KEYS / LANES; i++)
                score[i] =
                    fmaf(q[row * step + c], k[(i * LANES + lane) * step + c], score[i]);
        for (int i = 0; i < KEYS / LANES; i++) {
            score[i] = i * LANES + lane < n ? score[i] * a.scale : -INFINITY;
            highest = fmaxf(highest, score[i]);
        }
        highest = largest_of_head(highest);
        const float factor = expf(top - highest);
        float fresh = 0;
        for (int i = 0; i < KEYS / LANES; i++) {
            score[i] = expf(score[i] - highest);
            weight[row * (KEYS + 1) + i * LANES + lane] = ol_round_as<T>(score[i]);
            fresh += score[i];
        }
        top = highest;
        total = total * factor + sum_of_head(fresh);
        for (int c = 0; c < VALUES; c++)
            sum[c] *= factor;
        __syncwarp();
        for (int i = 0; i < n; i++)
            for (int c = 0; c < VALUES; c++)
                if (c * LANES + lane < a.d)
                    sum[c] = fmaf(weight[row * (KEYS + 1) + i],
                                  k[i * step + c * LANES + lane], sum[c]);
    }
    const int64_t at = (int64_t)query * a.n_heads + first + row;
    if (a.log_sums != NULL && there && lane == 0)
        a.log_sums[at] = top + logf(total);
    for (int c = 0; c < VALUES && there; c++)
        if (c * LANES + lane < a.d)
            out[at * a.d + c * LANES + lane] = ol_rounded<T>(sum[c] / total);
}

template <typename T, int VALUES>
static int launch(struct ol_cuda *cuda, const struct compressed *a,
                  const struct ol_compressed_attention_args *args, struct ol_error *err)
{
    const size_t floats =
        (size_t)(HEADS + KEYS) * (size_t)(a->d | 1) + (size_t)HEADS * (KEYS + 1);
    const dim3 grid(ol_cuda_blocks(args->q.n_rows, 1),
                    (unsigned)((a->n_heads + HEADS - 1) / HEADS));
    return ol_launch(cuda, err, "compressed_attention", compressed_kernel<T, VALUES>,
                     grid, dim3(THREADS), floats * sizeof(float), *a,
                     (const T *)args->q.data, (const T *)args->keys.data,
                     (const T *)args->entries.data, (T *)args->out.data);
}

template <typename T>
static int attend(struct ol_cuda *cuda, const struct compressed *a,
                  const struct ol_compressed_attention_args *args, struct ol_error *err)
{
    return (a->d <= 128   ? launch<T, 128 / LANES>
            : a->d <= 256 ? launch<T, 256 / LANES>
                          : launch<T, MAX_HEAD_DIM / LANES>)(cuda, a, args, err);
}

/* What keys of the window receive, and the sinks, from the sums that are there: a second
 * walk, which is that of attention whose heads share a key. */
static int look(struct ol_cuda *cuda, const struct ol_compressed_attention_args *args,
                const float *sinks, struct ol_error *err)
{
    const struct ol_sequences one = {NULL, 0};
    struct attention a = {.q = args->q.data,
                          .k = args->keys.data,
                          .v = args->keys.data,
                          .out = args->out.data,
                          .sinks = sinks,
                          .n_rows = (int)args->q.n_rows,
                          .tiles = NULL,
                          .n_tiles = 0,
                          .q_step = args->q.n_cols,
                          .k_step = args->keys.n_cols,
                          .v_step = args->keys.n_cols,
                          .out_step = args->out.n_cols,
                          .n_heads = args->n_heads,
                          .group = args->n_heads,
                          .head_dim = args->head_dim,
                          .value_dim = args->head_dim,
                          .kind = OL_ATTENTION_SLIDING,
                          .window = args->window,
                          .scale = (float)args->scale,
                          .log_sums = (float *)args->to_sink.data,
                          .received = (float *)args->received.data,
                          .chosen = NULL,
                          .chosen_step = 0,
                          .second_alone = true};
    return ol_cuda_attend(cuda, &one, &a, args->q.dtype, err);
}

int ol_cuda_compressed_attention(struct ol_backend *b,
                                 const struct ol_compressed_attention_args *args,
                                 struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    if (args->head_dim > MAX_HEAD_DIM)
        return ol_fail(
            err, "cuda: compressed_attention: heads of %d values, expected at most %d",
            args->head_dim, MAX_HEAD_DIM);
    const float *sinks = ol_cuda_values(cuda, &args->sinks, OL_DTYPE_F32, err);
    if (sinks == NULL)
        return -1;
    const struct compressed a = {.sinks = sinks,
                                 .n_heads = args->n_heads,
                                 .d = args->head_dim,
                                 .window = args->window,
                                 .rate = args->rate,
                                 .scale = (float)args->scale,
                                 .chosen = (const unsigned *)args->chosen.data,
                                 .chosen_step = args->chosen.n_cols,
                                 .log_sums = (float *)args->to_sink.data};
    if ((args->q.dtype == OL_DTYPE_BF16 ? attend<struct ol_bf16>(cuda, &a, args, err)
                                        : attend<float>(cuda, &a, args, err)) != 0)
        return -1;
    return args->to_sink.data != NULL ? look(cuda, args, sinks, err) : 0;
}
