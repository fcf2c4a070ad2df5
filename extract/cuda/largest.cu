/* largest and pick: what is looked at of rows. A warp goes through a row once, each lane
 * keeping the KEEP largest of its own values, and then takes the largest of all lanes k
 * times, in an order that has no equals (magnitude falling, then column rising). A lane
 * that has given away all that it kept looks at its values once more, for those behind
 * the last one taken: this is seldom. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"
#include "extract/cuda/pack.h"
#include "extract/cuda/unroll.h"

enum { THREADS = OL_PACK_THREADS, WARPS = THREADS / OL_WARP, KEEP = 4 };

/* The order as whole numbers, larger first; 0 is no value's. */
template <typename T>
static __device__ __forceinline__ unsigned long long key_of(T x, int64_t column)
{
    const unsigned magnitude = __float_as_uint(ol_value(x)) & 0x7fffffffu;
    return (unsigned long long)magnitude << 16 | (0xffffu - (unsigned)column);
}

static __device__ __forceinline__ unsigned long long warp_max(unsigned long long x)
{
    for (int apart = OL_WARP / 2; apart > 0; apart /= 2) {
        const unsigned long long other = __shfl_xor_sync(OL_FULL_WARP, x, apart);
        x = other > x ? other : x;
    }
    return x;
}

/* The largest keys below `limit` of a lane's packs, falling. */
template <typename T, int V>
static __device__ __forceinline__ void keep_largest(const T *row, int64_t n_packs,
                                                    unsigned long long limit,
                                                    unsigned long long kept[KEEP])
{
    OL_UNROLL
    for (int i = 0; i < KEEP; i++)
        kept[i] = 0;
    for (int64_t p = threadIdx.x % OL_WARP; p < n_packs; p += OL_WARP) {
        const struct ol_pack<T, V> pack = ol_load_pack<T, V>(row, p * V);
        OL_UNROLL
        for (int c = 0; c < V; c++) {
            unsigned long long key = key_of(pack.v[c], p * V + c);
            if (key >= limit || key <= kept[KEEP - 1])
                continue;
            OL_UNROLL
            for (int i = 0; i < KEEP; i++) {
                const unsigned long long other = kept[i];
                kept[i] = key > other ? key : other;
                key = key > other ? other : key;
            }
        }
    }
}

template <typename T, int V>
static __global__ void __launch_bounds__(THREADS)
    largest(const T *x, int64_t n_rows, int64_t n_cols, int k, uint16_t *columns,
            float *values)
{
    const unsigned lane = threadIdx.x % OL_WARP;
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / OL_WARP;
    /* All lanes of a warp have the same row. */
    if (row >= n_rows)
        return;
    const T *from = x + row * n_cols;
    unsigned long long kept[KEEP];
    keep_largest<T, V>(from, n_cols / V, ~0ull, kept);
    for (int i = 0; i < k; i++) {
        const unsigned long long best = warp_max(kept[0]);
        if (best != 0 && kept[0] == best) {
            OL_UNROLL
            for (int j = 1; j < KEEP; j++)
                kept[j - 1] = kept[j];
            kept[KEEP - 1] = 0;
            if (kept[0] == 0 && i < k - 1)
                keep_largest<T, V>(from, n_cols / V, best, kept);
        }
        __syncwarp();
        if (lane != 0)
            continue;
        const unsigned column = best != 0 ? 0xffffu - (unsigned)(best & 0xffffu) : 0;
        columns[row * k + i] = best != 0 ? (uint16_t)column : (uint16_t)OL_NO_COLUMN;
        values[row * k + i] = best != 0 ? ol_value(from[column]) : 0;
    }
}

template <typename T, int V>
static int run_largest(struct ol_cuda *cuda, struct ol_tensor x, int k, uint16_t *columns,
                       float *values, struct ol_error *err)
{
    return ol_launch(cuda, err, "largest", largest<T, V>,
                     dim3(ol_cuda_blocks(x.n_rows, WARPS)), dim3(THREADS), 0,
                     (const T *)x.data, x.n_rows, x.n_cols, k, columns, values);
}

int ol_cuda_find_largest(struct ol_cuda *cuda, struct ol_tensor x, int k,
                         uint16_t *columns, float *values, struct ol_error *err)
{
    assert(k >= 1 && k <= OL_MOST_LARGEST);
    if (x.n_cols >= OL_NO_COLUMN)
        return ol_fail(err, "rows of %lld values: at most %d can be looked at",
                       (long long)x.n_cols, OL_NO_COLUMN - 1);
    return OL_BY_PACK(x.dtype, x.n_cols, run_largest, cuda, x, k, columns, values, err);
}

int ol_cuda_largest(struct ol_backend *b, struct ol_tensor x, int k, uint16_t *columns,
                    float *values, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const size_t n = (size_t)(x.n_rows * k);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    uint16_t *found = (uint16_t *)ol_cuda_scratch(cuda, n * sizeof *found, err);
    float *found_values =
        found != NULL ? (float *)ol_cuda_scratch(cuda, n * sizeof *found_values, err)
                      : NULL;
    if (found_values == NULL)
        return -1;
    if (ol_cuda_find_largest(cuda, x, k, found, found_values, err) != 0 ||
        ol_cuda_get(cuda, found, columns, n * sizeof *found, err) != 0)
        return -1;
    return ol_cuda_get(cuda, found_values, values, n * sizeof *values, err);
}

template <typename T>
static __global__ void pick(const T *x, int64_t n_cols, int k, const uint16_t *columns,
                            float *values, int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i < n)
        values[i] =
            columns[i] == OL_NO_COLUMN ? 0 : ol_value(x[i / k * n_cols + columns[i]]);
}

template <typename T>
static int run_pick(struct ol_cuda *cuda, struct ol_tensor x, int k,
                    const uint16_t *columns, float *values, struct ol_error *err)
{
    const int64_t n = x.n_rows * k;
    return ol_launch(cuda, err, "pick", pick<T>, dim3(ol_cuda_blocks(n, THREADS)),
                     dim3(THREADS), 0, (const T *)x.data, x.n_cols, k, columns, values,
                     n);
}

int ol_cuda_pick_from(struct ol_cuda *cuda, struct ol_tensor x, int k,
                      const uint16_t *columns, float *values, struct ol_error *err)
{
    return x.dtype == OL_DTYPE_BF16
               ? run_pick<struct ol_bf16>(cuda, x, k, columns, values, err)
               : run_pick<float>(cuda, x, k, columns, values, err);
}

int ol_cuda_pick(struct ol_backend *b, struct ol_tensor x, int k, const uint16_t *columns,
                 float *values, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const size_t n = (size_t)(x.n_rows * k);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    const uint16_t *wanted =
        (const uint16_t *)ol_cuda_put(cuda, columns, n * sizeof *columns, err);
    float *found =
        wanted != NULL ? (float *)ol_cuda_scratch(cuda, n * sizeof *found, err) : NULL;
    if (found == NULL)
        return -1;
    return ol_cuda_pick_from(cuda, x, k, wanted, found, err) == 0
               ? ol_cuda_get(cuda, found, values, n * sizeof *values, err)
               : -1;
}
