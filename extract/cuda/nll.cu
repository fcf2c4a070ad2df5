/* nll: negative log-likelihood of the targets, logits = round(x weight^T). The vocabulary
 * passes in the tiles in which its weight arrives, rows in those of products; of each row
 * only the largest logit so far, the sum of exponentials and the target's logit are kept,
 * in double. */
#include "extract/cuda/device.h"
#include "extract/cuda/product.h"

enum { THREADS = 256, WARPS = THREADS / OL_WARP };

struct state {
    double top, total, target;
};

static __global__ void begin_rows(struct state *states, int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i >= n)
        return;
    states[i].top = -INFINITY;
    states[i].total = 0;
    states[i].target = NAN;
}

/* With a cap, as elementwise operations of the reference round. */
template <typename T> static __device__ float logit(T x, float cap)
{
    const float value = ol_value(x);
    return cap > 0
               ? ol_round_as<T>(cap * ol_round_as<T>(tanhf(ol_round_as<T>(value / cap))))
               : value;
}

/* A block per row: its logits of the words first .. first + n - 1. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    absorb(const T *logits, float cap, int64_t first, int64_t n, const int *targets,
           struct state *states)
{
    OL_SHARED(float, tops, WARPS);
    OL_SHARED(double, sums, WARPS);
    const T *row = logits + (int64_t)blockIdx.x * n;
    float top = -INFINITY;
    for (int64_t w = threadIdx.x; w < n; w += THREADS)
        top = fmaxf(top, logit(row[w], cap));
    top = ol_block_max(top, tops);
    const double before = states[blockIdx.x].top;
    const double now = (double)top > before ? (double)top : before;
    double sum = 0;
    for (int64_t w = threadIdx.x; w < n; w += THREADS)
        sum += exp((double)logit(row[w], cap) - now);
    sum = ol_block_sum(sum, sums);
    if (threadIdx.x != 0)
        return;
    struct state *s = &states[blockIdx.x];
    const int64_t target = targets[blockIdx.x];
    s->total = (now > before ? s->total * exp(before - now) : s->total) + sum;
    s->top = now;
    if (target >= first && target < first + n)
        s->target = (double)logit(row[target - first], cap);
}

static __global__ void end_rows(const struct state *states, float *nll, int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i < n)
        nll[i] = (float)(states[i].top + log(states[i].total) - states[i].target);
}

struct job {
    struct ol_tensor x;
    struct state *states;
    const int *targets;
    void *logits; /* [OL_PRODUCT_ROWS, tile] */
    float cap;
};

template <typename T>
static int absorb_tile(struct ol_cuda *cuda, const struct job *j, int64_t word,
                       const struct ol_cuda_operand *w, struct ol_error *err)
{
    for (int64_t first = 0; first < j->x.n_rows; first += OL_PRODUCT_ROWS) {
        const int64_t left = j->x.n_rows - first;
        const int64_t m = left < OL_PRODUCT_ROWS ? left : (int64_t)OL_PRODUCT_ROWS;
        const struct ol_cuda_product product = {
            j->x.dtype, j->x.dtype,  ol_cuda_row(j->x, first),
            1,          {*w},        {j->logits},
            m,          j->x.n_cols, w->n,
            false};
        if (ol_cuda_gemm(cuda, &product, err) != 0 ||
            ol_launch(cuda, err, "nll", absorb<T>, dim3(ol_cuda_blocks(m, 1)),
                      dim3(THREADS), 0, (const T *)j->logits, j->cap, word, w->n,
                      j->targets + first, j->states + first) != 0)
            return -1;
    }
    return 0;
}

static int all_tiles(struct ol_cuda *cuda, const struct job *j,
                     const struct ol_weight *weight, int64_t tile, void *room,
                     struct ol_error *err)
{
    for (int64_t word = 0; word < weight->n_rows; word += tile) {
        const int64_t left = weight->n_rows - word, n = left < tile ? left : tile;
        struct ol_cuda_operand w;
        bool all;
        if (ol_cuda_send_ahead(cuda, weight, word, tile, &all, err) != 0 ||
            ol_cuda_load_operand(cuda, weight, word, n, j->x.dtype, room, &w, err) != 0 ||
            (j->x.dtype == OL_DTYPE_BF16
                 ? absorb_tile<struct ol_bf16>(cuda, j, word, &w, err)
                 : absorb_tile<float>(cuda, j, word, &w, err)) != 0)
            return -1;
    }
    return 0;
}

int ol_cuda_nll(struct ol_backend *b, struct ol_tensor x, struct ol_weight weight,
                double cap, const int32_t *targets, float *nll, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const int64_t n = x.n_rows;
    const size_t size = ol_dtype_size(x.dtype);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    const int64_t tile = ol_cuda_tile_rows(cuda, &weight, size, err);
    if (tile < 0)
        return -1;
    struct job j = {x, NULL, NULL, NULL, (float)cap};
    float *result = (float *)ol_cuda_scratch(cuda, (size_t)n * sizeof *result, err);
    void *room = ol_cuda_scratch(cuda, (size_t)(tile * weight.n_cols) * size, err);
    j.states = (struct state *)ol_cuda_scratch(cuda, (size_t)n * sizeof *j.states, err);
    j.logits = ol_cuda_scratch(cuda, (size_t)(OL_PRODUCT_ROWS * tile) * size, err);
    j.targets = (const int *)ol_cuda_put(cuda, targets, (size_t)n * sizeof *targets, err);
    if (result == NULL || room == NULL || j.states == NULL || j.logits == NULL ||
        j.targets == NULL)
        return -1;
    const dim3 grid(ol_cuda_blocks(n, THREADS)), block(THREADS);
    if (ol_launch(cuda, err, "nll", begin_rows, grid, block, 0, j.states, n) != 0 ||
        all_tiles(cuda, &j, &weight, tile, room, err) != 0 ||
        ol_launch(cuda, err, "nll", end_rows, grid, block, 0, j.states, result, n) != 0)
        return -1;
    return ol_cuda_get(cuda, result, nll, (size_t)n * sizeof *nll, err);
}
