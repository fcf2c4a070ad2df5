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
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"
#include "extract/cuda/unroll.h"

enum {
    COLUMNS = 256,
    AHEAD = 8, /* rows whose values are on their way together */
    FIRST_MAGNITUDE = (127 - 20) << 7,
    MAGNITUDES = 32 << 7,
    NEAR_CODES = 2 * (MAGNITUDES + 1), /* of either sign, and its zero: 32 KiB */
    THREADS = 256,
    SHARES = 8, /* of a tile of a weight: for parts, for the list, for codes */
    MAGNITUDE = 0x7fff,
    INFINITE = 0x7f80,
};

/* Of columns, one behind the other as in a digest: of each run, or of all. */
struct columns {
    double *sums, *squares;
    float *maxima, *minima;
};

struct occurrences {
    unsigned long long *n; /* also of those for which there is no room */
    struct ol_occurrence *list;
    unsigned long long most;
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

static __device__ __forceinline__ unsigned code_at(unsigned near)
{
    if (near >= 2 * MAGNITUDES)
        return (near - 2 * MAGNITUDES) << 15;
    return near < MAGNITUDES ? near + FIRST_MAGNITUDE
                             : (near - MAGNITUDES + FIRST_MAGNITUDE) | 0x8000u;
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
static __device__ void list(const struct occurrences &o, bool occurs, int64_t row,
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
static __global__ void digest_runs(const T *x, int64_t first_run, int64_t n_rows,
                                   int64_t n_cols, unsigned least, struct columns parts,
                                   unsigned long long *histogram, struct occurrences o)
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
            atomicAdd(&histogram[code_at(i)], (unsigned long long)near_counts[i]);
}

static __global__ void add_runs(struct columns parts, int64_t n_runs, int64_t n_cols,
                                bool begins, struct columns to)
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

/* ---- launching ---- */

/* n columns in so many bytes. */
static struct columns columns_in(void *memory, int64_t n)
{
    struct columns c;
    c.sums = (double *)memory;
    c.squares = c.sums + n;
    c.maxima = (float *)(c.squares + n);
    c.minima = c.maxima + n;
    return c;
}

template <typename T>
static int run(struct ol_cuda *cuda, struct ol_tensor x, uint32_t least,
               struct columns columns, struct occurrences o,
               unsigned long long *histogram, struct ol_error *err)
{
    const int64_t d = x.n_cols;
    const int64_t n_runs = (x.n_rows + OL_DIGEST_RUN - 1) / OL_DIGEST_RUN;
    const int64_t most =
        max(cuda->unit / SHARES / (int64_t)ol_cuda_digest_columns_bytes(d), (int64_t)1);
    const int64_t warps = (d + OL_WARP - 1) / OL_WARP;
    const dim3 block((unsigned)min(warps * OL_WARP, (int64_t)COLUMNS));
    const int64_t room = min(n_runs, most) * d;
    void *memory = ol_cuda_scratch(cuda, ol_cuda_digest_columns_bytes(room), err);
    if (memory == NULL)
        return -1;
    const struct columns parts = columns_in(memory, room);
    for (int64_t first = 0; first < n_runs; first += most) {
        const int64_t n = min(n_runs - first, most);
        const dim3 grid(ol_cuda_blocks(d, block.x) * (unsigned)n);
        if (ol_launch(cuda, err, "digest", digest_runs<T>, grid, block, 0,
                      (const T *)x.data, first, x.n_rows, d, least, parts, histogram,
                      o) != 0 ||
            ol_launch(cuda, err, "digest", add_runs, dim3(ol_cuda_blocks(d, THREADS)),
                      dim3(THREADS), 0, parts, n, d, first == 0, columns) != 0)
            return -1;
    }
    return 0;
}

static int run_digest(struct ol_cuda *cuda, struct ol_tensor x, uint32_t least,
                      struct columns columns, struct occurrences o,
                      unsigned long long *histogram, struct ol_error *err)
{
    return x.dtype == OL_DTYPE_BF16
               ? run<struct ol_bf16>(cuda, x, least, columns, o, histogram, err)
               : run<float>(cuda, x, least, columns, o, histogram, err);
}

/* ---- on their way: results in slots, each downloaded beside the computing ---- */

/* What a slot holds of a digest, on the device and in pinned memory alike:
 *
 *     n of occurrences | columns | the first OL_CUDA_DIGEST_LISTED of the list
 *
 * or a histogram. */
struct slot {
    char *device, *pinned;
    size_t bytes;
    cudaEvent_t arrived;
    /* What it is for: a digest of x, or counts. */
    struct ol_tensor x;
    uint32_t least;
    struct ol_digest *digest;
    int64_t *counts;
};

struct ol_cuda_digests {
    struct slot slots[OL_CUDA_DIGEST_SLOTS];
    int first, n; /* the oldest, and how many are on their way */
    cudaEvent_t made;
    unsigned long long *histogram; /* [OL_N_CODES] */
};

static void slot_free(struct ol_cuda *cuda, struct slot *s)
{
    if (s->arrived != NULL)
        cudaEventDestroy(s->arrived);
    ol_cuda_memory_free(cuda, s->device, s->bytes);
    if (s->pinned != NULL)
        cudaFreeHost(s->pinned);
    memset(s, 0, sizeof *s);
}

static int slot_make(struct ol_cuda *cuda, struct slot *s, size_t bytes,
                     struct ol_error *err)
{
    void *memory = NULL;
    if (s->bytes >= bytes)
        return 0;
    slot_free(cuda, s);
    s->device = (char *)ol_cuda_memory_new(cuda, bytes, "a digest", err);
    if (s->device == NULL)
        return -1;
    s->bytes = bytes;
    if (ol_cuda_check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault),
                      "pinning host memory", err) != 0)
        return -1;
    s->pinned = (char *)memory;
    return ol_cuda_check(cudaEventCreateWithFlags(&s->arrived, cudaEventDisableTiming),
                         "making an event", err);
}

int ol_cuda_digests_new(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_digests *d = (struct ol_cuda_digests *)ol_xcalloc(1, sizeof *d);
    cuda->digests = d;
    if (ol_cuda_check(cudaEventCreateWithFlags(&d->made, cudaEventDisableTiming),
                      "making an event", err) == 0)
        d->histogram = (unsigned long long *)ol_cuda_memory_new(
            cuda, OL_CUDA_HISTOGRAM_BYTES, "a histogram", err);
    if (d->histogram == NULL)
        return -1;
    return ol_cuda_check(
        cudaMemsetAsync(d->histogram, 0, OL_CUDA_HISTOGRAM_BYTES, cuda->stream),
        "clearing a buffer", err);
}

void ol_cuda_digests_free(struct ol_cuda *cuda)
{
    struct ol_cuda_digests *d = cuda->digests;
    if (d == NULL)
        return;
    for (int i = 0; i < OL_CUDA_DIGEST_SLOTS; i++)
        slot_free(cuda, &d->slots[i]);
    ol_cuda_memory_free(cuda, d->histogram, OL_CUDA_HISTOGRAM_BYTES);
    if (d->made != NULL)
        cudaEventDestroy(d->made);
    free(d);
    cuda->digests = NULL;
}

/* What was queued last on cuda->stream made it: on its way to pinned memory. */
static int send_back(struct ol_cuda *cuda, struct slot *s, size_t bytes,
                     struct ol_error *err)
{
    cuda->link_bytes.fetch_add((int64_t)bytes);
    return ol_cuda_check(cudaEventRecord(cuda->digests->made, cuda->stream),
                         "recording an event", err) != 0 ||
                   ol_cuda_check(cudaStreamWaitEvent(cuda->back, cuda->digests->made, 0),
                                 "ordering streams", err) != 0 ||
                   ol_cuda_check(cudaMemcpyAsync(s->pinned, s->device, bytes,
                                                 cudaMemcpyDeviceToHost, cuda->back),
                                 "copying from the device", err) != 0 ||
                   ol_cuda_check(cudaEventRecord(s->arrived, cuda->back),
                                 "recording an event", err) != 0
               ? -1
               : 0;
}

/* The rows themselves. */
static int get_codes(struct ol_cuda *cuda, struct ol_tensor x, uint16_t *codes,
                     struct ol_error *err)
{
    const int64_t n = x.n_rows * x.n_cols;
    if (x.dtype == OL_DTYPE_BF16)
        return ol_cuda_get(cuda, x.data, codes, (size_t)n * sizeof *codes, err);
    const int64_t most = min(n, cuda->unit / SHARES / (int64_t)sizeof *codes);
    uint16_t *room = (uint16_t *)ol_cuda_scratch(cuda, (size_t)most * sizeof *room, err);
    for (int64_t first = 0; first < n; first += most) {
        const int64_t some = min(n - first, most);
        if (room == NULL ||
            ol_launch(cuda, err, "digest", round_values,
                      dim3(ol_cuda_blocks(some, THREADS)), dim3(THREADS), 0,
                      (const float *)x.data + first, some, room) != 0 ||
            ol_cuda_get(cuda, room, codes + first, (size_t)some * sizeof *codes, err) !=
                0)
            return -1;
    }
    return 0;
}

/* More than the slot has room for: once more, into a list that has, unless the rows
 * themselves are shorter. */
static int get_more(struct ol_cuda *cuda, const struct slot *s, struct ol_error *err)
{
    struct ol_digest *digest = s->digest;
    const int64_t n = digest->n_occurrences;
    const int64_t most = cuda->unit / SHARES / (int64_t)sizeof *digest->occurrences;
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    digest->listed = n <= min(digest->most_occurrences, most);
    if (!digest->listed)
        return get_codes(cuda, s->x, digest->codes, err);
    const size_t bytes = (size_t)n * sizeof *digest->occurrences;
    struct occurrences o;
    o.most = (unsigned long long)n;
    o.n = (unsigned long long *)ol_cuda_scratch(cuda, sizeof *o.n, err);
    o.list = (struct ol_occurrence *)ol_cuda_scratch(cuda, bytes, err);
    void *columns = ol_cuda_scratch(cuda, ol_cuda_digest_columns_bytes(s->x.n_cols), err);
    if (o.n == NULL || o.list == NULL || columns == NULL ||
        ol_cuda_check(cudaMemsetAsync(o.n, 0, sizeof *o.n, cuda->stream),
                      "clearing a counter", err) != 0 ||
        run_digest(cuda, s->x, s->least, columns_in(columns, s->x.n_cols), o, NULL,
                   err) != 0)
        return -1;
    return ol_cuda_get(cuda, o.list, digest->occurrences, bytes, err);
}

static int end_digest(struct ol_cuda *cuda, const struct slot *s, struct ol_error *err)
{
    struct ol_digest *digest = s->digest;
    const size_t columns = ol_cuda_digest_columns_bytes(s->x.n_cols);
    unsigned long long n;
    memcpy(&n, s->pinned, sizeof n);
    memcpy(digest->sums, s->pinned + OL_CUDA_DIGEST_COLUMNS_AT, columns);
    digest->n_occurrences = (int64_t)n;
    digest->listed = true;
    if ((int64_t)n > min(digest->most_occurrences, (int64_t)OL_CUDA_DIGEST_LISTED))
        return get_more(cuda, s, err);
    memcpy(digest->occurrences, s->pinned + OL_CUDA_DIGEST_COLUMNS_AT + columns,
           (size_t)n * sizeof *digest->occurrences);
    return 0;
}

/* All that was begun before it has arrived too. */
static int wait_for(struct ol_cuda *cuda, const struct slot *s, struct ol_error *err)
{
    const ol_cuda_timer timer(cuda->compute_time);
    return ol_cuda_check(cudaEventSynchronize(s->arrived), "waiting for the device", err);
}

/* The oldest, which has arrived. */
static int end_oldest(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_digests *d = cuda->digests;
    const struct slot *s = &d->slots[d->first];
    d->first = (d->first + 1) % OL_CUDA_DIGEST_SLOTS;
    d->n--;
    if (s->digest != NULL)
        return end_digest(cuda, s, err);
    memcpy(s->counts, s->pinned, OL_CUDA_HISTOGRAM_BYTES);
    return 0;
}

/* A free slot, the newest, for what comes of so many columns; NULL with err. */
static struct slot *begin_slot(struct ol_cuda *cuda, int64_t n_cols, struct ol_error *err)
{
    struct ol_cuda_digests *d = cuda->digests;
    if (d->n == OL_CUDA_DIGEST_SLOTS &&
        (wait_for(cuda, &d->slots[d->first], err) != 0 || end_oldest(cuda, err) != 0))
        return NULL;
    struct slot *s = &d->slots[(d->first + d->n) % OL_CUDA_DIGEST_SLOTS];
    if (ol_cuda_enter(cuda, err) != 0 ||
        slot_make(cuda, s, ol_cuda_digest_slot_bytes(n_cols), err) != 0)
        return NULL;
    s->digest = NULL;
    s->counts = NULL;
    return s;
}

int ol_cuda_digest_begin(struct ol_backend *b, struct ol_tensor x, uint32_t least,
                         struct ol_digest *digest, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    assert(x.n_rows == digest->n_rows && x.n_cols == digest->n_cols &&
           x.n_cols <= OL_NO_COLUMN);
    /* What is not looked for needs no room. */
    const int64_t listed =
        least > 0 ? min(digest->most_occurrences, (int64_t)OL_CUDA_DIGEST_LISTED) : 0;
    const size_t bytes = ol_cuda_digest_bytes(x.n_cols, listed);
    struct slot *s = begin_slot(cuda, x.n_cols, err);
    if (s == NULL)
        return -1;
    const struct columns columns =
        columns_in(s->device + OL_CUDA_DIGEST_COLUMNS_AT, x.n_cols);
    struct occurrences o;
    o.n = (unsigned long long *)(void *)s->device;
    o.list = (struct ol_occurrence *)(void *)(s->device + OL_CUDA_DIGEST_COLUMNS_AT +
                                              ol_cuda_digest_columns_bytes(x.n_cols));
    o.most = (unsigned long long)listed;
    s->x = x;
    s->least = least;
    s->digest = digest;
    if (ol_cuda_check(cudaMemsetAsync(o.n, 0, sizeof *o.n, cuda->stream),
                      "clearing a counter", err) != 0 ||
        run_digest(cuda, x, least, columns, o, cuda->digests->histogram, err) != 0 ||
        send_back(cuda, s, bytes, err) != 0)
        return -1;
    cuda->digests->n++;
    return 0;
}

int ol_cuda_histogram_begin(struct ol_backend *b, int64_t *counts, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    struct slot *s = begin_slot(cuda, 0, err);
    unsigned long long *histogram = cuda->digests->histogram;
    if (s == NULL)
        return -1;
    s->counts = counts;
    if (ol_cuda_check(cudaMemcpyAsync(s->device, histogram, OL_CUDA_HISTOGRAM_BYTES,
                                      cudaMemcpyDeviceToDevice, cuda->stream),
                      "copying a histogram", err) != 0 ||
        ol_cuda_check(
            cudaMemsetAsync(histogram, 0, OL_CUDA_HISTOGRAM_BYTES, cuda->stream),
            "clearing a buffer", err) != 0 ||
        send_back(cuda, s, OL_CUDA_HISTOGRAM_BYTES, err) != 0)
        return -1;
    cuda->digests->n++;
    return 0;
}

int ol_cuda_digest_wait(struct ol_backend *b, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_check(cudaSetDevice(cuda->device), "choosing the device", err) != 0)
        return -1;
    const struct ol_cuda_digests *d = cuda->digests;
    if (d->n > 0 &&
        wait_for(cuda, &d->slots[(d->first + d->n - 1) % OL_CUDA_DIGEST_SLOTS], err) != 0)
        return -1;
    while (d->n > 0)
        if (end_oldest(cuda, err) != 0)
            return -1;
    return 0;
}
