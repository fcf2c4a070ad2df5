/* gather and scatter_add: rows to the experts and back. */
#include "extract/cpu/cpu.h"

#include <string.h>

struct job {
    struct ol_cpu *cpu;
    struct ol_tensor from, to;
    const int32_t *rows;
    const float *scales;
};

static void gather_rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->to.n_cols;
    const size_t bytes = (size_t)n * ol_dtype_size(j->to.dtype);
    if (j->scales == NULL) {
        for (int64_t i = first; i < end; i++)
            memcpy(ol_cpu_row(j->to, i), ol_cpu_row(j->from, j->rows[i]), bytes);
        return;
    }
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)n);
    for (int64_t i = first; i < end; i++) {
        ol_to_f32(j->from.dtype, ol_cpu_row(j->from, j->rows[i]), row, (size_t)n);
        for (int64_t c = 0; c < n; c++)
            row[c] *= j->scales[i];
        ol_from_f32(j->to.dtype, row, ol_cpu_row(j->to, i), (size_t)n);
    }
}

int ol_cpu_gather(struct ol_backend *b, struct ol_tensor x, const int32_t *rows,
                  const float *scales, struct ol_tensor out, struct ol_error *err)
{
    (void)err;
    struct job job = {ol_cpu_of(b), x, out, rows, scales};
    ol_cpu_rows(job.cpu, out.n_rows, out.n_cols, gather_rows, &job);
    return 0;
}

/* Rows are distinct within a piece, so no two tasks touch one row, and a row's sum grows
 * in the order of the pieces and calls. */
static void scatter_rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->from.n_cols;
    float *y = ol_cpu_scratch(j->cpu, thread, (size_t)n);
    for (int64_t i = first; i < end; i++) {
        ol_to_f32(j->from.dtype, ol_cpu_row(j->from, i), y, (size_t)n);
        float *sum = ol_cpu_row(j->to, j->rows[i]);
        const float scale = j->scales != NULL ? j->scales[i] : 1;
        for (int64_t c = 0; c < n; c++)
            sum[c] += scale * y[c];
    }
}

int ol_cpu_scatter_add(struct ol_backend *b, struct ol_tensor y, const int64_t *firsts,
                       int n_pieces, const int32_t *rows, const float *scales,
                       struct ol_tensor sum, struct ol_error *err)
{
    (void)err;
    for (int p = 0; p < n_pieces; p++) {
        const int64_t first = firsts[p], n = firsts[p + 1] - first;
        struct job job = {ol_cpu_of(b), ol_tensor_rows(y, first, n), sum, rows + first,
                          scales != NULL ? scales + first : NULL};
        ol_cpu_rows(job.cpu, n, y.n_cols, scatter_rows, &job);
    }
    return 0;
}
