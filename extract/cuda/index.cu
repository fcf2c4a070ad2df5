/* index: of every query the top_k keys with the largest scores
 *
 *     score[t][s] = sum over heads of weights[t][h] / sqrt(heads) *
 *                   max(q[t][h] . k[s] / sqrt(head_dim), 0)          s < (t + 1) / rate
 *
 * Some queries at a time: a block scores KEYS keys of one query, LANES threads to a key,
 * then a warp finds a query's top_k-th largest score bit by bit, and sets the bits of the
 * keys above it, and of the first that equal it. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { KEYS = 32, LANES = 8, THREADS = KEYS * LANES, WARPS = THREADS / OL_WARP };

struct index {
    int n_heads, head_dim, top_k, rate;
    int n_keys, first; /* keys, and the first of the rows whose scores are there */
    float *scores;
    int64_t scores_step, chosen_step;
    unsigned *chosen;
};

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    score_kernel(const struct index a, const T *q, const T *k, const T *weights)
{
    OL_SHARED_DYNAMIC(float, query);
    const int d = a.head_dim, width = a.n_heads * d, step = d | 1;
    const int row = a.first + (int)blockIdx.y, key = (int)blockIdx.x * KEYS;
    if (key >= (row + 1) / a.rate)
        return;
    float *keys = query + width, *weight = keys + KEYS * step;
    for (int i = (int)threadIdx.x; i < width; i += THREADS)
        query[i] = ol_value(q[(int64_t)row * width + i]);
    for (int i = (int)threadIdx.x; i < KEYS * d; i += THREADS) {
        const int at = key + i / d;
        keys[i / d * step + i % d] =
            at < a.n_keys ? ol_value(k[(int64_t)at * d + i % d]) : 0;
    }
    for (int i = (int)threadIdx.x; i < a.n_heads; i += THREADS)
        weight[i] = ol_value(weights[(int64_t)row * a.n_heads + i]);
    __syncthreads();
    const int own = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    const float by_heads = 1 / sqrtf((float)a.n_heads), by_dim = 1 / sqrtf((float)d);
    float sum = 0;
    for (int h = lane; h < a.n_heads; h += LANES) {
        float product = 0;
        for (int c = 0; c < d; c++)
            product = fmaf(query[h * d + c], keys[own * step + c], product);
        const float x = product * by_dim;
        sum += weight[h] * by_heads * (x > 0 ? x : 0);
    }
    for (int apart = LANES / 2; apart > 0; apart /= 2)
        sum += __shfl_xor_sync(OL_FULL_WARP, sum, apart);
    if (lane == 0 && key + own < a.n_keys)
        a.scores[(int64_t)blockIdx.y * a.scores_step + key + own] = sum;
}

/* An order of floats as one of integers; NaN is below all. */
static __device__ unsigned place_of(float x)
{
    const unsigned bits = __float_as_uint(x);
    if (isnan(x))
        return 0;
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

static __device__ int count_from(const float *scores, int n, unsigned least)
{
    int count = 0;
    for (int s = (int)threadIdx.x % OL_WARP; s < n; s += OL_WARP)
        count += place_of(scores[s]) >= least;
    return ol_warp_sum(count);
}

static __global__ void __launch_bounds__(THREADS)
    choose_kernel(const struct index a, int n_rows)
{
    const int lane = (int)threadIdx.x % OL_WARP;
    const int i = (int)blockIdx.x * WARPS + (int)threadIdx.x / OL_WARP;
    if (i >= n_rows)
        return;
    const int n = (a.first + i + 1) / a.rate;
    const float *scores = a.scores + (int64_t)i * a.scores_step;
    unsigned *chosen = a.chosen + (int64_t)(a.first + i) * a.chosen_step;
    const bool all = n <= a.top_k;
    unsigned least = 0;
    for (unsigned bit = 0x80000000u; bit != 0 && !all; bit >>= 1)
        if (count_from(scores, n, least | bit) >= a.top_k)
            least |= bit;
    int equal = all ? 0 : a.top_k - count_from(scores, n, least + 1);
    for (int word = 0; word < a.chosen_step; word++) {
        const int s = word * 32 + lane;
        const unsigned place = s < n && !all ? place_of(scores[s]) : 0;
        const unsigned above =
            __ballot_sync(OL_FULL_WARP, s < n && (all || place > least));
        unsigned tied = __ballot_sync(OL_FULL_WARP, s < n && !all && place == least);
        while (__popc(tied) > equal) /* the last of them go */
            tied &= ~(0x80000000u >> __clz((int)tied));
        equal -= __popc(tied);
        if (lane == 0)
            chosen[word] = above | tied;
    }
}

template <typename T>
static int run(struct ol_cuda *cuda, const struct ol_index_args *args,
               struct ol_error *err)
{
    const int n = (int)args->q.n_rows;
    struct index a = {.n_heads = args->n_heads,
                      .head_dim = args->head_dim,
                      .top_k = args->top_k,
                      .rate = args->rate,
                      .n_keys = n / args->rate,
                      .first = 0,
                      .scores = (float *)args->scores.data,
                      .scores_step = args->scores.n_cols,
                      .chosen_step = args->chosen.n_cols,
                      .chosen = (unsigned *)args->chosen.data};
    const size_t floats = (size_t)(a.n_heads * a.head_dim) +
                          (size_t)(KEYS * (a.head_dim | 1)) + (size_t)a.n_heads;
    for (a.first = 0; a.first < n; a.first += OL_INDEX_ROWS) {
        const int rows = n - a.first < OL_INDEX_ROWS ? n - a.first : OL_INDEX_ROWS;
        const int seen = (a.first + rows) / a.rate, keys = seen > a.top_k ? seen : 0;
        if (ol_launch(cuda, err, "index", score_kernel<T>,
                      dim3((unsigned)((keys + KEYS - 1) / KEYS), (unsigned)rows),
                      dim3(THREADS), floats * sizeof(float), a, (const T *)args->q.data,
                      (const T *)args->k.data, (const T *)args->weights.data) != 0 ||
            ol_launch(cuda, err, "index", choose_kernel,
                      dim3(ol_cuda_blocks(rows, WARPS)), dim3(THREADS), 0, a, rows) != 0)
            return -1;
    }
    return 0;
}

int ol_cuda_index(struct ol_backend *b, const struct ol_index_args *args,
                  struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return args->q.dtype == OL_DTYPE_BF16 ? run<struct ol_bf16>(cuda, args, err)
                                          : run<float>(cuda, args, err);
}
