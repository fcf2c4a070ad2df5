/* add_squares: a thread per column, whose sum grows row by row. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { THREADS = 128 };

template <typename T>
static __global__ void add_squares(const T *x, int64_t n_rows, int64_t n_cols,
                                   double *sums)
{
    const int64_t c = ol_thread_index();
    if (c >= n_cols)
        return;
    double sum = sums[c];
    for (int64_t i = 0; i < n_rows; i++) {
        const double value = (double)ol_value(x[i * n_cols + c]);
        sum += value * value;
    }
    sums[c] = sum;
}

template <typename T>
static int run(struct ol_cuda *cuda, struct ol_tensor x, double *sums,
               struct ol_error *err)
{
    return ol_launch(cuda, err, "add_squares", add_squares<T>,
                     dim3(ol_cuda_blocks(x.n_cols, THREADS)), dim3(THREADS), 0,
                     (const T *)x.data, x.n_rows, x.n_cols, sums);
}

int ol_cuda_add_squares(struct ol_backend *b, struct ol_tensor x, double *sums,
                        struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const size_t bytes = (size_t)x.n_cols * sizeof *sums;
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    double *so_far = (double *)ol_cuda_put(cuda, sums, bytes, err);
    if (so_far == NULL)
        return -1;
    const int status = x.dtype == OL_DTYPE_BF16
                           ? run<struct ol_bf16>(cuda, x, so_far, err)
                           : run<float>(cuda, x, so_far, err);
    return status == 0 ? ol_cuda_get(cuda, so_far, sums, bytes, err) : -1;
}
