/* set_columns: x[i][columns[j]] = round(values[j]). A thread per value. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

#include <assert.h>

enum { THREADS = 256 };

template <typename T>
static __global__ void set_columns(T *x, int64_t n_cols, int k, const uint16_t *columns,
                                   const float *values, int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i < n)
        x[i / k * n_cols + columns[i % k]] = ol_rounded<T>(values[i % k]);
}

template <typename T>
static int run(struct ol_cuda *cuda, struct ol_tensor x, int k, const uint16_t *columns,
               const float *values, struct ol_error *err)
{
    const int64_t n = x.n_rows * k;
    return ol_launch(cuda, err, "set_columns", set_columns<T>,
                     dim3(ol_cuda_blocks(n, THREADS)), dim3(THREADS), 0, (T *)x.data,
                     x.n_cols, k, columns, values, n);
}

int ol_cuda_set_columns(struct ol_backend *b, struct ol_tensor x, int k,
                        const uint16_t *columns, const float *values,
                        struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    for (int c = 0; c < k; c++)
        assert(columns[c] < x.n_cols);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    const uint16_t *where =
        (const uint16_t *)ol_cuda_put(cuda, columns, (size_t)k * sizeof *columns, err);
    const float *what =
        where != NULL
            ? (const float *)ol_cuda_put(cuda, values, (size_t)k * sizeof *values, err)
            : NULL;
    if (what == NULL)
        return -1;
    return x.dtype == OL_DTYPE_BF16 ? run<struct ol_bf16>(cuda, x, k, where, what, err)
                                    : run<float>(cuda, x, k, where, what, err);
}
