/* matmul: out = x weight^T + bias for several products at once.
 *
 * The tiles of all products form one list of tasks; a tile's size depends on nothing but
 * the limits below, so the bytes of the result do not depend on the number of threads.
 * Where the processor multiplies bfloat16, a task does just this, and decodes weights
 * that are stored in another way; elsewhere it widens its rows of x and of the weight to
 * float, multiplies, adds the bias, and rounds once. Widening costs a few per cent of a
 * product at these sizes. */
#include "extract/cpu/cpu.h"

#include <stdlib.h>

#include "extract/cpu/gemm.h"
#include "extract/cpu/gemm_bf16.h"

/* Of a tile: float products pack both sides by themselves and want it square; a bfloat16
 * one packs a block of columns once for its rows, few enough that all threads have some.
 * Weights that must be decoded first are decoded once for more rows. */
enum {
    TILE_ROWS = 512,
    TILE_COLS = 256,
    BF16_ROWS = 2048,
    DECODED_ROWS = 4 * BF16_ROWS,
};

_Static_assert(OL_PRODUCT_ROWS % TILE_ROWS == 0 && OL_PRODUCT_ROWS % BF16_ROWS == 0,
               "cuts of x are cuts of tiles");

struct job {
    struct ol_cpu *cpu;
    const struct ol_matmul *products;
    const int64_t *first; /* [n + 1]: number of the first task of each product */
    int n;
};

static int64_t tiles(int64_t n, int64_t tile)
{
    return (n + tile - 1) / tile;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool is_bf16(const struct ol_matmul *p)
{
    /* Unrounded sums take no bias there. */
    return ol_gemm_bf16_available() && p->x.dtype == OL_DTYPE_BF16 &&
           (p->out.dtype == OL_DTYPE_BF16 || p->bias.data == NULL);
}

/* Whether the checkpoint's bytes are what a bfloat16 product reads. */
static bool is_ready(const struct ol_weight *w)
{
    return w->dtype == OL_DTYPE_BF16 && ol_weight_is_contiguous(w);
}

/* Rows of x that a bfloat16 task takes. */
static int64_t bf16_rows(const struct ol_matmul *p)
{
    return is_ready(&p->weight) ? BF16_ROWS : DECODED_ROWS;
}

static int64_t count_tiles(const struct ol_matmul *p)
{
    if (is_bf16(p))
        return tiles(p->x.n_rows, bf16_rows(p)) *
               tiles(p->weight.n_rows, ol_gemm_bf16_columns(p->x.n_cols));
    return tiles(p->x.n_rows, TILE_ROWS) * tiles(p->weight.n_rows, TILE_COLS);
}

/* Elements [col, col + n) of a bias, rounded to the type of activations. */
static void read_bias(const struct ol_weight *bias, enum ol_dtype dtype, int64_t col,
                      int64_t n, float *values)
{
    const size_t size = ol_dtype_size(bias->dtype);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = (col + i) * bias->col_step;
        ol_to_f32(bias->dtype, (const char *)bias->data + (size_t)at * size, &values[i],
                  1);
        values[i] = ol_cpu_round(dtype, values[i]);
    }
}

static void bf16_tile(struct ol_cpu *cpu, const struct ol_matmul *p, int64_t i,
                      int thread)
{
    /* Neighbouring tasks share rows of the weight: it is read from memory once. */
    const int64_t row_tiles = tiles(p->x.n_rows, bf16_rows(p));
    const int64_t k = p->x.n_cols, columns = ol_gemm_bf16_columns(k);
    const int64_t first = i % row_tiles * bf16_rows(p), col = i / row_tiles * columns;
    const int64_t end = least(first + bf16_rows(p), p->x.n_rows);
    const int64_t n = least(columns, p->weight.n_rows - col);
    const bool ready = is_ready(&p->weight), f32_out = p->out.dtype == OL_DTYPE_F32;
    const size_t packed = ol_gemm_bf16_scratch(n, k) / sizeof(float);
    const size_t decoded = ready ? 0 : (size_t)(n * k / 2 + 16);
    const size_t decoding = ready ? 0 : (size_t)(OL_CPU_DECODE_ROWS * k);
    float *scratch = ol_cpu_scratch(cpu, thread, packed + (size_t)n + decoded + decoding);
    float *bias = scratch + packed;
    uint16_t *own = (uint16_t *)(void *)(bias + n);
    if (p->bias.data != NULL)
        read_bias(&p->bias, p->x.dtype, col, n, bias);
    if (!ready)
        ol_cpu_decode_bf16(&p->weight, col, n, own, bias + n + decoded);
    for (int64_t row = first; row < end; row += BF16_ROWS) {
        const struct ol_gemm_bf16 g = {
            .m = least(BF16_ROWS, end - row),
            .n = n,
            .k = k,
            .a = ol_cpu_row(p->x, row),
            .lda = k,
            .b = ready ? (const uint16_t *)p->weight.data + col * k : own,
            .ldb = k,
            .bias = p->bias.data != NULL ? bias : NULL,
            .c = f32_out ? NULL : (uint16_t *)ol_cpu_row(p->out, row) + col,
            .sum = f32_out ? (float *)ol_cpu_row(p->out, row) + col : NULL,
            .ldc = p->out.n_cols,
            .scratch = scratch,
        };
        ol_gemm_bf16_run(&g);
    }
}

static void add_bias(const struct ol_weight *bias, enum ol_dtype dtype, int64_t col,
                     float *c, int64_t m, int64_t n, int64_t ldc)
{
    float values[TILE_COLS];
    read_bias(bias, dtype, col, n, values);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            c[i * ldc + j] += values[j];
}

static void tile(struct ol_cpu *cpu, const struct ol_matmul *p, int64_t i, int thread)
{
    const int64_t col_tiles = tiles(p->weight.n_rows, TILE_COLS);
    const int64_t row = i / col_tiles * TILE_ROWS, col = i % col_tiles * TILE_COLS;
    const int64_t m = least(TILE_ROWS, p->x.n_rows - row);
    const int64_t n = least(TILE_COLS, p->weight.n_rows - col);
    const int64_t k = p->x.n_cols;
    const bool f32 = p->x.dtype == OL_DTYPE_F32, f32_out = p->out.dtype == OL_DTYPE_F32;

    float *w = ol_cpu_scratch(cpu, thread, (size_t)(n * k + (f32 ? 0 : m * k + m * n)));
    ol_cpu_decode_rounded(&p->weight, p->x.dtype, col, n, w);
    struct ol_gemm g = {.m = m, .n = n, .k = k, .b = w, .ldb = k, .lda = k};
    float *a = w + n * k;
    if (f32)
        g.a = ol_cpu_row(p->x, row);
    else {
        ol_to_f32(p->x.dtype, ol_cpu_row(p->x, row), a, (size_t)(m * k));
        g.a = a;
    }
    g.c = f32_out ? (float *)ol_cpu_row(p->out, row) + col : a + m * k;
    g.ldc = f32_out ? p->out.n_cols : n;
    ol_gemm_run(&g);
    if (p->bias.data != NULL)
        add_bias(&p->bias, p->x.dtype, col, g.c, m, n, g.ldc);
    if (f32_out)
        return;
    for (int64_t r = 0; r < m; r++) {
        uint16_t *out = (uint16_t *)ol_cpu_row(p->out, row + r) + col;
        ol_from_f32(OL_DTYPE_BF16, g.c + r * n, out, (size_t)n);
    }
}

int64_t ol_cpu_matmul_scratch(int64_t k)
{
    const int64_t columns = ol_gemm_bf16_columns(k);
    const int64_t bf16 = (int64_t)ol_gemm_bf16_scratch(columns, k) +
                         columns * (k * (int64_t)sizeof(uint16_t) + 64) +
                         OL_CPU_DECODE_ROWS * k * (int64_t)sizeof(float);
    const int64_t wide =
        ((TILE_ROWS + TILE_COLS) * k + TILE_ROWS * TILE_COLS) * (int64_t)sizeof(float);
    return ol_gemm_bf16_available() && bf16 > wide ? bf16 : wide;
}

static void task(void *arg, int64_t i, int thread)
{
    const struct job *j = arg;
    int low = 0, high = j->n;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (j->first[middle] <= i)
            low = middle;
        else
            high = middle;
    }
    if (is_bf16(&j->products[low]))
        bf16_tile(j->cpu, &j->products[low], i - j->first[low], thread);
    else
        tile(j->cpu, &j->products[low], i - j->first[low], thread);
}

int ol_cpu_matmul(struct ol_backend *b, const struct ol_matmul *products, int n,
                  struct ol_error *err)
{
    (void)err;
    int64_t *first = ol_xmalloc(((size_t)n + 1) * sizeof *first);
    first[0] = 0;
    for (int i = 0; i < n; i++)
        first[i + 1] = first[i] + count_tiles(&products[i]);
    struct job job = {ol_cpu_of(b), products, first, n};
    ol_pool_run(job.cpu->pool, first[n], task, &job);
    free(first);
    return 0;
}
