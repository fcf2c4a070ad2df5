/* add_squares: threads share out the columns, so that each sum grows row by row. */
#include "extract/cpu/cpu.h"

#include <assert.h>

enum { COLUMNS = 256 };

struct job {
    struct ol_tensor x;
    double *sums;
};

static void add_columns(void *arg, int64_t task, int thread)
{
    (void)thread;
    const struct job *j = arg;
    const int64_t first = task * COLUMNS, left = j->x.n_cols - first;
    const int64_t n = left < COLUMNS ? left : COLUMNS;
    const size_t size = ol_dtype_size(j->x.dtype);
    double *sums = j->sums + first;
    float row[COLUMNS];
    for (int64_t i = 0; i < j->x.n_rows; i++) {
        ol_to_f32(j->x.dtype, (const char *)ol_cpu_row(j->x, i) + (size_t)first * size,
                  row, (size_t)n);
        for (int64_t c = 0; c < n; c++)
            sums[c] += (double)row[c] * (double)row[c];
    }
}

int ol_cpu_add_squares(struct ol_backend *b, struct ol_tensor x, struct ol_tensor sums,
                       struct ol_error *err)
{
    (void)err;
    struct job job = {x, sums.data};
    assert(sums.dtype == OL_DTYPE_F64 && sums.n_cols == x.n_cols);
    ol_pool_run(ol_cpu_of(b)->pool, (x.n_cols + COLUMNS - 1) / COLUMNS, add_columns,
                &job);
    return 0;
}
