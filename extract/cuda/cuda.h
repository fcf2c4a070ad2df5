/* What the files of the CUDA backend share on the host: its state, streams, staging of
 * host memory, scratch memory, and launching kernels. device.h has what kernels share.
 * One operation per file; the contracts are in backend.h.
 *
 * How an operation is written (gate.cu is a short example):
 *
 *     int ol_cuda_clip(struct ol_backend *b, struct ol_tensor x, double limit,
 *                      struct ol_error *err)
 *     {
 *         struct ol_cuda *cuda = ol_cuda_of(b);
 *         if (ol_cuda_enter(cuda, err) != 0)
 *             return -1;
 *         ...
 *         return ol_launch(cuda, err, "clip", kernel<float>, grid, block, 0, args...);
 *     }
 *
 * - Everything runs in order on cuda->stream, several products at once beside each other
 *   between what comes before and after them (ol_cuda_products); nothing waits for the
 * device except ol_cuda_get, results_wait (and ol_cuda_put, when its ring is full), and
 * for its feeders only what uses a weight that they have not given to the stream of
 * copies yet.
 * - Kernels take pointers to device memory only. Host arrays travel by ol_cuda_put,
 *   small weights by ol_cuda_values, results by ol_cuda_result_begin and _end, or by
 *   ol_cuda_get where the host needs them at once.
 * - Blocks have a multiple of 32 threads, more than 256 only with __launch_bounds__. No
 * thread leaves a kernel before a barrier that others still reach. Shared memory is
 * declared by OL_SHARED (a fixed array) and OL_SHARED_DYNAMIC (what the launch asks for),
 * and holds rubbish at first.
 * - An empty grid is fine: nothing is launched.
 * - float only where rounding is wanted; expf, sqrtf and division are the exact ones
 *   (no fast-math), and a * b + c is two roundings: write fmaf where it should be one.
 * - The same sources run on a simulated device in tests/cudasim: no instruction that is
 *   not there or in device.h, no <<<>>>, no inline assembly elsewhere. */
#ifndef OL_CUDA_H
#define OL_CUDA_H

#include <assert.h>
#include <atomic>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cublas_v2.h>
#include <cuda_runtime.h>

extern "C" {
#include "common/parallel.h"
#include "extract/backend.h"
#include "extract/cuda/sizes.h"
#include "extract/weights/formats/dequant.h"
}

/* ---- errors: every call is checked; a failure is one sentence and stays nowhere ---- */

/* 0, or -1 with "CUDA: WHAT: reason". */
int ol_cuda_check(cudaError_t status, const char *what, struct ol_error *err);
int ol_cublas_check(cublasStatus_t status, const char *what, struct ol_error *err);

/* ---- state ---- */

struct ol_cuda_stage;     /* stage.cu: the ways between the host and the device */
struct ol_cuda_arena;     /* scratch.cu: device memory of one operation */
struct ol_cuda_gemms;     /* gemm.cu: how products are computed */
struct ol_cuda_downloads; /* download.cu: rows on their way back */
struct ol_cuda_results;   /* results.cu: what operations came to, on its way back */
struct ol_cuda_queue;     /* queue.cu: weights that are to be sent */
struct ol_cuda_feed;      /* feed.cu: threads that send them */
struct ol_cuda_share;     /* share.cu: devices that bring them to each other */
struct ol_cuda_arrivals;  /* arrivals.cu: device memory in which weights arrive */

/* lanes.cu: on which products run beside each other. */
struct ol_cuda_lane {
    cudaStream_t stream;
    cublasHandle_t blas; /* on it */
    void *workspace;
    cudaEvent_t here;
};

/* digests.cu: of codes, on the device. */
struct ol_cuda_histogram {
    unsigned long long *counts; /* [OL_N_CODES] */
    bool counts_now;            /* it was cleared, and is not taken yet */
    int64_t until;              /* the result that it was taken as; 0: none */
};

struct ol_cuda {
    struct ol_backend base;
    int device;
    struct ol_cuda_lane lanes[OL_CUDA_MOST_LANES];
    int lane;            /* of the product that is being queued */
    cudaStream_t stream; /* all other computing: lane 0's */
    cudaStream_t copies; /* weights on their way to the device, */
    cudaStream_t peers;  /* and from another device; NULL: none share with this one */
    cudaStream_t back;   /* downloads that have begun */
    struct ol_cuda_sizes sizes;
    int64_t unit;       /* sizes.unit: bytes of a tile of a weight */
    size_t most_shared; /* bytes of a block's shared memory */
    struct ol_cuda_stage *stage;
    struct ol_cuda_arena *scratch;
    struct ol_cuda_share *share;
    int member; /* of it */
    struct ol_cuda_queue *queue;
    struct ol_cuda_feed *feed;
    struct ol_cuda_arrivals *arrivals;
    struct ol_cuda_gemms *gemms;
    struct ol_cuda_downloads *downloads;
    struct ol_cuda_results *results;
    struct ol_cuda_histogram histograms[OL_CUDA_HISTOGRAMS];
    int histogram;        /* the one that counts */
    struct ol_pool *pool; /* fills pinned memory */
    /* What `usage` tells, maybe to another thread: bytes, nanoseconds. */
    std::atomic<int64_t> memory, peak_memory, link_bytes, peer_bytes;
    std::atomic<int64_t> copied_bytes, copy_time; /* feed.cu: that were timed */
    std::atomic<int64_t> link_time, compute_time;
    char name[320];
    char kind[16]; /* "sm_90" */
};

static inline struct ol_cuda *ol_cuda_of(struct ol_backend *b)
{
    return (struct ol_cuda *)b;
}

/* The first call of every operation of the table: makes the device current, gives the
 * scratch memory of the operation before back, and fails when a feeder has. */
int ol_cuda_enter(struct ol_cuda *cuda, struct ol_error *err);

/* Device memory of so many bytes, aligned for anything, its contents undefined; what: for
 * people. NULL with err. _free waits for what still uses it, and takes the same number.
 */
void *ol_cuda_memory_new(struct ol_cuda *cuda, size_t bytes, const char *what,
                         struct ol_error *err);
void ol_cuda_memory_free(struct ol_cuda *cuda, void *memory,
                         size_t bytes); /* NULL is fine */

/* Adds the time that it lives to one of the counters. */
struct ol_cuda_timer {
    explicit ol_cuda_timer(std::atomic<int64_t> &counter);
    ~ol_cuda_timer();
    ol_cuda_timer(const ol_cuda_timer &) = delete;
    ol_cuda_timer &operator=(const ol_cuda_timer &) = delete;

  private:
    std::atomic<int64_t> &to;
    int64_t start;
};

/* Device memory for this operation, until the next ol_cuda_enter; 256-byte aligned,
 * contents undefined. NULL with err. Safe although the device is still busy with the
 * operation before, because both are on one stream: touch it on cuda->stream only. */
void *ol_cuda_scratch(struct ol_cuda *cuda, size_t bytes, struct ol_error *err);

/* A copy of host memory on the device, as scratch; the source may change on return. */
void *ol_cuda_put(struct ol_cuda *cuda, const void *host, size_t bytes,
                  struct ol_error *err);

/* Several arrays as one copy, which waits for the link once: *to is where `from` lies on
 * the device, as scratch, aligned for anything; NULL where that is NULL. */
struct ol_cuda_put_part {
    const void *from;
    size_t bytes;
    const void **to;
};
int ol_cuda_put_parts(struct ol_cuda *cuda, const struct ol_cuda_put_part *parts, int n,
                      struct ol_error *err);

/* Device memory to the host; waits for everything before it. */
int ol_cuda_get(struct ol_cuda *cuda, const void *device, void *host, size_t bytes,
                struct ol_error *err);

/* The same of what lies one behind another on the device and goes to several places of
 * the host; the host waits once for what fits into a segment. */
struct ol_cuda_part {
    void *host;
    size_t bytes;
};
int ol_cuda_get_parts(struct ol_cuda *cuda, const void *device,
                      const struct ol_cuda_part *parts, int n, struct ol_error *err);

/* All values of a small weight (a norm's, a bias, sinks, ...) as float [n_rows, n_cols],
 * rounded to `rounding` (F32: as stored), as scratch. NULL with err. */
float *ol_cuda_values(struct ol_cuda *cuda, const struct ol_weight *w,
                      enum ol_dtype rounding, struct ol_error *err);

/* matmul's work without its ol_cuda_enter, for operations that need products (route). */
int ol_cuda_products(struct ol_cuda *cuda, const struct ol_matmul *products, int n,
                     struct ol_error *err);

/* ---- the way of weights, for operations that need more than ol_cuda_values ---- */

/* n pieces of `bytes` each, `stride` apart, or at the places of `order`; one behind
 * another on the device. */
struct ol_cuda_runs {
    const void *src;
    int64_t n;
    size_t bytes;
    int64_t stride;
    const int32_t *order; /* NULL: 0, 1, 2, ... */
};

/* Rows of a weight on the device, as stored but without gaps (weight.cu). Encodings and
 * members are as in struct ol_weight. */
struct ol_cuda_weight {
    const void *data, *scales, *zeros, *groups;
    enum ol_encoding encoding;
    enum ol_dtype dtype, scale_dtype;
    bool rounds;
    int bits, zero_offset;
    float factor; /* NVFP4 */
    bool divides; /* NVFP4 */
    bool turned;  /* neighbours in memory are neighbours in a column */
    int64_t n_rows, n_cols;
    int64_t row_step, col_step; /* PLAIN */
    int64_t block_rows, block_cols, n_groups;
    int64_t first_row; /* FP8, PACKED: how many rows precede it in its block, or word */
};

/* How many rows' worth a piece of a weight must begin at a multiple of. */
int64_t ol_cuda_weight_rows(const struct ol_weight *w);

/* The most rows whose stored bytes fit into a tile, and whose `size`-byte values do too;
 * -1 with err when not even one does. */
int64_t ol_cuda_tile_rows(const struct ol_cuda *cuda, const struct ol_weight *w,
                          size_t size, struct ol_error *err);

/* Send the tiles of rows from `row` on, `step` rows each, ahead of their use, as far as
 * there is room; *all: for all of them. */
int ol_cuda_send_ahead(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                       int64_t step, bool *all, struct ol_error *err);

/* Rows [row, row + n), at most a tile, on their way to the device by cuda->copies, beside
 * the computing, unless they are still there; the stream of cuda->lane waits for them.
 * They stay there while what is queued on it before the next call runs. */
int ol_cuda_stage_rows(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                       int64_t n, struct ol_cuda_weight *view, struct ol_error *err);

/* The same of all rows of two weights, each of which is one tile: both stay. */
int ol_cuda_stage_pair(struct ol_cuda *cuda, const struct ol_weight *first,
                       const struct ol_weight *second,
                       struct ol_cuda_weight views[OL_CUDA_TOGETHER],
                       struct ol_error *err);

/* The same as scratch, by cuda->stream: for a few rows. */
int ol_cuda_put_rows(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                     int64_t n, struct ol_cuda_weight *view, struct ol_error *err);

/* dst [n_rows, n_cols] = its values rounded to `rounding`, as dtype (BF16: rounding is
 * BF16 too). Bit for bit what cpu/dequant.c makes. */
int ol_cuda_decode(struct ol_cuda *cuda, const struct ol_cuda_weight *w,
                   enum ol_dtype rounding, enum ol_dtype dtype, void *dst,
                   struct ol_error *err);

/* stage.cu: a ring of pinned memory, for cuda->stream. */
struct ol_cuda_stage *ol_cuda_stage_new(struct ol_cuda *cuda, struct ol_error *err);
void ol_cuda_stage_free(struct ol_cuda_stage *stage); /* NULL is fine */
int ol_cuda_send(struct ol_cuda *cuda, void *device, const struct ol_cuda_runs *runs,
                 struct ol_error *err);
/* Bytes [first, first + n) of the runs, joined. */
void ol_cuda_copy_runs(const struct ol_cuda_runs *runs, size_t first, size_t n, char *to);

/* gemm.cu: cuda->gemms. On failure too _free takes what there is, as of those below. */
int ol_cuda_gemms_new(struct ol_cuda *cuda, struct ol_error *err);
void ol_cuda_gemms_free(struct ol_cuda *cuda);

/* download.cu: cuda->downloads. */
int ol_cuda_downloads_new(struct ol_cuda *cuda, struct ol_error *err);
void ol_cuda_downloads_free(struct ol_cuda *cuda);
int ol_cuda_download_begin(struct ol_backend *b, struct ol_tensor src,
                           struct ol_download *d, struct ol_error *err);
int ol_cuda_download_end(struct ol_backend *b, const struct ol_download *d, void **rows,
                         struct ol_error *err);
void ol_cuda_download_release(struct ol_backend *b, void *rows);

/* feed.cu: cuda->feed, threads that send weights. _free stops them at what is in hand. */
int ol_cuda_feed_new(struct ol_cuda *cuda, struct ol_error *err);
void ol_cuda_feed_free(struct ol_cuda *cuda);
/* What both streams of copies are to wait for. */
int ol_cuda_copies_wait(struct ol_cuda *cuda, cudaEvent_t event, struct ol_error *err);
/* queue.cu: fails, with the text, when one of them has. */
int ol_cuda_queue_check(struct ol_cuda *cuda, struct ol_error *err);

/* share.cu: the operation share. */
int ol_cuda_share_weights(struct ol_backend *const *backends, int n, char *how,
                          size_t size, struct ol_error *err);

/* arrivals.cu: device memory in which weights wait. */
int ol_cuda_prefetch(struct ol_backend *b, const struct ol_weight *weights, int n,
                     struct ol_error *err);
void ol_cuda_release(struct ol_backend *b, const struct ol_weight *weight);
struct ol_cuda_arrivals *ol_cuda_arrivals_new(struct ol_cuda *cuda, struct ol_error *err);
void ol_cuda_arrivals_free(struct ol_cuda *cuda,
                           struct ol_cuda_arrivals *arrivals); /* NULL is fine */

struct ol_cuda_arena *ol_cuda_scratch_new(struct ol_cuda *cuda);
int ol_cuda_scratch_reset(struct ol_cuda_arena *s, struct ol_error *err);
void ol_cuda_scratch_free(struct ol_cuda_arena *s); /* NULL is fine */

/* lanes.cu. Lanes below n go on behind what is on cuda->stream now, and it behind them.
 */
int ol_cuda_lanes_new(struct ol_cuda *cuda, struct ol_error *err);
void ol_cuda_lanes_wait(struct ol_cuda *cuda);
void ol_cuda_lanes_free(struct ol_cuda *cuda);
int ol_cuda_fork(struct ol_cuda *cuda, int n, struct ol_error *err);
int ol_cuda_join(struct ol_cuda *cuda, int n, struct ol_error *err);

/* largest.cu: the operations largest and pick with columns and values on the device. */
int ol_cuda_find_largest(struct ol_cuda *cuda, struct ol_tensor x, int k,
                         uint16_t *columns, float *values, struct ol_error *err);
int ol_cuda_pick_from(struct ol_cuda *cuda, struct ol_tensor x, int k,
                      const uint16_t *columns, float *values, struct ol_error *err);

/* permute.cu: pairs on the device sorted by expert, into device memory; as scratch it
 * takes a few numbers for each expert and tile of pairs. */
int ol_cuda_sort_pairs(struct ol_cuda *cuda, const uint16_t *pairs, int64_t n_pairs,
                       int n_experts, int top_k, int64_t *offsets, int32_t *rows,
                       int32_t *slots, struct ol_error *err);

/* digests.cu: cuda->histograms. On failure too _free takes what there is. */
int ol_cuda_digests_new(struct ol_cuda *cuda, struct ol_error *err);
void ol_cuda_digests_free(struct ol_cuda *cuda);

/* results.cu: cuda->results, likewise. An operation that leaves its result begins with
 * _begin in place of ol_cuda_enter, queues on cuda->stream what fills the device memory
 * that it gets, aligned for anything, NULL with err, and then calls _end. When the bytes
 * have come to the host, `arrive` is called with them and with a copy of *about; it may
 * use the device. */
enum { OL_CUDA_ABOUT_BYTES = 128 };
typedef int ol_cuda_arrive(struct ol_cuda *cuda, const void *about, const char *from,
                           struct ol_error *err);
int ol_cuda_results_new(struct ol_cuda *cuda, struct ol_error *err);
void ol_cuda_results_free(struct ol_cuda *cuda);
void *ol_cuda_result_begin(struct ol_cuda *cuda, size_t bytes, struct ol_error *err);
int ol_cuda_result_end(struct ol_cuda *cuda, ol_cuda_arrive *arrive, const void *about,
                       size_t about_bytes, struct ol_error *err);

/* The same for results that come to places of the host as they are. */
struct ol_cuda_places {
    int n;
    struct {
        void *host;
        size_t at, bytes; /* of the result */
    } of[5];
};
int ol_cuda_result_end_places(struct ol_cuda *cuda, const struct ol_cuda_places *places,
                              struct ol_error *err);

/* ---- tensors ---- */

static inline size_t ol_cuda_bytes(struct ol_tensor t)
{
    return (size_t)t.n_rows * (size_t)t.n_cols * ol_dtype_size(t.dtype);
}

static inline void *ol_cuda_row(struct ol_tensor t, int64_t row)
{
    return (char *)t.data + (size_t)(row * t.n_cols) * ol_dtype_size(t.dtype);
}

/* ---- launching ---- */

/* Blocks of `size` that cover n; a grid's x may be as large as 2^31 - 1. */
static inline unsigned ol_cuda_blocks(int64_t n, int64_t size)
{
    const int64_t blocks = (n + size - 1) / size;
    assert(blocks >= 0 && blocks <= INT32_MAX);
    return (unsigned)blocks;
}

/* Dynamic shared memory beyond this must be asked for. */
enum { OL_CUDA_PLAIN_SHARED = 48 << 10 };

/* Threads of a block for whose registers there is always room: 256 times the most, 255.
 * A kernel of larger blocks has __launch_bounds__, or some devices refuse to start it. */
enum { OL_CUDA_PLAIN_THREADS = 256 };

/* The one way to start a kernel. Arguments are converted to the kernel's own types.
 * MOST: its __launch_bounds__, for larger blocks. */
template <int MOST = OL_CUDA_PLAIN_THREADS, typename... P, typename... A>
static int ol_launch(struct ol_cuda *cuda, struct ol_error *err, const char *what,
                     void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes,
                     A... args)
{
    static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel has");
    assert(block.x * block.y * block.z <= (unsigned)MOST);
    if (grid.x == 0 || grid.y == 0 || grid.z == 0)
        return 0;
    if (shared_bytes > cuda->most_shared)
        return ol_fail(err,
                       "CUDA: %s: %zu bytes of shared memory are needed, a block has at "
                       "most %zu on this device",
                       what, shared_bytes, cuda->most_shared);
    if (shared_bytes > OL_CUDA_PLAIN_SHARED &&
        ol_cuda_check(cudaFuncSetAttribute((const void *)kernel,
                                           cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           (int)shared_bytes),
                      what, err) != 0)
        return -1;
#ifdef __CUDACC__
    kernel<<<grid, block, shared_bytes, cuda->stream>>>(static_cast<P>(args)...);
#else
    cudasim_launch(kernel, grid, block, shared_bytes, cuda->stream,
                   static_cast<P>(args)...);
#endif
    return ol_cuda_check(cudaGetLastError(), what, err);
}

/* ---- operations, in the order of the table ---- */

extern "C" {
int ol_cuda_embed(struct ol_backend *b, const int32_t *ids, struct ol_weight table,
                  struct ol_tensor out, struct ol_error *err);
int ol_cuda_norm(struct ol_backend *b, enum ol_norm_kind kind, double eps,
                 struct ol_tensor x, struct ol_weight weight, struct ol_tensor out,
                 struct ol_error *err);
int ol_cuda_layer_norm(struct ol_backend *b, double eps, struct ol_tensor x,
                       struct ol_weight weight, struct ol_weight bias,
                       struct ol_tensor out, struct ol_error *err);
int ol_cuda_matmul(struct ol_backend *b, const struct ol_matmul *products, int n,
                   struct ol_error *err);
int ol_cuda_clip(struct ol_backend *b, struct ol_tensor x, double limit,
                 struct ol_error *err);
int ol_cuda_rope(struct ol_backend *b, const struct ol_rope_args *args,
                 struct ol_tensor x, struct ol_error *err);
int ol_cuda_attention(struct ol_backend *b, const struct ol_attention_args *args,
                      struct ol_tensor q, struct ol_tensor k, struct ol_tensor v,
                      struct ol_tensor out, struct ol_error *err);
int ol_cuda_index(struct ol_backend *b, const struct ol_index_args *args,
                  struct ol_error *err);
int ol_cuda_compress(struct ol_backend *b, const struct ol_compress_args *args,
                     struct ol_error *err);
int ol_cuda_compressed_attention(struct ol_backend *b,
                                 const struct ol_compressed_attention_args *args,
                                 struct ol_error *err);
int ol_cuda_copy_columns(struct ol_backend *b, struct ol_columns from,
                         struct ol_columns to, int64_t width, int n,
                         struct ol_error *err);
int ol_cuda_scale_rows(struct ol_backend *b, struct ol_tensor x, const float *scales,
                       struct ol_error *err);
int ol_cuda_causal_conv(struct ol_backend *b, struct ol_tensor x, struct ol_weight weight,
                        struct ol_weight bias, struct ol_tensor out,
                        struct ol_error *err);
int ol_cuda_delta_net(struct ol_backend *b, const struct ol_delta_net_args *args,
                      struct ol_error *err);
int ol_cuda_mamba(struct ol_backend *b, const struct ol_mamba_args *args,
                  struct ol_error *err);
int ol_cuda_gated_norm(struct ol_backend *b, int n_groups, double eps, struct ol_tensor x,
                       struct ol_tensor gate, struct ol_weight weight,
                       struct ol_tensor out, struct ol_error *err);
int ol_cuda_gate(struct ol_backend *b, enum ol_gate_function function, struct ol_tensor x,
                 struct ol_tensor gate, struct ol_error *err);
int ol_cuda_gate_means(struct ol_backend *b, struct ol_tensor gate,
                       struct ol_tensor means, struct ol_error *err);
int ol_cuda_add(struct ol_backend *b, struct ol_tensor x, struct ol_tensor y,
                struct ol_error *err);
int ol_cuda_collapse(struct ol_backend *b, const struct ol_connection *c,
                     struct ol_tensor streams, struct ol_tensor out,
                     struct ol_tensor mixing, struct ol_error *err);
int ol_cuda_expand(struct ol_backend *b, struct ol_tensor streams, struct ol_tensor y,
                   struct ol_tensor mixing, struct ol_tensor mean, struct ol_error *err);
int ol_cuda_route(struct ol_backend *b, const struct ol_router_spec *router,
                  struct ol_tensor x, struct ol_weight weight, struct ol_weight bias,
                  struct ol_weight correction, uint16_t *ids, float *weights,
                  struct ol_permutation *p, struct ol_error *err);
int ol_cuda_permute(struct ol_backend *b, const uint16_t *ids, int64_t n_tokens,
                    int top_k, struct ol_permutation *p, struct ol_error *err);
int ol_cuda_gather(struct ol_backend *b, struct ol_tensor x, const int32_t *rows,
                   const float *scales, struct ol_tensor out, struct ol_error *err);
int ol_cuda_glu(struct ol_backend *b, const struct ol_glu_spec *glu,
                struct ol_tensor gate, struct ol_tensor up, struct ol_error *err);
int ol_cuda_scatter_add(struct ol_backend *b, struct ol_tensor y, const int64_t *firsts,
                        int n_pieces, const int32_t *rows, const float *scales,
                        struct ol_tensor sum, struct ol_error *err);
int ol_cuda_add_sum(struct ol_backend *b, struct ol_tensor x, struct ol_tensor sum,
                    struct ol_error *err);
int ol_cuda_largest(struct ol_backend *b, struct ol_tensor x, int k, uint16_t *columns,
                    float *values, struct ol_error *err);
int ol_cuda_pick(struct ol_backend *b, struct ol_tensor x, int k, const uint16_t *columns,
                 float *values, struct ol_error *err);
struct ol_contribution_tables *
ol_cuda_contributions_new(struct ol_backend *b, const struct ol_contribution_sizes *sizes,
                          struct ol_error *err);
void ol_cuda_contributions_free(struct ol_backend *b, struct ol_contribution_tables *t);
int ol_cuda_contributions_begin(struct ol_backend *b, struct ol_contribution_tables *t,
                                struct ol_error *err);
int ol_cuda_contributions_attention(struct ol_backend *b,
                                    struct ol_contribution_tables *t, int64_t first,
                                    struct ol_tensor stream, struct ol_tensor x,
                                    struct ol_error *err);
int ol_cuda_contributions_inputs(struct ol_backend *b, struct ol_contribution_tables *t,
                                 const struct ol_component_rows *rows, struct ol_tensor x,
                                 struct ol_error *err);
int ol_cuda_contributions_outputs(struct ol_backend *b, struct ol_contribution_tables *t,
                                  const struct ol_component_rows *rows, int n_slots,
                                  struct ol_tensor y, struct ol_error *err);
int ol_cuda_contributions_take(struct ol_backend *b, struct ol_contribution_tables *t,
                               struct ol_tensor stream,
                               const struct ol_contributions_made *made,
                               struct ol_error *err);
int ol_cuda_round_rows(struct ol_backend *b, struct ol_tensor x, const int32_t *places,
                       struct ol_tensor out, struct ol_error *err);
int ol_cuda_set_columns(struct ol_backend *b, struct ol_tensor x, int k,
                        const uint16_t *columns, const float *values,
                        struct ol_error *err);
int ol_cuda_add_squares(struct ol_backend *b, struct ol_tensor x, struct ol_tensor sums,
                        struct ol_error *err);
int ol_cuda_head_moments(struct ol_backend *b, struct ol_tensor x,
                         struct ol_tensor moments, struct ol_error *err);
int ol_cuda_head_columns(struct ol_backend *b, struct ol_tensor x,
                         struct ol_tensor moments, struct ol_tensor columns,
                         struct ol_error *err);
struct ol_down_tables *ol_cuda_down_new(struct ol_backend *b,
                                        const struct ol_down_sizes *most,
                                        struct ol_error *err);
void ol_cuda_down_free(struct ol_backend *b, struct ol_down_tables *t);
int ol_cuda_down_begin(struct ol_backend *b, struct ol_down_tables *t,
                       const struct ol_down_sizes *layer, struct ol_error *err);
int ol_cuda_down_see(struct ol_backend *b, struct ol_down_tables *t,
                     const struct ol_down_seen *seen, struct ol_tensor x,
                     struct ol_error *err);
int ol_cuda_down_take(struct ol_backend *b, struct ol_down_tables *t,
                      const struct ol_down_made *made, struct ol_error *err);
int ol_cuda_digest_begin(struct ol_backend *b, struct ol_tensor x, uint32_t least,
                         struct ol_digest *digest, struct ol_error *err);
int ol_cuda_histogram_begin(struct ol_backend *b, int64_t *counts, struct ol_error *err);
int ol_cuda_download_later(struct ol_backend *b, struct ol_tensor src, void *dst,
                           struct ol_error *err);
void ol_cuda_results_room(struct ol_backend *b, int64_t bytes);
int ol_cuda_results_send(struct ol_backend *b, struct ol_error *err);
int ol_cuda_results_wait(struct ol_backend *b, int64_t until, struct ol_error *err);
void ol_cuda_results_forget(struct ol_backend *b);
int ol_cuda_nll(struct ol_backend *b, struct ol_tensor x, struct ol_weight weight,
                double cap, const int32_t *targets, float *nll, struct ol_error *err);
}

#endif
