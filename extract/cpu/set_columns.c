/* set_columns: x[i][columns[j]] = round(values[j]). */
#include "extract/cpu/cpu.h"

#include <assert.h>

struct job {
    struct ol_tensor x;
    int k;
    const uint16_t *columns;
    const float *values;
};

static void set_rows(void *arg, int64_t first, int64_t end, int thread)
{
    (void)thread;
    const struct job *j = arg;
    const size_t size = ol_dtype_size(j->x.dtype);
    for (int64_t i = first; i < end; i++)
        for (int c = 0; c < j->k; c++)
            ol_from_f32(j->x.dtype, &j->values[c],
                        (char *)ol_cpu_row(j->x, i) + j->columns[c] * size, 1);
}

int ol_cpu_set_columns(struct ol_backend *b, struct ol_tensor x, int k,
                       const uint16_t *columns, const float *values, struct ol_error *err)
{
    (void)err;
    struct job job = {x, k, columns, values};
    for (int c = 0; c < k; c++)
        assert(columns[c] < x.n_cols);
    /* A value costs a line of memory. */
    ol_cpu_rows(ol_cpu_of(b), x.n_rows, 8 * (int64_t)k, set_rows, &job);
    return 0;
}
