/* matmul: out = x weight^T + bias for several products at once.
 *
 * The tiles of all products form one list of tasks; a tile's size depends on nothing but
 * the limits below, so the bytes of the result do not depend on the number of threads. A
 * task widens its rows of x and of the weight to float, multiplies, adds the bias, and
 * rounds once. Widening costs a few per cent of a product at these sizes. */
#include "extract/cpu/cpu.h"

#include <stdlib.h>

#include "extract/cpu/gemm.h"

enum { TILE_ROWS = 512, TILE_COLS = 256 };

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

static void add_bias(const struct ol_weight *bias, int64_t col, float *c, int64_t m,
                     int64_t n, int64_t ldc)
{
    float values[TILE_COLS];
    const size_t size = ol_dtype_size(bias->dtype);
    ol_to_f32(bias->dtype, (const char *)bias->data + (size_t)col * size, values,
              (size_t)n);
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
    const bool f32 = p->x.dtype == OL_DTYPE_F32;

    float *w = ol_cpu_scratch(cpu, thread, (size_t)(n * k + (f32 ? 0 : m * k + m * n)));
    ol_cpu_decode(&p->weight, col, n, w);
    struct ol_gemm g = {.m = m, .n = n, .k = k, .b = w, .ldb = k, .lda = k};
    if (f32) {
        g.a = ol_cpu_row(p->x, row);
        g.c = (float *)ol_cpu_row(p->out, row) + col;
        g.ldc = p->out.n_cols;
    } else {
        float *a = w + n * k;
        ol_to_f32(p->x.dtype, ol_cpu_row(p->x, row), a, (size_t)(m * k));
        g.a = a;
        g.c = a + m * k;
        g.ldc = n;
    }
    ol_gemm_run(&g);
    if (p->bias.data != NULL)
        add_bias(&p->bias, col, g.c, m, n, g.ldc);
    if (f32)
        return;
    for (int64_t r = 0; r < m; r++) {
        uint16_t *out = (uint16_t *)ol_cpu_row(p->out, row + r) + col;
        ol_from_f32(OL_DTYPE_BF16, g.c + r * n, out, (size_t)n);
    }
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
    tile(j->cpu, &j->products[low], i - j->first[low], thread);
}

int ol_cpu_matmul(struct ol_backend *b, const struct ol_matmul *products, int n,
                  struct ol_error *err)
{
    (void)err;
    int64_t *first = ol_xmalloc(((size_t)n + 1) * sizeof *first);
    first[0] = 0;
    for (int i = 0; i < n; i++)
        first[i + 1] = first[i] + tiles(products[i].x.n_rows, TILE_ROWS) *
                                      tiles(products[i].weight.n_rows, TILE_COLS);
    struct job job = {ol_cpu_of(b), products, first, n};
    ol_pool_run(job.cpu->pool, first[n], task, &job);
    free(first);
    return 0;
}
