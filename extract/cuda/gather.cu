/* gather and scatter_add: rows to the experts and back. Rows are distinct within a piece
 * of scatter_add, so no two threads touch one value, and a row's sum grows in the order
 * of the pieces: no atomics, the same bytes every time. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/pack.h"

enum { THREADS = OL_PACK_THREADS };

template <typename T, int V>
static __global__ void gather(const T *x, const int *rows, const float *scales, T *out,
                              int64_t per_row, int64_t n_packs)
{
    const int64_t i = ol_thread_index();
    if (i >= n_packs)
        return;
    const int64_t row = ol_divide(i, per_row), pack = i - row * per_row;
    struct ol_pack<T, V> p = ol_load_pack<T, V>(x, (rows[row] * per_row + pack) * V);
    if (scales != nullptr)
        for (int c = 0; c < V; c++)
            p.v[c] = ol_rounded<T>(ol_value(p.v[c]) * scales[row]);
    ol_store_pack<T, V>(out, i * V, p);
}

template <typename T, int V>
static __global__ void scatter_add(const T *y, const int *rows, const float *scales,
                                   float *sum, int64_t per_row, int64_t n_packs)
{
    const int64_t i = ol_thread_index();
    if (i >= n_packs)
        return;
    const int64_t row = ol_divide(i, per_row), pack = i - row * per_row;
    const int64_t at = (rows[row] * per_row + pack) * V;
    const float scale = scales != nullptr ? scales[row] : 1;
    const struct ol_pack<T, V> p = ol_load_pack<T, V>(y, i * V);
    struct ol_pack<float, V> s = ol_load_pack<float, V>(sum, at);
    for (int c = 0; c < V; c++)
        s.v[c] += scale * ol_value(p.v[c]);
    ol_store_pack<float, V>(sum, at, s);
}

/* rows [n] and scales [n], or NULL, on the device. */
static int put(struct ol_cuda *cuda, const int32_t *rows, const float *scales, int64_t n,
               const int **device_rows, const float **device_scales, struct ol_error *err)
{
    const struct ol_cuda_put_part parts[] = {
        {rows, (size_t)n * sizeof *rows, (const void **)device_rows},
        {scales, (size_t)n * sizeof *scales, (const void **)device_scales},
    };
    return ol_cuda_put_parts(cuda, parts, sizeof parts / sizeof parts[0], err);
}

template <typename T, int V>
static int run_gather(struct ol_cuda *cuda, struct ol_tensor x, const int *rows,
                      const float *scales, struct ol_tensor out, struct ol_error *err)
{
    const int64_t n = out.n_rows * out.n_cols / V;
    return ol_launch(cuda, err, "gather", gather<T, V>, dim3(ol_cuda_blocks(n, THREADS)),
                     dim3(THREADS), 0, (const T *)x.data, rows, scales, (T *)out.data,
                     out.n_cols / V, n);
}

int ol_cuda_gather(struct ol_backend *b, struct ol_tensor x, const int32_t *rows,
                   const float *scales, struct ol_tensor out, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const int *device_rows;
    const float *device_scales;
    if (ol_cuda_enter(cuda, err) != 0 ||
        put(cuda, rows, scales, out.n_rows, &device_rows, &device_scales, err) != 0)
        return -1;
    return OL_BY_PACK(x.dtype, x.n_cols, run_gather, cuda, x, device_rows, device_scales,
                      out, err);
}

template <typename T, int V>
static int run_scatter(struct ol_cuda *cuda, struct ol_tensor y, const int *rows,
                       const float *scales, struct ol_tensor sum, struct ol_error *err)
{
    const int64_t n = y.n_rows * y.n_cols / V;
    return ol_launch(cuda, err, "scatter_add", scatter_add<T, V>,
                     dim3(ol_cuda_blocks(n, THREADS)), dim3(THREADS), 0,
                     (const T *)y.data, rows, scales, (float *)sum.data, y.n_cols / V, n);
}

int ol_cuda_scatter_add(struct ol_backend *b, struct ol_tensor y, const int64_t *firsts,
                        int n_pieces, const int32_t *rows, const float *scales,
                        struct ol_tensor sum, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const int *device_rows;
    const float *device_scales;
    if (ol_cuda_enter(cuda, err) != 0 ||
        put(cuda, rows, scales, y.n_rows, &device_rows, &device_scales, err) != 0)
        return -1;
    for (int p = 0; p < n_pieces; p++) {
        const int64_t first = firsts[p], n = firsts[p + 1] - first;
        const float *const piece = device_scales != NULL ? device_scales + first : NULL;
        if (OL_BY_PACK(y.dtype, y.n_cols, run_scatter, cuda, ol_tensor_rows(y, first, n),
                       device_rows + first, piece, sum, err) != 0)
            return -1;
    }
    return 0;
}
