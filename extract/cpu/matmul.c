/* matmul: out = x weight^T + bias for several products at once.
 *
 * The tiles of all products form one list of tasks. Where the processor multiplies
 * bfloat16, a task does just this; elsewhere it multiplies floats, adds the bias, and
 * rounds once. Weights that are stored in another way are decoded first, once for as many
 * rows of x as a task has. An element of the result is summed in an order of its own,
 * whatever the tiles are. */
#include "extract/cpu/cpu.h"

#include <stdlib.h>

#include "extract/cpu/gemm.h"
#include "extract/cpu/gemm_bf16.h"
#include "extract/cpu/spread.h"

/* Of a tile. A product packs a block of columns once for its rows; a float one keeps its
 * sums near until they are rounded, and takes fewer rows where threads would be left
 * without. Weights that must be decoded first are decoded once for more rows. */
enum {
    TILE_ROWS = 1024,
    FEWER_ROWS = 512,
    TASKS_OF_THREAD = 8,
    TILE_COLS = OL_GEMM_COLUMNS,
    BF16_ROWS = 2048,
    DECODED_ROWS = 4 * BF16_ROWS,
};

struct job {
    struct ol_cpu *cpu;
    const struct ol_matmul *products;
    const struct ol_cpu_operand *operands; /* [n] */
    const int64_t *first; /* [n + 1]: number of the first task of each product */
    int n;
    int64_t f32_rows; /* of tiles of products in float */
};

static int64_t tiles(int64_t n, int64_t tile)
{
    return (n + tile - 1) / tile;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool ol_cpu_multiplies_bf16(const struct ol_matmul *p)
{
    /* Unrounded sums take no bias there. */
    return ol_gemm_bf16_kind() != NULL && p->x.dtype == OL_DTYPE_BF16 &&
           (p->out.dtype == OL_DTYPE_BF16 || p->bias.data == NULL);
}

bool ol_cpu_reads(const struct ol_weight *w, enum ol_dtype activations)
{
    return ol_weight_is_contiguous(w) &&
           (w->dtype == OL_DTYPE_BF16 ||
            (w->dtype == OL_DTYPE_F32 && activations == OL_DTYPE_F32));
}

static bool is_ready(const struct ol_matmul *p)
{
    return ol_cpu_reads(&p->weight, p->x.dtype);
}

/* Rows of x that a task takes. */
static int64_t tile_rows(const struct ol_matmul *p, int64_t f32_rows)
{
    return !is_ready(p) ? DECODED_ROWS : ol_cpu_multiplies_bf16(p) ? BF16_ROWS : f32_rows;
}

static int64_t tile_cols(const struct ol_matmul *p)
{
    return ol_cpu_multiplies_bf16(p) ? ol_gemm_bf16_columns(p->weight.n_cols) : TILE_COLS;
}

/* Rows of the weight that multiply the same columns of x. */
static int64_t group_rows(const struct ol_matmul *p)
{
    return p->weight.n_rows * p->weight.n_cols / p->x.n_cols;
}

static int64_t count_tiles(const struct ol_matmul *p, int64_t f32_rows)
{
    return tiles(p->x.n_rows, tile_rows(p, f32_rows)) * (p->x.n_cols / p->weight.n_cols) *
           tiles(group_rows(p), tile_cols(p));
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

/* What a task is: rows [first, end) of x and columns [col, col + n) of the result. */
struct tile {
    const struct ol_matmul *p;
    int64_t first, end, col, n;
    struct ol_cpu_operand x; /* from the first of the k columns on that it multiplies */
    int64_t k;
    const void *weight; /* [n, k] of weight_dtype */
    enum ol_dtype weight_dtype;
    const float *bias; /* [n] or NULL */
};

static const void *operand_row(const struct tile *t, int64_t row)
{
    return (const char *)t->x.data +
           (size_t)(row * t->x.distance) * ol_dtype_size(t->p->x.dtype);
}

static void multiply_bf16(const struct tile *t, void *scratch)
{
    const struct ol_matmul *p = t->p;
    const bool f32_out = p->out.dtype == OL_DTYPE_F32;
    for (int64_t row = t->first; row < t->end; row += BF16_ROWS) {
        const struct ol_gemm_bf16 g = {
            .m = least(BF16_ROWS, t->end - row),
            .n = t->n,
            .k = t->k,
            .a = operand_row(t, row),
            .lda = t->x.distance,
            .b = t->weight,
            .ldb = t->k,
            .bias = t->bias,
            .c = f32_out ? NULL : (uint16_t *)ol_cpu_row(p->out, row) + t->col,
            .sum = f32_out ? (float *)ol_cpu_row(p->out, row) + t->col : NULL,
            .ldc = p->out.n_cols,
            .scratch = scratch,
        };
        ol_gemm_bf16_run(&g);
    }
}

/* Sums [m, n] with the bias, rounded into rows of the result; in place where it is float.
 */
static void finish_rows(const struct tile *t, int64_t row, int64_t m, float *sums,
                        int64_t stride)
{
    for (int64_t i = 0; i < m; i++, sums += stride) {
        for (int64_t j = 0; t->bias != NULL && j < t->n; j++)
            sums[j] += t->bias[j];
        if (t->p->out.dtype != OL_DTYPE_F32)
            ol_from_f32(t->p->out.dtype, sums,
                        (uint16_t *)ol_cpu_row(t->p->out, row + i) + t->col,
                        (size_t)t->n);
    }
}

static void multiply_f32(const struct tile *t, float *scratch)
{
    const struct ol_matmul *p = t->p;
    const bool f32_out = p->out.dtype == OL_DTYPE_F32;
    for (int64_t row = t->first; row < t->end; row += TILE_ROWS) {
        const int64_t m = least(TILE_ROWS, t->end - row);
        const struct ol_gemm g = {
            .m = m,
            .n = t->n,
            .k = t->k,
            .a_dtype = p->x.dtype,
            .a = operand_row(t, row),
            .lda = t->x.distance,
            .b_dtype = t->weight_dtype,
            .b = t->weight,
            .ldb = t->k,
            .c = f32_out ? (float *)ol_cpu_row(p->out, row) + t->col
                         : scratch + ol_gemm_scratch(t->n, t->k),
            .ldc = f32_out ? p->out.n_cols : t->n,
            .scratch = scratch,
        };
        ol_gemm_run(&g);
        finish_rows(t, row, m, g.c, g.ldc);
    }
}

/* Floats of scratch that a tile's parts need, each a whole number of cache lines. */
struct room {
    size_t product, bias, weight, decoding;
};

static size_t whole_lines(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static struct room room_for(bool bf16, bool ready, enum ol_dtype dtype, int64_t n,
                            int64_t k)
{
    const int64_t rows = OL_DEQUANT_ROWS;
    return (struct room){
        .product = bf16 ? whole_lines(ol_gemm_bf16_scratch(n, k) / sizeof(float))
                        : ol_gemm_scratch(n, k) + TILE_ROWS * TILE_COLS,
        .bias = whole_lines((size_t)n),
        .weight = ready ? 0 : whole_lines((size_t)(n * k) * ol_dtype_size(dtype) / 4 + 1),
        .decoding = ready || dtype == OL_DTYPE_F32 ? 0 : (size_t)(rows * k),
    };
}

static void run_tile(struct ol_cpu *cpu, const struct ol_matmul *p,
                     const struct ol_cpu_operand *x, int64_t rows, int64_t i, int thread)
{
    /* Neighbouring tasks share rows of the weight: it is read from memory once. */
    const int64_t row_tiles = tiles(p->x.n_rows, rows), k = p->weight.n_cols,
                  col_tiles = tiles(group_rows(p), tile_cols(p)),
                  group = i / row_tiles / col_tiles;
    const int64_t first = i % row_tiles * rows;
    const int64_t own = i / row_tiles % col_tiles * tile_cols(p);
    const int64_t n = least(tile_cols(p), group_rows(p) - own),
                  col = group * group_rows(p) + own;
    const bool bf16 = ol_cpu_multiplies_bf16(p), ready = is_ready(p);
    const struct room room = room_for(bf16, ready, p->x.dtype, n, k);
    float *scratch = ol_cpu_scratch(
        cpu, thread, room.product + room.bias + room.weight + room.decoding);
    float *bias = scratch + room.product, *decoded = bias + room.bias;
    struct tile t = {p,
                     first,
                     least(first + rows, p->x.n_rows),
                     col,
                     n,
                     *x,
                     k,
                     .weight = decoded,
                     .weight_dtype = ready ? p->weight.dtype : p->x.dtype};
    t.x.data = (const char *)x->data + (size_t)(group * k) * ol_dtype_size(p->x.dtype);
    if (p->bias.data != NULL) {
        read_bias(&p->bias, p->x.dtype, col, n, bias);
        t.bias = bias;
    }
    if (ready)
        t.weight = (const char *)p->weight.data +
                   (size_t)(col * k) * ol_dtype_size(p->weight.dtype);
    else if (p->x.dtype == OL_DTYPE_BF16)
        ol_cpu_decode_bf16(&p->weight, col, n, (uint16_t *)(void *)decoded,
                           decoded + room.weight);
    else
        ol_cpu_decode(&p->weight, col, n, decoded);
    if (bf16)
        multiply_bf16(&t, scratch);
    else
        multiply_f32(&t, scratch);
}

static int64_t most_scratch(bool bf16, enum ol_dtype dtype, int64_t n, int64_t k)
{
    const struct room room = room_for(bf16, false, dtype, n, k);
    return (int64_t)((room.product + room.bias + room.weight + room.decoding) *
                     sizeof(float));
}

int64_t ol_cpu_matmul_scratch(enum ol_dtype dtype, int64_t k)
{
    const int64_t f32 = most_scratch(false, dtype, TILE_COLS, k);
    if (ol_gemm_bf16_kind() == NULL || dtype != OL_DTYPE_BF16)
        return f32;
    const int64_t bf16 = most_scratch(true, dtype, ol_gemm_bf16_columns(k), k);
    return bf16 > f32 ? bf16 : f32;
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
    const struct ol_matmul *p = &j->products[low];
    run_tile(j->cpu, p, &j->operands[low], tile_rows(p, j->f32_rows), i - j->first[low],
             thread);
}

static void count_tasks(struct job *j, int64_t f32_rows, int64_t *first)
{
    j->f32_rows = f32_rows;
    first[0] = 0;
    for (int i = 0; i < j->n; i++)
        first[i + 1] = first[i] + count_tiles(&j->products[i], f32_rows);
}

/* Products whose operands are where they are to be read. */
static void run(struct ol_cpu *cpu, const struct ol_matmul *products,
                const struct ol_cpu_operand *operands, int n, int64_t *first)
{
    struct job job = {cpu, products, operands, first, n, 0};
    count_tasks(&job, TILE_ROWS, first);
    if (first[n] < (int64_t)TASKS_OF_THREAD * ol_pool_threads(cpu->pool))
        count_tasks(&job, FEWER_ROWS, first);
    ol_pool_run(cpu->pool, first[n], task, &job);
}

int ol_cpu_matmul(struct ol_backend *b, const struct ol_matmul *products, int n,
                  struct ol_error *err)
{
    (void)err;
    struct ol_cpu *cpu = ol_cpu_of(b);
    int64_t *first = ol_xmalloc(((size_t)n + 1) * sizeof *first);
    struct ol_cpu_operand *operands = ol_xmalloc(((size_t)n + 1) * sizeof *operands);
    for (int at = 0, some; at < n; at += some) {
        some = ol_cpu_spread(cpu, products + at, n - at, operands);
        run(cpu, products + at, operands, some, first);
    }
    free(operands);
    free(first);
    return 0;
}
