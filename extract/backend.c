#include "extract/backend.h"

#include <assert.h>

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
