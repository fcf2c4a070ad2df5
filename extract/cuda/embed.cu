/* embed: rows of the table by token id, widened and rounded to the activation type. Only
 * the rows asked for are read: they are collected on the host. */
#include "extract/cuda/cuda.h"

/* A table whose rows lie one behind another, in any plain type: collected on the way. */
static int by_rows(struct ol_cuda *cuda, const int32_t *ids, const struct ol_weight *w,
                   struct ol_tensor out, struct ol_error *err)
{
    const size_t bytes = (size_t)w->n_cols * ol_dtype_size(w->dtype);
    const int64_t step = w->row_step * (int64_t)ol_dtype_size(w->dtype);
    /* Rows of a tile's size at a time, so that scratch does not grow with the text. */
    const int64_t most =
        cuda->unit / (int64_t)bytes > 0 ? cuda->unit / (int64_t)bytes : 1;
    char *memory = (char *)ol_cuda_scratch(
        cuda, (size_t)(most < out.n_rows ? most : out.n_rows) * bytes, err);
    if (memory == NULL)
        return -1;
    for (int64_t first = 0; first < out.n_rows; first += most) {
        const int64_t left = out.n_rows - first, n = left < most ? left : most;
        const struct ol_cuda_runs runs = {w->data, n, bytes, step, ids + first};
        struct ol_cuda_weight view = {};
        view.data = memory;
        view.encoding = OL_ENCODING_PLAIN;
        view.dtype = w->dtype;
        view.n_rows = n;
        view.n_cols = view.row_step = w->n_cols;
        view.col_step = 1;
        if (ol_cuda_send(cuda, memory, &runs, err) != 0 ||
            ol_cuda_decode(cuda, &view, out.dtype, out.dtype, ol_cuda_row(out, first),
                           err) != 0)
            return -1;
    }
    return 0;
}

/* Any other: row by row, with the rows that a word holds beside it. */
static int one_by_one(struct ol_cuda *cuda, const int32_t *ids, const struct ol_weight *w,
                      struct ol_tensor out, struct ol_error *err)
{
    const int64_t step = ol_cuda_weight_rows(w);
    const size_t size = ol_dtype_size(out.dtype);
    char *rows = (char *)ol_cuda_scratch(cuda, (size_t)(step * out.n_cols) * size, err);
    for (int64_t i = 0; rows != NULL && i < out.n_rows; i++) {
        struct ol_cuda_weight view;
        const int64_t first = ids[i] / step * step, inner = ids[i] - first;
        if (ol_cuda_stage_rows(cuda, w, first, step, &view, err) != 0 ||
            ol_cuda_decode(cuda, &view, out.dtype, out.dtype, rows, err) != 0 ||
            ol_cuda_check(cudaMemcpyAsync(ol_cuda_row(out, i),
                                          rows + (size_t)(inner * out.n_cols) * size,
                                          (size_t)out.n_cols * size,
                                          cudaMemcpyDeviceToDevice, cuda->stream),
                          "embed", err) != 0)
            return -1;
    }
    return rows != NULL ? 0 : -1;
}

int ol_cuda_embed(struct ol_backend *b, const int32_t *ids, struct ol_weight table,
                  struct ol_tensor out, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    if (table.encoding == OL_ENCODING_PLAIN && table.col_step == 1)
        return by_rows(cuda, ids, &table, out, err);
    return one_by_one(cuda, ids, &table, out, err);
}
