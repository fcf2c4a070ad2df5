/* What rows of a weight are made of: they are cut out of what the checkpoint holds, as
 * stored, without the gaps between them, and lie one behind another on the device:
 *
 *     [ data | scales | zeros | groups ]     each at a multiple of OL_CUDA_ALIGNMENT
 *
 * How they come there beside the computing is told in arrivals.cu. */
#include "extract/cuda/tile.h"

void ol_cuda_find_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                         struct ol_cuda_pieces *p)
{
    struct ol_weight_cut cut;
    ol_dequant_cut(w, row, n, &cut);
    memset(p, 0, sizeof *p);
    p->view.encoding = w->encoding;
    p->view.dtype = w->dtype;
    p->view.scale_dtype = w->scale_dtype;
    p->view.rounds = w->rounds;
    p->view.bits = w->bits;
    p->view.zero_offset = w->zero_offset;
    p->view.factor = w->factor;
    p->view.divides = w->divides;
    p->view.n_rows = n;
    p->view.n_cols = w->n_cols;
    p->view.row_step = cut.row_step;
    p->view.col_step = cut.col_step;
    p->view.block_rows = w->block_rows;
    p->view.block_cols = w->block_cols;
    p->view.n_groups = cut.n_groups;
    p->view.first_row = cut.first_row;
    p->view.turned = cut.turned;
    for (int i = 0; i < OL_CUDA_PIECES; i++) {
        const struct ol_weight_run *run = &cut.runs[i];
        p->runs[i] = {run->src, run->n, run->bytes, run->stride, NULL};
    }
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
    size_t end = 0;
    for (int i = 0; i < OL_CUDA_PIECES; i++)
        end = ol_cuda_place_after(end + ol_cuda_runs_bytes(&p->runs[i]));
    return end;
}

size_t ol_cuda_lay_out(const struct ol_cuda_pieces *p, void *memory,
                       struct ol_cuda_weight *view)
{
    const void **places[OL_CUDA_PIECES] = {&view->data, &view->scales, &view->zeros,
                                           &view->groups};
    size_t end = 0;
    *view = p->view;
    for (int i = 0; i < OL_CUDA_PIECES; i++) {
        const size_t bytes = ol_cuda_runs_bytes(&p->runs[i]);
        if (bytes == 0)
            continue;
        *places[i] = (char *)memory + ol_cuda_place_after(end);
        end = ol_cuda_place_after(end) + bytes;
    }
    return end;
}

/* ---- names ---- */

struct ol_cuda_tile_name ol_cuda_name_of(const struct ol_weight *w, int64_t row,
                                         int64_t n)
{
    const void *const parts[OL_CUDA_PIECES] = {w->data, w->scales, w->zeros, w->groups};
    struct ol_cuda_tile_name name = {{},          w->encoding, w->dtype, w->n_cols,
                                     w->row_step, w->col_step, row,      n};
    for (int i = 0; i < OL_CUDA_PIECES; i++)
        name.parts[i] = ol_mapping_place(parts[i]);
    return name;
}

bool ol_cuda_is_same(const struct ol_cuda_tile_name *a, const struct ol_cuda_tile_name *b)
{
    for (int i = 0; i < OL_CUDA_PIECES; i++)
        if (a->parts[i].file != b->parts[i].file ||
            a->parts[i].offset != b->parts[i].offset)
            return false;
    return a->row == b->row && a->n == b->n && a->encoding == b->encoding &&
           a->dtype == b->dtype && a->n_cols == b->n_cols && a->row_step == b->row_step &&
           a->col_step == b->col_step;
}

unsigned ol_cuda_bucket_of(const struct ol_cuda_tile_name *name, int bits)
{
    const struct ol_place *data = &name->parts[0];
    const uint64_t place =
        data->file * 0xd6e8feb86659fd93u + data->offset + (uint64_t)name->row;
    return (unsigned)(place * 0x9e3779b97f4a7c15u >> (64 - bits));
}

/* ---- tiles ---- */

int64_t ol_cuda_weight_rows(const struct ol_weight *w)
{
    return ol_dequant_row_multiple(w);
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

/* ---- by cuda->stream ---- */

int ol_cuda_put_rows(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                     int64_t n, struct ol_cuda_weight *view, struct ol_error *err)
{
    struct ol_cuda_pieces p;
    ol_cuda_find_pieces(w, row, n, &p);
    char *memory = (char *)ol_cuda_scratch(cuda, ol_cuda_room_for(&p), err);
    if (memory == NULL)
        return -1;
    ol_cuda_lay_out(&p, memory, view);
    for (size_t i = 0, end = 0; i < OL_CUDA_PIECES; i++) {
        if (ol_cuda_runs_bytes(&p.runs[i]) == 0)
            continue;
        char *to = memory + ol_cuda_place_after(end);
        if (ol_cuda_send(cuda, to, &p.runs[i], err) != 0)
            return -1;
        end = (size_t)(to - memory) + ol_cuda_runs_bytes(&p.runs[i]);
    }
    return 0;
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
