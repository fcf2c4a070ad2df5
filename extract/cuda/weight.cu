/* What rows of a weight are made of: they are cut out of what the checkpoint holds, as
 * stored, without the gaps between them, and lie one behind another on the device:
 *
 *     [ data | scales | zeros | groups ]     each at a multiple of OL_CUDA_ALIGNMENT
 *
 * How they come there beside the computing is told in arrivals.cu. */
#include "extract/cuda/tile.h"

enum { WORD_ROWS = 8 };

/* ---- pieces ---- */

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static const char *at(const void *data, int64_t bytes)
{
    return (const char *)data + bytes;
}

static struct ol_cuda_runs runs(const void *data, int64_t first, int64_t n, int64_t bytes,
                                int64_t stride)
{
    const struct ol_cuda_runs r = {at(data, first), n, (size_t)bytes, stride, NULL};
    return r;
}

/* Along rows, or along columns when these are what follows each other in memory. */
static void plain_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                         struct ol_cuda_pieces *p)
{
    const int64_t size = (int64_t)ol_dtype_size(w->dtype);
    const int64_t first = row * w->row_step * size;
    if (w->row_step >= w->col_step) {
        const int64_t span = (w->n_cols - 1) * w->col_step + 1;
        p->runs[0] = runs(w->data, first, n, span * size, w->row_step * size);
        p->view.row_step = span;
        p->view.col_step = w->col_step;
    } else {
        const int64_t span = (n - 1) * w->row_step + 1;
        p->runs[0] = runs(w->data, first, w->n_cols, span * size, w->col_step * size);
        p->view.row_step = w->row_step;
        p->view.col_step = span;
    }
}

static void fp8_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                       struct ol_cuda_pieces *p)
{
    const int64_t size = (int64_t)ol_dtype_size(w->dtype);
    const int64_t block = row / w->block_rows;
    const int64_t blocks = (row + n - 1) / w->block_rows - block + 1;
    p->view.n_groups = ceil_div(w->n_cols, w->block_cols);
    p->view.first_row = row % w->block_rows;
    p->runs[0] = runs(w->data, row * w->n_cols, 1, n * w->n_cols, 0);
    p->runs[1] = runs(w->scales, block * p->view.n_groups * size, 1,
                      blocks * p->view.n_groups * size, 0);
}

static void fp4_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                       struct ol_cuda_pieces *p)
{
    const int64_t codes = w->row_step / 2, scales = w->row_step / w->block_cols;
    p->view.n_groups = w->n_cols / w->block_cols;
    p->runs[0] = runs(w->data, row * codes, n, w->n_cols / 2, codes);
    p->runs[1] = runs(w->scales, row * scales, n, p->view.n_groups, scales);
}

static void int4_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                        struct ol_cuda_pieces *p)
{
    const int64_t size = (int64_t)ol_dtype_size(w->dtype), word = sizeof(uint32_t);
    const int64_t words = ceil_div(w->n_cols, WORD_ROWS);
    const int64_t groups = ceil_div(w->n_cols, w->block_cols);
    p->view.n_groups = groups;
    p->view.first_row = row % WORD_ROWS;
    p->runs[0] = runs(w->data, row * words * word, 1, n * words * word, 0);
    p->runs[1] = runs(w->scales, row * groups * size, 1, n * groups * size, 0);
    if (w->zeros != NULL) {
        const int64_t first = row / WORD_ROWS, last = (row + n - 1) / WORD_ROWS;
        p->runs[2] = runs(w->zeros, first * groups * word, 1,
                          (last - first + 1) * groups * word, 0);
    }
}

/* GPTQ and AWQ: rows lie beside each other, eight to a word of zero points. */
static void column_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                          struct ol_cuda_pieces *p)
{
    const int64_t size = (int64_t)ol_dtype_size(w->dtype), word = sizeof(uint32_t);
    const int64_t groups = ceil_div(w->n_cols, w->block_cols);
    const int64_t first = row / WORD_ROWS * word, some = n / WORD_ROWS * word;
    const int64_t all = w->n_rows / WORD_ROWS * word;
    p->view.n_groups = groups;
    if (w->encoding == OL_ENCODING_AWQ)
        p->runs[0] = runs(w->data, first, w->n_cols, some, all);
    else
        p->runs[0] = runs(w->data, row * word, ceil_div(w->n_cols, WORD_ROWS), n * word,
                          w->n_rows * word);
    p->runs[1] = runs(w->scales, row * size, groups, n * size, w->n_rows * size);
    p->runs[2] = runs(w->zeros, first, groups, some, all);
}

void ol_cuda_find_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                         struct ol_cuda_pieces *p)
{
    memset(p, 0, sizeof *p);
    p->view.encoding = w->encoding;
    p->view.dtype = w->dtype;
    p->view.rounds = w->rounds;
    p->view.zero_offset = w->zero_offset;
    p->view.factor = w->factor;
    p->view.divides = w->divides;
    p->view.n_rows = n;
    p->view.n_cols = w->n_cols;
    p->view.block_rows = w->block_rows;
    p->view.block_cols = w->block_cols;
    switch (w->encoding) {
    case OL_ENCODING_PLAIN:
        plain_pieces(w, row, n, p);
        break;
    case OL_ENCODING_FP8:
        fp8_pieces(w, row, n, p);
        break;
    case OL_ENCODING_MXFP4:
    case OL_ENCODING_NVFP4:
        fp4_pieces(w, row, n, p);
        break;
    case OL_ENCODING_INT4:
        int4_pieces(w, row, n, p);
        break;
    case OL_ENCODING_GPTQ:
    case OL_ENCODING_AWQ:
        column_pieces(w, row, n, p);
        break;
    }
    if (w->groups != NULL)
        p->runs[3] = runs(w->groups, 0, 1, w->n_cols * (int64_t)sizeof(int32_t), 0);
}

static size_t total_of(const struct ol_cuda_pieces *p)
{
    size_t bytes = 0;
    for (int i = 0; i < OL_CUDA_PIECES; i++)
        bytes += ol_cuda_runs_bytes(&p->runs[i]);
    return bytes;
}

size_t ol_cuda_room_for(const struct ol_cuda_pieces *p)
{
    return (total_of(p) + OL_CUDA_PIECES * OL_CUDA_ALIGNMENT) / OL_CUDA_ALIGNMENT *
           OL_CUDA_ALIGNMENT;
}

static void set_pointer(struct ol_cuda_weight *view, int piece, const void *memory)
{
    const void **pointers[OL_CUDA_PIECES] = {&view->data, &view->scales, &view->zeros,
                                             &view->groups};
    *pointers[piece] = memory;
}

/* ---- tiles ---- */

int64_t ol_cuda_weight_rows(const struct ol_weight *w)
{
    return w->encoding == OL_ENCODING_GPTQ || w->encoding == OL_ENCODING_AWQ ? WORD_ROWS
                                                                             : 1;
}

static bool fits(const struct ol_cuda *cuda, const struct ol_weight *w, int64_t n,
                 size_t size)
{
    struct ol_cuda_pieces p;
    ol_cuda_find_pieces(w, 0, n, &p);
    return (int64_t)total_of(&p) <= cuda->unit &&
           n * w->n_cols * (int64_t)size <= cuda->unit;
}

int64_t ol_cuda_tile_rows(const struct ol_cuda *cuda, const struct ol_weight *w,
                          size_t size, struct ol_error *err)
{
    const int64_t step = ol_cuda_weight_rows(w);
    if (fits(cuda, w, w->n_rows, size))
        return w->n_rows;
    /* The largest power of two of rows. */
    int64_t n = step;
    if (!fits(cuda, w, n, size))
        return ol_fail(err, "CUDA: %lld rows of %lld weights do not fit into %lld bytes",
                       (long long)n, (long long)w->n_cols, (long long)cuda->unit);
    while (2 * n < w->n_rows && fits(cuda, w, 2 * n, size))
        n *= 2;
    /* An FP8 block that a tile begins in the middle of costs nothing. */
    return n;
}

/* ---- to the device ---- */

int ol_cuda_send_pieces(struct ol_cuda *cuda, cudaStream_t stream,
                        const struct ol_cuda_pieces *p, char *memory,
                        struct ol_cuda_weight *view, struct ol_error *err)
{
    size_t end = 0;
    *view = p->view;
    for (int i = 0; i < OL_CUDA_PIECES; i++) {
        const size_t at = ol_cuda_place_after(end), n = ol_cuda_runs_bytes(&p->runs[i]);
        if (n == 0)
            continue;
        if (ol_cuda_send(cuda, stream, memory + at, &p->runs[i], err) != 0)
            return -1;
        set_pointer(view, i, memory + at);
        end = at + n;
    }
    return 0;
}

int ol_cuda_put_rows(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                     int64_t n, struct ol_cuda_weight *view, struct ol_error *err)
{
    struct ol_cuda_pieces p;
    ol_cuda_find_pieces(w, row, n, &p);
    char *memory = (char *)ol_cuda_scratch(cuda, ol_cuda_room_for(&p), err);
    if (memory == NULL)
        return -1;
    return ol_cuda_send_pieces(cuda, cuda->stream, &p, memory, view, err);
}

float *ol_cuda_values(struct ol_cuda *cuda, const struct ol_weight *w,
                      enum ol_dtype rounding, struct ol_error *err)
{
    struct ol_cuda_weight view;
    float *values = (float *)ol_cuda_scratch(
        cuda, (size_t)(w->n_rows * w->n_cols) * sizeof *values, err);
    if (values == NULL || ol_cuda_put_rows(cuda, w, 0, w->n_rows, &view, err) != 0 ||
        ol_cuda_decode(cuda, &view, rounding, OL_DTYPE_F32, values, err) != 0)
        return NULL;
    return values;
}
