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
static int run(struct ol_cuda *cuda, struct ol_tensor x, struct ol_tensor sums,
               struct ol_error *err)
{
    return ol_launch(cuda, err, "add_squares", add_squares<T>,
                     dim3(ol_cuda_blocks(x.n_cols, THREADS)), dim3(THREADS), 0,
                     (const T *)x.data, x.n_rows, x.n_cols, (double *)sums.data);
}

int ol_cuda_add_squares(struct ol_backend *b, struct ol_tensor x, struct ol_tensor sums,
                        struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    assert(sums.dtype == OL_DTYPE_F64 && sums.n_cols == x.n_cols);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return x.dtype == OL_DTYPE_BF16 ? run<struct ol_bf16>(cuda, x, sums, err)
                                    : run<float>(cuda, x, sums, err);
}
