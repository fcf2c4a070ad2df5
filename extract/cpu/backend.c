/* The CPU backend's table, life and memory: tensors are plain aligned host memory. */
#include "extract/cpu/cpu.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "extract/cpu/gemm.h"
#include "extract/cpu/gemm_bf16.h"
#include "extract/cpu/spread.h"

/* Large buffers on large pages where the system has them: rows of a matrix lie on as many
 * pages as there are rows, and looking pages up would take longer than the rows. */
static void *allocate(size_t bytes)
{
    enum { LINE = 64, LARGE_PAGE = 2 << 20 };
    const size_t unit = bytes >= LARGE_PAGE ? LARGE_PAGE : LINE;
    bytes = (bytes > 0 ? bytes + unit - 1 : unit) / unit * unit;
    void *memory = aligned_alloc(unit, bytes);
    if (memory != NULL && unit == LARGE_PAGE)
        madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

static float *at_least(struct ol_cpu_scratch *s, size_t n)
{
    if (s->n < n) {
        free(s->data);
        s->n = (n + 1023) & ~(size_t)1023;
        s->data = allocate(s->n * sizeof *s->data);
        if (s->data == NULL) {
            ol_warn("out of memory: %zu bytes of scratch could not be had",
                    s->n * sizeof *s->data);
            exit(1);
        }
    }
    return s->data;
}

float *ol_cpu_scratch(struct ol_cpu *cpu, int thread, size_t n)
{
    return at_least(&cpu->scratch[thread], n);
}

uint16_t *ol_cpu_spread_room(struct ol_cpu *cpu, size_t n)
{
    return (uint16_t *)(void *)at_least(&cpu->spread, (n + 1) / 2);
}

struct rows_job {
    void (*rows)(void *arg, int64_t first, int64_t end, int thread);
    void *arg;
    int64_t n_rows, per_task;
};

static void rows_task(void *arg, int64_t i, int thread)
{
    const struct rows_job *job = arg;
    const int64_t first = i * job->per_task;
    const int64_t end = first + job->per_task;
    job->rows(job->arg, first, end < job->n_rows ? end : job->n_rows, thread);
}

void ol_cpu_rows(struct ol_cpu *cpu, int64_t n_rows, int64_t n_cols,
                 void (*rows)(void *arg, int64_t first, int64_t end, int thread),
                 void *arg)
{
    struct rows_job job = {rows, arg, n_rows, ol_cpu_task_rows(n_cols)};
    ol_pool_run(cpu->pool, (n_rows + job.per_task - 1) / job.per_task, rows_task, &job);
}

static size_t tensor_bytes(const struct ol_tensor *t)
{
    return (size_t)t->n_rows * (size_t)t->n_cols * ol_dtype_size(t->dtype);
}

enum { CLEAR_BYTES = 4 << 20 };

struct clear_job {
    char *data;
    size_t bytes;
};

static void clear_task(void *arg, int64_t i, int thread)
{
    (void)thread;
    const struct clear_job *job = arg;
    const size_t first = (size_t)i * CLEAR_BYTES, left = job->bytes - first;
    memset(job->data + first, 0, left < CLEAR_BYTES ? left : CLEAR_BYTES);
}

/* By all threads: of memory that was never touched, the system has to find every page. */
static void clear(struct ol_cpu *cpu, void *data, size_t bytes)
{
    struct clear_job job = {data, bytes};
    ol_pool_run(cpu->pool, (int64_t)((bytes + CLEAR_BYTES - 1) / CLEAR_BYTES), clear_task,
                &job);
}

static int cpu_tensor_new(struct ol_backend *b, enum ol_dtype dtype, int64_t n_rows,
                          int64_t n_cols, struct ol_tensor *tensor, struct ol_error *err)
{
    *tensor = (struct ol_tensor){NULL, dtype, n_rows, n_cols};
    const size_t bytes = tensor_bytes(tensor);
    tensor->data = allocate(bytes);
    if (tensor->data == NULL)
        return ol_fail(
            err, "out of memory: a buffer of %zu bytes (%lld x %lld) could not be had",
            bytes, (long long)n_rows, (long long)n_cols);
    clear(ol_cpu_of(b), tensor->data, bytes);
    return 0;
}

static void cpu_tensor_free(struct ol_backend *b, struct ol_tensor *tensor)
{
    (void)b;
    free(tensor->data);
    *tensor = (struct ol_tensor){0};
}

static int cpu_upload(struct ol_backend *b, struct ol_tensor dst, const void *src,
                      struct ol_error *err)
{
    (void)b;
    (void)err;
    memcpy(dst.data, src, tensor_bytes(&dst));
    return 0;
}

static int cpu_download(struct ol_backend *b, struct ol_tensor src, void *dst,
                        struct ol_error *err)
{
    (void)b;
    (void)err;
    memcpy(dst, src.data, tensor_bytes(&src));
    return 0;
}

static int cpu_download_begin(struct ol_backend *b, struct ol_tensor src,
                              struct ol_download *d, struct ol_error *err)
{
    (void)b;
    (void)err;
    *d = (struct ol_download){src, NULL};
    return 0;
}

static int cpu_download_end(struct ol_backend *b, const struct ol_download *d,
                            void **rows, struct ol_error *err)
{
    const size_t bytes = tensor_bytes(&d->src);
    *rows = malloc(bytes > 0 ? bytes : 1);
    if (*rows == NULL)
        return ol_fail(err, "out of memory: %zu bytes of rows to be written", bytes);
    return cpu_download(b, d->src, *rows, err);
}

/* Nothing is left: operations fill in at once. */
static int cpu_results_send(struct ol_backend *b, struct ol_error *err)
{
    (void)b, (void)err;
    return 0;
}

static int cpu_results_wait(struct ol_backend *b, int64_t until, struct ol_error *err)
{
    (void)b, (void)until, (void)err;
    return 0;
}

static void cpu_results_forget(struct ol_backend *b)
{
    (void)b;
}

static void cpu_download_release(struct ol_backend *b, void *rows)
{
    (void)b;
    free(rows);
}

static int cpu_zero(struct ol_backend *b, struct ol_tensor x, struct ol_error *err)
{
    (void)err;
    clear(ol_cpu_of(b), x.data, tensor_bytes(&x));
    return 0;
}

static void cpu_close(struct ol_backend *b)
{
    struct ol_cpu *cpu = ol_cpu_of(b);
    for (int i = 0; i < ol_pool_threads(cpu->pool); i++)
        free(cpu->scratch[i].data);
    free(cpu->scratch);
    free(cpu->spread.data);
    ol_cpu_free_histograms(cpu);
    ol_pool_free(cpu->pool);
    free(cpu);
}

/* Products need the most, or what a query sees of long sequences, one after the other in
 * the same scratch; and attention that is looked at. Everything else a thread works on is
 * a few rows or tiles, and a histogram. Copies of rows are shared by all threads. */
static struct ol_scratch_bytes cpu_scratch_bytes(const struct ol_backend *b,
                                                 struct ol_product_sizes sizes)
{
    enum { TILES = 4 << 20 };
    const struct ol_cpu *cpu = (const struct ol_cpu *)b;
    const int64_t products = ol_cpu_matmul_scratch(b->dtype, sizes.deepest),
                  seen = ol_cpu_compressed_attention_scratch(sizes.compressed_heads,
                                                             sizes.compressed_dim,
                                                             sizes.compressed_keys),
                  scratch = products > seen ? products : seen;
    return (struct ol_scratch_bytes){
        .tensors = ol_pool_threads(cpu->pool) *
                       (scratch + ol_cpu_attention_kept(sizes.received) + TILES) +
                   ol_cpu_spread_bytes(b->dtype, sizes.rows, sizes.deepest)};
}

static int cpu_device_bytes(struct ol_backend *b, int64_t *bytes, struct ol_error *err)
{
    (void)b;
    (void)err;
    *bytes = 0;
    return 0;
}

static struct ol_backend_usage cpu_usage(const struct ol_backend *b)
{
    (void)b;
    return (struct ol_backend_usage){0};
}

/* They are where they are used. */
static int cpu_prefetch(struct ol_backend *b, const struct ol_weight *weights, int n,
                        struct ol_error *err)
{
    (void)b;
    (void)weights;
    (void)n;
    (void)err;
    return 0;
}

static void cpu_release(struct ol_backend *b, const struct ol_weight *weight)
{
    (void)b;
    (void)weight;
}

static const struct ol_backend_operations operations = {
    .name = "cpu",
    .tensor_new = cpu_tensor_new,
    .tensor_free = cpu_tensor_free,
    .upload = cpu_upload,
    .download = cpu_download,
    .download_begin = cpu_download_begin,
    .download_end = cpu_download_end,
    .download_release = cpu_download_release,
    .download_later = cpu_download,
    .results_send = cpu_results_send,
    .results_wait = cpu_results_wait,
    .results_forget = cpu_results_forget,
    .zero = cpu_zero,
    .close = cpu_close,
    .scratch_bytes = cpu_scratch_bytes,
    .device_bytes = cpu_device_bytes,
    .usage = cpu_usage,
    .prefetch = cpu_prefetch,
    .release = cpu_release,
    .embed = ol_cpu_embed,
    .norm = ol_cpu_norm,
    .layer_norm = ol_cpu_layer_norm,
    .matmul = ol_cpu_matmul,
    .clip = ol_cpu_clip,
    .rope = ol_cpu_rope,
    .attention = ol_cpu_attention,
    .index = ol_cpu_index,
    .compress = ol_cpu_compress,
    .compressed_attention = ol_cpu_compressed_attention,
    .copy_columns = ol_cpu_copy_columns,
    .scale_rows = ol_cpu_scale_rows,
    .causal_conv = ol_cpu_causal_conv,
    .delta_net = ol_cpu_delta_net,
    .mamba = ol_cpu_mamba,
    .gated_norm = ol_cpu_gated_norm,
    .gate = ol_cpu_gate,
    .gate_means = ol_cpu_gate_means,
    .add = ol_cpu_add,
    .collapse = ol_cpu_collapse,
    .expand = ol_cpu_expand,
    .route = ol_cpu_route,
    .permute = ol_cpu_permute,
    .gather = ol_cpu_gather,
    .glu = ol_cpu_glu,
    .scatter_add = ol_cpu_scatter_add,
    .add_sum = ol_cpu_add_sum,
    .largest = ol_cpu_largest,
    .pick = ol_cpu_pick,
    .contributions_new = ol_cpu_contributions_new,
    .contributions_free = ol_cpu_contributions_free,
    .contributions_begin = ol_cpu_contributions_begin,
    .contributions_attention = ol_cpu_contributions_attention,
    .contributions_inputs = ol_cpu_contributions_inputs,
    .contributions_outputs = ol_cpu_contributions_outputs,
    .contributions_take = ol_cpu_contributions_take,
    .round_rows = ol_cpu_round_rows,
    .set_columns = ol_cpu_set_columns,
    .add_squares = ol_cpu_add_squares,
    .head_moments = ol_cpu_head_moments,
    .head_columns = ol_cpu_head_columns,
    .down_new = ol_cpu_down_new,
    .down_free = ol_cpu_down_free,
    .down_begin = ol_cpu_down_begin,
    .down_see = ol_cpu_down_see,
    .down_take = ol_cpu_down_take,
    .digest_begin = ol_cpu_digest_begin,
    .histogram_begin = ol_cpu_histogram_begin,
    .nll = ol_cpu_nll,
};

/* The processor's name as the kernel gives it; not every system has one there. */
static void describe(struct ol_cpu *cpu)
{
    char model[160] = "CPU";
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "model name : %159[^\n]", model) == 1)
            break;
    if (file != NULL)
        fclose(file);
    snprintf(cpu->device, sizeof cpu->device, "%s", model);
    cpu->base.device = cpu->device;
    const struct ol_gemm_bf16_kind *halves =
        cpu->base.dtype == OL_DTYPE_BF16 ? ol_gemm_bf16_kind() : NULL;
    cpu->base.processor = halves != NULL ? halves->name : ol_gemm_kind()->name;
}

struct ol_backend *ol_cpu_open(enum ol_dtype dtype, int n_threads, struct ol_error *err)
{
    assert(dtype == OL_DTYPE_BF16 || dtype == OL_DTYPE_F32);
    struct ol_pool *pool = ol_pool_new(n_threads, err);
    if (pool == NULL)
        return NULL;
    struct ol_cpu *cpu = ol_xcalloc(1, sizeof *cpu);
    cpu->base.op = &operations;
    cpu->base.dtype = dtype;
    cpu->pool = pool;
    cpu->scratch = ol_xcalloc((size_t)ol_pool_threads(pool), sizeof *cpu->scratch);
    describe(cpu);
    return &cpu->base;
}
