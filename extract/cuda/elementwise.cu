/* clip, add, add_sum, scale_rows and copy_columns: one pass over the values. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/pack.h"

enum { THREADS = OL_PACK_THREADS };

static dim3 grid_of(int64_t n)
{
    return dim3(ol_cuda_blocks(n, THREADS));
}

static int64_t count(struct ol_tensor t)
{
    return t.n_rows * t.n_cols;
}

/* ---- clip: x = clamp(x, -limit, limit); NaN stays ---- */

template <typename T, int V>
static __global__ void clip(T *x, float limit, int64_t n_packs)
{
    const int64_t i = ol_thread_index();
    if (i >= n_packs)
        return;
    /* The reference clamps to the limit in the activation type. */
    const float most = ol_round_as<T>(limit);
    struct ol_pack<T, V> p = ol_load_pack<T, V>(x, i * V);
    for (int c = 0; c < V; c++) {
        const float value = ol_value(p.v[c]);
        p.v[c] = ol_rounded<T>(value > most ? most : value < -most ? -most : value);
    }
    ol_store_pack<T, V>(x, i * V, p);
}

template <typename T, int V>
static int run_clip(struct ol_cuda *cuda, struct ol_tensor x, double limit,
                    struct ol_error *err)
{
    const int64_t n = count(x) / V;
    return ol_launch(cuda, err, "clip", clip<T, V>, grid_of(n), dim3(THREADS), 0,
                     (T *)x.data, (float)limit, n);
}

int ol_cuda_clip(struct ol_backend *b, struct ol_tensor x, double limit,
                 struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return OL_BY_PACK(x.dtype, x.n_cols, run_clip, cuda, x, limit, err);
}

/* ---- add: x = round(x + round(y)); a y that is an activation is round already ---- */

template <typename T, typename Y, int V>
static __global__ void add(T *x, const Y *y, int64_t n_packs)
{
    const int64_t i = ol_thread_index();
    if (i >= n_packs)
        return;
    struct ol_pack<T, V> p = ol_load_pack<T, V>(x, i * V);
    const struct ol_pack<Y, V> q = ol_load_pack<Y, V>(y, i * V);
    for (int c = 0; c < V; c++)
        p.v[c] = ol_rounded<T>(ol_value(p.v[c]) + ol_round_as<T>(ol_value(q.v[c])));
    ol_store_pack<T, V>(x, i * V, p);
}

template <typename T, int V>
static int run_add(struct ol_cuda *cuda, struct ol_tensor x, struct ol_tensor y,
                   struct ol_error *err)
{
    const int64_t n = count(x) / V;
    T *const to = (T *)x.data;
    if (y.dtype == OL_DTYPE_F32)
        return ol_launch(cuda, err, "add", add<T, float, V>, grid_of(n), dim3(THREADS), 0,
                         to, (const float *)y.data, n);
    return ol_launch(cuda, err, "add", add<T, struct ol_bf16, V>, grid_of(n),
                     dim3(THREADS), 0, to, (const struct ol_bf16 *)y.data, n);
}

int ol_cuda_add(struct ol_backend *b, struct ol_tensor x, struct ol_tensor y,
                struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return OL_BY_PACK(x.dtype, x.n_cols, run_add, cuda, x, y, err);
}

int ol_cuda_add_sum(struct ol_backend *b, struct ol_tensor x, struct ol_tensor sum,
                    struct ol_error *err)
{
    return ol_cuda_add(b, x, sum, err);
}

/* ---- scale_rows: x[i] = round(scales[i] x[i]) ---- */

template <typename T, int V>
static __global__ void scale(T *x, const float *scales, int64_t per_row, int64_t n_packs)
{
    const int64_t i = ol_thread_index();
    if (i >= n_packs)
        return;
    const float by = scales[ol_divide(i, per_row)];
    struct ol_pack<T, V> p = ol_load_pack<T, V>(x, i * V);
    for (int c = 0; c < V; c++)
        p.v[c] = ol_rounded<T>(ol_value(p.v[c]) * by);
    ol_store_pack<T, V>(x, i * V, p);
}

template <typename T, int V>
static int run_scale(struct ol_cuda *cuda, struct ol_tensor x, const float *scales,
                     struct ol_error *err)
{
    const int64_t n = count(x) / V;
    return ol_launch(cuda, err, "scale_rows", scale<T, V>, grid_of(n), dim3(THREADS), 0,
                     (T *)x.data, scales, x.n_cols / V, n);
}

int ol_cuda_scale_rows(struct ol_backend *b, struct ol_tensor x, const float *scales,
                       struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    const float *s =
        (const float *)ol_cuda_put(cuda, scales, (size_t)x.n_rows * sizeof *scales, err);
    if (s == NULL)
        return -1;
    return OL_BY_PACK(x.dtype, x.n_cols, run_scale, cuda, x, s, err);
}

/* ---- copy_columns ---- */

/* Where the pieces of a row are, in values. */
struct places {
    int64_t n_cols, first, step;
};

template <typename T>
static __global__ void copy_pieces(const T *from, T *to, struct places source,
                                   struct places target, int64_t width, int64_t pieces,
                                   int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i >= n)
        return;
    const int64_t place = ol_divide(i, width), row = ol_divide(place, pieces);
    const int64_t inner = i - place * width, piece = place - row * pieces;
    to[row * target.n_cols + target.first + piece * target.step + inner] =
        from[row * source.n_cols + source.first + piece * source.step + inner];
}

template <typename T>
static int run_copy(struct ol_cuda *cuda, struct ol_columns from, struct ol_columns to,
                    int64_t width, int n, struct ol_error *err)
{
    const struct places source = {from.t.n_cols, from.first, from.step};
    const struct places target = {to.t.n_cols, to.first, to.step};
    const int64_t all = from.t.n_rows * width * n;
    return ol_launch(cuda, err, "copy_columns", copy_pieces<T>, grid_of(all),
                     dim3(THREADS), 0, (const T *)from.t.data, (T *)to.t.data, source,
                     target, width, n, all);
}

int ol_cuda_copy_columns(struct ol_backend *b, struct ol_columns from,
                         struct ol_columns to, int64_t width, int n, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    if (from.t.dtype == OL_DTYPE_BF16)
        return run_copy<struct ol_bf16>(cuda, from, to, width, n, err);
    return run_copy<float>(cuda, from, to, width, n, err);
}
