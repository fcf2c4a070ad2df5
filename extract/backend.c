#include "extract/backend.h"

#include <assert.h>

struct ol_backend *ol_backend_open(enum ol_backend_kind kind, enum ol_dtype dtype,
                                   int n_threads, int device, int64_t memory,
                                   struct ol_error *err)
{
    const bool cuda =
        kind == OL_BACKEND_CUDA || (kind == OL_BACKEND_AUTO && ol_cuda_devices() > 0);
    return cuda ? ol_cuda_open(dtype, n_threads, device, memory, err)
                : ol_cpu_open(dtype, n_threads, err);
}

struct ol_tensor ol_tensor_rows(struct ol_tensor t, int64_t first, int64_t n)
{
    assert(first >= 0 && n >= 0 && first + n <= t.n_rows);
    t.data = (char *)t.data + (size_t)first * (size_t)t.n_cols * ol_dtype_size(t.dtype);
    t.n_rows = n;
    return t;
}

struct ol_tensor ol_tensor_split(struct ol_tensor t, int64_t n_cols)
{
    assert(t.n_cols % n_cols == 0);
    t.n_rows *= t.n_cols / n_cols;
    t.n_cols = n_cols;
    return t;
}

size_t ol_tensor_bytes(struct ol_tensor t)
{
    return (size_t)t.n_rows * (size_t)t.n_cols * ol_dtype_size(t.dtype);
}
