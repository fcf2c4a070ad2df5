/* The CUDA backend's table, life and memory: one device, its streams, tensors as device
 * memory. */
#include "extract/cuda/share.h"

#include <stdio.h>
#include <time.h>

int ol_cuda_check(cudaError_t status, const char *what, struct ol_error *err)
{
    if (status == cudaSuccess)
        return 0;
    /* Told once, here: what comes after is not to find it again. */
    cudaGetLastError();
    return ol_fail(err, "CUDA: %s: %s", what, cudaGetErrorString(status));
}

int ol_cublas_check(cublasStatus_t status, const char *what, struct ol_error *err)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return 0;
    return ol_fail(err, "cuBLAS: %s: %s", what, cublasGetStatusString(status));
}

int ol_cuda_enter(struct ol_cuda *cuda, struct ol_error *err)
{
    cuda->lane = 0;
    if (ol_cuda_check(cudaSetDevice(cuda->device), "choosing the device", err) != 0)
        return -1;
    return ol_cuda_queue_check(cuda, err) == 0 ? ol_cuda_scratch_reset(cuda->scratch, err)
                                               : -1;
}

/* ---- what is counted ---- */

static void count_memory(struct ol_cuda *cuda, int64_t bytes)
{
    const int64_t now = cuda->memory.fetch_add(bytes) + bytes;
    if (now > cuda->peak_memory.load())
        cuda->peak_memory.store(now);
}

void *ol_cuda_memory_new(struct ol_cuda *cuda, size_t bytes, const char *what,
                         struct ol_error *err)
{
    void *memory = NULL;
    const cudaError_t status = cudaMalloc(&memory, bytes > 0 ? bytes : 1);
    if (status == cudaSuccess) {
        count_memory(cuda, (int64_t)bytes);
        return memory;
    }
    size_t available = 0, total = 0;
    cudaGetLastError();
    cudaMemGetInfo(&available, &total);
    cudaGetLastError();
    ol_fail(err,
            "CUDA: %zu bytes for %s could not be had: %s (%zu of %zu bytes of the device "
            "are free)",
            bytes, what, cudaGetErrorString(status), available, total);
    return NULL;
}

void ol_cuda_memory_free(struct ol_cuda *cuda, void *memory, size_t bytes)
{
    /* A failure here was told before, or will be. */
    cudaSetDevice(cuda->device);
    if (memory != NULL)
        count_memory(cuda, -(int64_t)bytes);
    cudaFree(memory);
    cudaGetLastError();
}

static int64_t nanoseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

ol_cuda_timer::ol_cuda_timer(std::atomic<int64_t> &counter)
    : to(counter), start(nanoseconds_now())
{
}

ol_cuda_timer::~ol_cuda_timer()
{
    to.fetch_add(nanoseconds_now() - start);
}

static struct ol_backend_usage cuda_usage(const struct ol_backend *b)
{
    const struct ol_cuda *cuda = (const struct ol_cuda *)b;
    struct ol_backend_usage usage = {};
    usage.memory = cuda->memory.load();
    usage.peak_memory = cuda->peak_memory.load();
    usage.link_bytes = cuda->link_bytes.load();
    usage.peer_bytes = cuda->peer_bytes.load();
    usage.copied_bytes = cuda->copied_bytes.load();
    usage.copy_seconds = (double)cuda->copy_time.load() * 1e-9;
    usage.link_seconds = (double)cuda->link_time.load() * 1e-9;
    usage.compute_seconds = (double)cuda->compute_time.load() * 1e-9;
    return usage;
}

/* ---- tensors ---- */

static int cuda_tensor_new(struct ol_backend *b, enum ol_dtype dtype, int64_t n_rows,
                           int64_t n_cols, struct ol_tensor *tensor, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const struct ol_tensor t = {NULL, dtype, n_rows, n_cols};
    const size_t bytes = ol_cuda_bytes(t);
    char what[64];
    *tensor = t;
    snprintf(what, sizeof what, "a buffer of %lld x %lld", (long long)n_rows,
             (long long)n_cols);
    if (ol_cuda_check(cudaSetDevice(cuda->device), "choosing the device", err) != 0)
        return -1;
    tensor->data = ol_cuda_memory_new(cuda, bytes, what, err);
    if (tensor->data == NULL)
        return -1;
    if (ol_cuda_check(cudaMemsetAsync(tensor->data, 0, bytes, cuda->stream),
                      "clearing a buffer", err) == 0)
        return 0;
    b->op->tensor_free(b, tensor);
    return -1;
}

static void cuda_tensor_free(struct ol_backend *b, struct ol_tensor *tensor)
{
    ol_cuda_memory_free(ol_cuda_of(b), tensor->data, ol_cuda_bytes(*tensor));
    memset(tensor, 0, sizeof *tensor);
}

static int cuda_upload(struct ol_backend *b, struct ol_tensor dst, const void *src,
                       struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const struct ol_cuda_runs runs = {src, 1, ol_cuda_bytes(dst), 0, NULL};
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return ol_cuda_send(cuda, dst.data, &runs, err);
}

static int cuda_download(struct ol_backend *b, struct ol_tensor src, void *dst,
                         struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return ol_cuda_get(cuda, src.data, dst, ol_cuda_bytes(src), err);
}

static int cuda_zero(struct ol_backend *b, struct ol_tensor x, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return ol_cuda_check(cudaMemsetAsync(x.data, 0, ol_cuda_bytes(x), cuda->stream),
                         "clearing a buffer", err);
}

static struct ol_scratch_bytes cuda_scratch_bytes(const struct ol_backend *b,
                                                  struct ol_product_sizes sizes)
{
    return ol_cuda_scratch_bytes(&((const struct ol_cuda *)b)->sizes, b->dtype, sizes);
}

static int cuda_device_bytes(struct ol_backend *b, int64_t *bytes, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    size_t available = 0, total = 0;
    if (ol_cuda_check(cudaSetDevice(cuda->device), "choosing the device", err) != 0 ||
        ol_cuda_check(cudaMemGetInfo(&available, &total), "asking for free memory",
                      err) != 0)
        return -1;
    *bytes =
        ol_cuda_usable_bytes((int64_t)available) + ol_cuda_reserved_bytes(&cuda->sizes);
    return 0;
}

/* ---- life ---- */

static void cuda_close(struct ol_backend *b)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    cudaSetDevice(cuda->device);
    ol_cuda_feed_free(cuda);
    if (cuda->share != NULL)
        ol_cuda_share_withdraw(cuda);
    ol_cuda_lanes_wait(cuda);
    if (cuda->copies != NULL)
        cudaStreamSynchronize(cuda->copies);
    if (cuda->peers != NULL)
        cudaStreamSynchronize(cuda->peers);
    if (cuda->back != NULL)
        cudaStreamSynchronize(cuda->back);
    ol_cuda_arrivals_free(cuda, cuda->arrivals);
    ol_cuda_share_leave(cuda);
    ol_cuda_scratch_free(cuda->scratch);
    ol_cuda_stage_free(cuda->stage);
    ol_cuda_digests_free(cuda);
    ol_cuda_results_free(cuda);
    ol_cuda_downloads_free(cuda);
    if (cuda->back != NULL)
        cudaStreamDestroy(cuda->back);
    if (cuda->peers != NULL)
        cudaStreamDestroy(cuda->peers);
    if (cuda->copies != NULL)
        cudaStreamDestroy(cuda->copies);
    ol_cuda_gemms_free(cuda);
    ol_cuda_lanes_free(cuda);
    cudaGetLastError();
    ol_pool_free(cuda->pool);
    free(cuda);
}

static const struct ol_backend_operations *operations(void)
{
    static struct ol_backend_operations t;
    t.name = "cuda";
    t.reads_files = true;
    t.tensor_new = cuda_tensor_new;
    t.tensor_free = cuda_tensor_free;
    t.upload = cuda_upload;
    t.download = cuda_download;
    t.download_begin = ol_cuda_download_begin;
    t.download_end = ol_cuda_download_end;
    t.download_release = ol_cuda_download_release;
    t.download_later = ol_cuda_download_later;
    t.results_room = ol_cuda_results_room;
    t.results_send = ol_cuda_results_send;
    t.results_wait = ol_cuda_results_wait;
    t.results_forget = ol_cuda_results_forget;
    t.zero = cuda_zero;
    t.close = cuda_close;
    t.scratch_bytes = cuda_scratch_bytes;
    t.device_bytes = cuda_device_bytes;
    t.usage = cuda_usage;
    t.prefetch = ol_cuda_prefetch;
    t.release = ol_cuda_release;
    t.share = ol_cuda_share_weights;
    t.embed = ol_cuda_embed;
    t.norm = ol_cuda_norm;
    t.layer_norm = ol_cuda_layer_norm;
    t.matmul = ol_cuda_matmul;
    t.clip = ol_cuda_clip;
    t.rope = ol_cuda_rope;
    t.attention = ol_cuda_attention;
    t.index = ol_cuda_index;
    t.compress = ol_cuda_compress;
    t.compressed_attention = ol_cuda_compressed_attention;
    t.copy_columns = ol_cuda_copy_columns;
    t.scale_rows = ol_cuda_scale_rows;
    t.causal_conv = ol_cuda_causal_conv;
    t.delta_net = ol_cuda_delta_net;
    t.mamba = ol_cuda_mamba;
    t.gated_norm = ol_cuda_gated_norm;
    t.gate = ol_cuda_gate;
    t.gate_means = ol_cuda_gate_means;
    t.add = ol_cuda_add;
    t.collapse = ol_cuda_collapse;
    t.expand = ol_cuda_expand;
    t.route = ol_cuda_route;
    t.permute = ol_cuda_permute;
    t.gather = ol_cuda_gather;
    t.glu = ol_cuda_glu;
    t.scatter_add = ol_cuda_scatter_add;
    t.add_sum = ol_cuda_add_sum;
    t.largest = ol_cuda_largest;
    t.pick = ol_cuda_pick;
    t.contributions_new = ol_cuda_contributions_new;
    t.contributions_free = ol_cuda_contributions_free;
    t.contributions_begin = ol_cuda_contributions_begin;
    t.contributions_attention = ol_cuda_contributions_attention;
    t.contributions_inputs = ol_cuda_contributions_inputs;
    t.contributions_outputs = ol_cuda_contributions_outputs;
    t.contributions_take = ol_cuda_contributions_take;
    t.round_rows = ol_cuda_round_rows;
    t.set_columns = ol_cuda_set_columns;
    t.add_squares = ol_cuda_add_squares;
    t.head_moments = ol_cuda_head_moments;
    t.head_columns = ol_cuda_head_columns;
    t.down_new = ol_cuda_down_new;
    t.down_free = ol_cuda_down_free;
    t.down_begin = ol_cuda_down_begin;
    t.down_see = ol_cuda_down_see;
    t.down_take = ol_cuda_down_take;
    t.digest_begin = ol_cuda_digest_begin;
    t.histogram_begin = ol_cuda_histogram_begin;
    t.nll = ol_cuda_nll;
    return &t;
}

static int describe(struct ol_cuda *cuda, int64_t memory, struct ol_error *err)
{
    cudaDeviceProp prop;
    int version = 0;
    if (ol_cuda_check(cudaGetDeviceProperties(&prop, cuda->device), "asking the device",
                      err) != 0 ||
        ol_cuda_check(cudaRuntimeGetVersion(&version), "asking for the version", err) !=
            0)
        return -1;
    snprintf(cuda->name, sizeof cuda->name, "%s, %.0f GiB, CUDA %d.%d", prop.name,
             (double)prop.totalGlobalMem / (double)(1 << 30), version / 1000,
             version % 1000 / 10);
    cuda->base.device = cuda->name;
    snprintf(cuda->kind, sizeof cuda->kind, "sm_%d%d", prop.major, prop.minor);
    cuda->base.processor = cuda->kind;
    cuda->most_shared = prop.sharedMemPerBlockOptin;
    cuda->sizes = ol_cuda_sizes_of((int64_t)prop.totalGlobalMem, memory);
    cuda->unit = cuda->sizes.unit;
    if (prop.major < 8)
        return ol_fail(err,
                       "CUDA: %s is of compute capability %d.%d, at least 8.0 is needed",
                       prop.name, prop.major, prop.minor);
    return 0;
}

static int begin(struct ol_cuda *cuda, int n_threads, int64_t memory,
                 struct ol_error *err)
{
    if (ol_cuda_check(cudaSetDevice(cuda->device), "choosing the device", err) != 0 ||
        describe(cuda, memory, err) != 0 ||
        ol_cuda_check(cudaStreamCreateWithFlags(&cuda->copies, cudaStreamNonBlocking),
                      "making a stream", err) != 0 ||
        ol_cuda_check(cudaStreamCreateWithFlags(&cuda->back, cudaStreamNonBlocking),
                      "making a stream", err) != 0 ||
        ol_cuda_lanes_new(cuda, err) != 0 || ol_cuda_gemms_new(cuda, err) != 0)
        return -1;
    if (ol_cuda_digests_new(cuda, err) != 0 || ol_cuda_results_new(cuda, err) != 0 ||
        ol_cuda_downloads_new(cuda, err) != 0)
        return -1;
    cuda->scratch = ol_cuda_scratch_new(cuda);
    cuda->pool = ol_pool_new(n_threads, err);
    if (cuda->pool == NULL)
        return -1;
    cuda->stage = ol_cuda_stage_new(cuda, err);
    if (cuda->stage == NULL)
        return -1;
    ol_cuda_share_join(ol_cuda_share_new(), cuda);
    if (ol_cuda_feed_new(cuda, err) != 0)
        return -1;
    cuda->arrivals = ol_cuda_arrivals_new(cuda, err);
    if (cuda->arrivals == NULL)
        return -1;
    return 0;
}

extern "C" const char *ol_cuda_libraries(void)
{
    static char text[32];
    snprintf(text, sizeof text, "CUDA %d.%d", CUDART_VERSION / 1000,
             CUDART_VERSION % 1000 / 10);
    return text;
}

extern "C" int ol_cuda_devices(void)
{
    int n = 0;
    const cudaError_t status = cudaGetDeviceCount(&n);
    cudaGetLastError();
    return status == cudaSuccess ? n : 0;
}

extern "C" struct ol_backend *ol_cuda_open(enum ol_dtype dtype, int n_threads, int device,
                                           int64_t memory, struct ol_error *err)
{
    assert(dtype == OL_DTYPE_BF16 || dtype == OL_DTYPE_F32);
    int n = 0;
    const cudaError_t status = cudaGetDeviceCount(&n);
    if (status != cudaSuccess) {
        cudaGetLastError();
        ol_fail(err, "no CUDA device was found: %s", cudaGetErrorString(status));
        return NULL;
    }
    if (device < 0 || device >= n) {
        ol_fail(err, "CUDA: there is no device %d: this machine has %d, counted from 0",
                device, n);
        return NULL;
    }
    struct ol_cuda *cuda = (struct ol_cuda *)ol_xcalloc(1, sizeof *cuda);
    cuda->base.op = operations();
    cuda->base.dtype = dtype;
    cuda->device = device;
    if (begin(cuda, n_threads, memory, err) == 0)
        return &cuda->base;
    cuda_close(&cuda->base);
    return NULL;
}
