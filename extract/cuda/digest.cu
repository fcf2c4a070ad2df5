/* digest: what a summary keeps of the rows of a sequence, in one pass over them.
 *
 * A block has COLUMNS columns of a run of OL_DIGEST_RUN rows, a thread a column, whose
 * sums therefore grow row by row; a second kernel adds the runs' for rising runs.
 *
 *     x [n, d]   runs  x  blocks of columns  ->  parts [runs, d]  ->  columns [d]
 *
 * Counts are whole numbers and the list of occurrences has no order, so that atomics do
 * not show. Nearly all values are of magnitudes between 2^-20 and 2^12, or zero: these
 * are counted in shared memory first, since all multiprocessors would meet at a few
 * thousand counters of the histogram otherwise. */
#include "extract/cuda/digest.cuh"

#include "extract/cuda/device.h"
#include "extract/cuda/unroll.h"

enum {
    COLUMNS = 256,
    AHEAD = 8, /* rows whose values are on their way together */
    FIRST_MAGNITUDE = OL_CUDA_FIRST_MAGNITUDE,
    MAGNITUDES = OL_CUDA_MAGNITUDES,
    NEAR_CODES = OL_CUDA_NEAR_CODES, /* 32 KiB */
    THREADS = 256,
    MAGNITUDE = 0x7fff,
    INFINITE = 0x7f80,
};

static __device__ __forceinline__ unsigned code_of(float x)
{
    return ol_bf16_bits(x);
}

/* As stored: a NaN too stays what it is. */
static __device__ __forceinline__ unsigned code_of(struct ol_bf16 x)
{
    return x.bits;
}

/* Where a code is counted in shared memory; NEAR_CODES and more: nowhere. */
static __device__ __forceinline__ unsigned near_of(unsigned code)
{
    const unsigned magnitude = code & MAGNITUDE, sign = code >> 15;
    const unsigned at = magnitude - FIRST_MAGNITUDE; /* huge below the first */
    if (magnitude == 0)
        return 2 * MAGNITUDES + sign;
    return at < MAGNITUDES ? at + sign * MAGNITUDES : (unsigned)NEAR_CODES;
}

static __device__ __forceinline__ void count(unsigned code, unsigned *near_counts,
                                             unsigned long long *histogram)
{
    const unsigned near = near_of(code);
    if (near < NEAR_CODES)
        atomicAdd(&near_counts[near], 1u);
    else
        atomicAdd(&histogram[code], 1ull);
}

/* By a whole warp; one addition for all its lanes. */
static __device__ void list(const struct ol_cuda_occurrences &o, bool occurs, int64_t row,
                            int64_t column, unsigned code)
{
    const unsigned lane = threadIdx.x % OL_WARP;
    const unsigned lanes = __ballot_sync(OL_FULL_WARP, occurs);
    if (lanes == 0)
        return;
    unsigned long long at = 0;
    if (lane == 0)
        at = atomicAdd(o.n, (unsigned long long)__popc(lanes));
    at = __shfl_sync(OL_FULL_WARP, at, 0) + (unsigned)__popc(lanes & ((1u << lane) - 1));
    if (occurs && at < o.most)
        o.list[at] = {(int32_t)row, (uint16_t)column, (uint16_t)code};
}

/* Threads beyond the last column go on with the others: their warps vote. */
template <typename T>
static __global__ void
digest_runs(const T *x, int64_t first_run, int64_t n_rows, int64_t n_cols, unsigned least,
            struct ol_cuda_columns parts, unsigned long long *histogram,
            struct ol_cuda_occurrences o)
{
    OL_SHARED(unsigned, near_counts, NEAR_CODES);
    const int64_t n_blocks = (n_cols + blockDim.x - 1) / blockDim.x;
    const int64_t run = blockIdx.x / n_blocks;
    const int64_t c = (blockIdx.x - run * n_blocks) * blockDim.x + threadIdx.x;
    const int64_t first = (first_run + run) * OL_DIGEST_RUN;
    const int n = (int)min(n_rows - first, (int64_t)OL_DIGEST_RUN);
    const bool present = c < n_cols;
    double sum = 0, squares = 0;
    float top = -INFINITY, bottom = INFINITY;
    for (unsigned i = threadIdx.x; i < NEAR_CODES; i += blockDim.x)
        near_counts[i] = 0;
    __syncthreads();
    for (int i = 0; i < n; i += AHEAD) {
        unsigned codes[AHEAD];
        OL_UNROLL
        for (int j = 0; j < AHEAD; j++)
            codes[j] =
                present && i + j < n ? code_of(x[(first + i + j) * n_cols + c]) : 0;
        OL_UNROLL
        for (int j = 0; j < AHEAD; j++) {
            const bool counts = present && i + j < n;
            const float value = __uint_as_float(codes[j] << 16);
            const unsigned magnitude = codes[j] & MAGNITUDE;
            if (counts) {
                if (histogram != nullptr)
                    count(codes[j], near_counts, histogram);
                top = value > top ? value : top;
                bottom = value < bottom ? value : bottom;
                sum += (double)value;
                squares += (double)value * (double)value;
            }
            if (least > 0)
                list(o, counts && magnitude >= least && magnitude <= INFINITE,
                     first + i + j, c, codes[j]);
        }
    }
    if (present) {
        parts.sums[run * n_cols + c] = sum;
        parts.squares[run * n_cols + c] = squares;
        parts.maxima[run * n_cols + c] = top;
        parts.minima[run * n_cols + c] = bottom;
    }
    __syncthreads();
    if (histogram == nullptr)
        return;
    for (unsigned i = threadIdx.x; i < NEAR_CODES; i += blockDim.x)
        if (near_counts[i] > 0)
            atomicAdd(&histogram[ol_cuda_code_at(i)], (unsigned long long)near_counts[i]);
}

static __global__ void add_runs(struct ol_cuda_columns parts, int64_t n_runs,
                                int64_t n_cols, bool begins, struct ol_cuda_columns to)
{
    const int64_t c = ol_thread_index();
    if (c >= n_cols)
        return;
    double sum = begins ? 0 : to.sums[c], squares = begins ? 0 : to.squares[c];
    float top = begins ? -INFINITY : to.maxima[c];
    float bottom = begins ? INFINITY : to.minima[c];
    for (int64_t at = c; at < n_runs * n_cols; at += n_cols) {
        sum += parts.sums[at];
        squares += parts.squares[at];
        top = parts.maxima[at] > top ? parts.maxima[at] : top;
        bottom = parts.minima[at] < bottom ? parts.minima[at] : bottom;
    }
    to.sums[c] = sum;
    to.squares[c] = squares;
    to.maxima[c] = top;
    to.minima[c] = bottom;
}

static __global__ void round_values(const float *x, int64_t n, uint16_t *codes)
{
    const int64_t i = ol_thread_index();
    if (i < n)
        codes[i] = ol_bf16_bits(x[i]);
}

/* A thread a code. */
static __global__ void take_counts(const unsigned long long *histogram,
                                   struct ol_cuda_taken_counts *to)
{
    const int64_t code = ol_thread_index();
    if (code >= OL_N_CODES)
        return;
    const unsigned near = near_of((unsigned)code);
    const unsigned long long n = histogram[code];
    if (near < NEAR_CODES) {
        to->near_counts[near] = n;
    } else if (n > 0) {
        const unsigned long long at = atomicAdd(&to->n_others, 1ull);
        if (at < OL_CUDA_OTHER_CODES)
            to->others[at] = {(unsigned long long)code, n};
    }
}

/* ---- launching ---- */

template <typename T>
static int run(struct ol_cuda *cuda, const struct ol_cuda_digest_task *task,
               struct ol_error *err)
{
    const struct ol_tensor x = task->x;
    const int64_t d = x.n_cols;
    const int64_t n_runs = (x.n_rows + OL_DIGEST_RUN - 1) / OL_DIGEST_RUN;
    const int64_t most =
        max(cuda->unit / OL_CUDA_DIGEST_SHARES / (int64_t)ol_digest_columns_bytes(d),
            (int64_t)1);
    const int64_t warps = (d + OL_WARP - 1) / OL_WARP;
    const dim3 block((unsigned)min(warps * OL_WARP, (int64_t)COLUMNS));
    const int64_t room = min(n_runs, most) * d;
    void *memory = ol_cuda_scratch(cuda, ol_digest_columns_bytes(room), err);
    if (memory == NULL)
        return -1;
    const struct ol_cuda_columns parts = ol_cuda_columns_in(memory, room);
    for (int64_t first = 0; first < n_runs; first += most) {
        const int64_t n = min(n_runs - first, most);
        const dim3 grid(ol_cuda_blocks(d, block.x) * (unsigned)n);
        if (ol_launch(cuda, err, "digest", digest_runs<T>, grid, block, 0,
                      (const T *)x.data, first, x.n_rows, d, task->least, parts,
                      task->histogram, task->occurrences) != 0 ||
            ol_launch(cuda, err, "digest", add_runs, dim3(ol_cuda_blocks(d, THREADS)),
                      dim3(THREADS), 0, parts, n, d, first == 0, task->columns) != 0)
            return -1;
    }
    return 0;
}

int ol_cuda_run_digest(struct ol_cuda *cuda, const struct ol_cuda_digest_task *task,
                       struct ol_error *err)
{
    return task->x.dtype == OL_DTYPE_BF16 ? run<struct ol_bf16>(cuda, task, err)
                                          : run<float>(cuda, task, err);
}

int ol_cuda_round_codes(struct ol_cuda *cuda, const float *x, int64_t n, uint16_t *codes,
                        struct ol_error *err)
{
    return ol_launch(cuda, err, "digest", round_values, dim3(ol_cuda_blocks(n, THREADS)),
                     dim3(THREADS), 0, x, n, codes);
}

int ol_cuda_take_counts(struct ol_cuda *cuda, const unsigned long long *histogram,
                        struct ol_cuda_taken_counts *to, struct ol_error *err)
{
    return ol_launch(cuda, err, "histogram", take_counts,
                     dim3(ol_cuda_blocks(OL_N_CODES, THREADS)), dim3(THREADS), 0,
                     histogram, to);
}
