/* matmul: out = round(x weight^T + bias) for several products, by cuBLAS.
 *
 * A weight passes the device in tiles of rows (weight.cu): while one is multiplied, the
 * next is under way. Products of weights that need no decoding run beside each other
 * (lanes.cu, and why not as one grouped product). What is not stored in the type of
 * activations is decoded in between, in turn. A bias is put into out first, and the
 * product added to it before the one rounding.
 *
 * cuBLAS chooses its way, and with it the order of a sum, by the sizes it is given. So
 * that a row's result does not depend on which rows stand beside it, x is cut at
 * multiples of OL_PRODUCT_ROWS whatever its size. f32 products are true float ones, not
 * TF32. */
#include "extract/cuda/pack.h"
#include "extract/cuda/product.h"

enum { THREADS = 256 };

bool ol_cuda_is_ready(const struct ol_weight *w, enum ol_dtype dtype)
{
    return w->encoding == OL_ENCODING_PLAIN && w->dtype == dtype &&
           (w->col_step == 1 || w->row_step == 1);
}

int ol_cuda_load_operand(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                         int64_t n, enum ol_dtype dtype, void *room,
                         struct ol_cuda_operand *operand, struct ol_error *err)
{
    struct ol_cuda_weight view;
    if (ol_cuda_stage_rows(cuda, w, row, n, &view, err) != 0)
        return -1;
    operand->dtype = dtype;
    operand->n = n;
    operand->k = w->n_cols;
    operand->turned = false;
    if (ol_cuda_is_ready(w, dtype)) {
        operand->data = view.data;
        operand->turned = view.col_step != 1;
        /* A single row has no step: cuBLAS wants one that could be. */
        operand->step = operand->turned ? view.col_step
                        : n > 1         ? view.row_step
                                        : w->n_cols;
        return 0;
    }
    operand->data = room;
    operand->step = w->n_cols;
    return ol_cuda_decode(cuda, &view, dtype, dtype, room, err);
}

int ol_cuda_multiply(struct ol_cuda *cuda, struct ol_tensor x,
                     const struct ol_cuda_operand *w, void *out, enum ol_dtype out_dtype,
                     int64_t step, bool adds, struct ol_error *err)
{
    for (int64_t first = 0; first < x.n_rows; first += OL_PRODUCT_ROWS) {
        const int64_t left = x.n_rows - first;
        struct ol_cuda_product product;
        product.dtype = x.dtype;
        product.out_dtype = out_dtype;
        product.x = ol_cuda_row(x, first);
        product.w = w;
        product.out = (char *)out + (size_t)(first * step) * ol_dtype_size(out_dtype);
        product.m = left < OL_PRODUCT_ROWS ? left : (int64_t)OL_PRODUCT_ROWS;
        product.x_step = x.n_cols;
        product.out_step = step;
        product.adds = adds;
        if (ol_cuda_gemm(cuda, &product, err) != 0)
            return -1;
    }
    return 0;
}

/* ---- bias ---- */

template <typename T>
static __global__ void fill_bias(T *out, const float *bias, int64_t n_cols, int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i < n)
        out[i] = ol_rounded<T>(bias[i - ol_divide(i, n_cols) * n_cols]);
}

static int put_bias(struct ol_cuda *cuda, const struct ol_matmul *p, struct ol_error *err)
{
    const int64_t n = p->out.n_rows * p->out.n_cols;
    const float *bias = ol_cuda_values(cuda, &p->bias, p->x.dtype, err);
    if (bias == NULL)
        return -1;
    const dim3 grid(ol_cuda_blocks(n, THREADS)), block(THREADS);
    if (p->out.dtype == OL_DTYPE_BF16)
        return ol_launch(cuda, err, "bias", fill_bias<struct ol_bf16>, grid, block, 0,
                         (struct ol_bf16 *)p->out.data, bias, p->out.n_cols, n);
    return ol_launch(cuda, err, "bias", fill_bias<float>, grid, block, 0,
                     (float *)p->out.data, bias, p->out.n_cols, n);
}

/* ---- products ---- */

/* Rows row .. row + operand->n - 1 of the weight, each with its own columns of x. */
static int multiply_rows(struct ol_cuda *cuda, const struct ol_matmul *p, int64_t row,
                         const struct ol_cuda_operand *operand, struct ol_error *err)
{
    const int64_t k = p->weight.n_cols, group_rows = p->weight.n_rows * k / p->x.n_cols;
    for (int64_t first = row, end; first < row + operand->n; first = end) {
        const int64_t group = first / group_rows;
        end = (group + 1) * group_rows;
        end = end < row + operand->n ? end : row + operand->n;
        struct ol_cuda_operand own = *operand;
        struct ol_tensor x = p->x;
        x.data = (char *)x.data + (size_t)(group * k) * ol_dtype_size(x.dtype);
        own.n = end - first;
        own.data = (const char *)own.data +
                   (size_t)((first - row) * (own.turned ? 1 : own.step)) *
                       ol_dtype_size(own.dtype);
        char *out = (char *)p->out.data + (size_t)first * ol_dtype_size(p->out.dtype);
        if (ol_cuda_multiply(cuda, x, &own, out, p->out.dtype, p->out.n_cols,
                             p->bias.data != NULL, err) != 0)
            return -1;
    }
    return 0;
}

static int one_product(struct ol_cuda *cuda, const struct ol_matmul *p, int64_t tile,
                       void *room, struct ol_error *err)
{
    for (int64_t row = 0; row < p->weight.n_rows; row += tile) {
        const int64_t left = p->weight.n_rows - row, n = left < tile ? left : tile;
        struct ol_cuda_operand operand;
        bool all;
        if (ol_cuda_send_ahead(cuda, &p->weight, row, tile, &all, err) != 0 ||
            ol_cuda_load_operand(cuda, &p->weight, row, n, p->x.dtype, room, &operand,
                                 err) != 0 ||
            multiply_rows(cuda, p, row, &operand, err) != 0)
            return -1;
    }
    return 0;
}

/* Have the weights of products from `next` on sent, as far as there is room; returns the
 * first that is not all under way. */
static int send_ahead(struct ol_cuda *cuda, const struct ol_matmul *products, int next,
                      int n, struct ol_error *err)
{
    for (; next < n; next++) {
        const struct ol_matmul *p = &products[next];
        const int64_t tile =
            ol_cuda_tile_rows(cuda, &p->weight, ol_dtype_size(p->x.dtype), err);
        bool all = true;
        if (p->x.n_rows > 0 &&
            ol_cuda_send_ahead(cuda, &p->weight, 0, tile, &all, err) != 0)
            return -1;
        if (!all)
            break;
    }
    return next;
}

/* Whoever comes first has lane 0, so that a single product needs no other. */
static int multiply_all(struct ol_cuda *cuda, const struct ol_matmul *products, int n,
                        void *room, struct ol_error *err)
{
    const int n_lanes = n < OL_CUDA_LANES ? n : (int)OL_CUDA_LANES;
    int next = 0; /* whose weight is to be sent */
    if (ol_cuda_fork(cuda, n_lanes, err) != 0)
        return -1;
    for (int i = 0; i < n; i++) {
        const struct ol_matmul *p = &products[i];
        next = send_ahead(cuda, products, max(next, i), n, err);
        if (next < 0)
            return -1;
        const int64_t tile =
            ol_cuda_tile_rows(cuda, &p->weight, ol_dtype_size(p->x.dtype), err);
        cuda->lane = ol_cuda_is_ready(&p->weight, p->x.dtype) ? i % n_lanes : 0;
        if (p->x.n_rows > 0 && one_product(cuda, p, tile, room, err) != 0)
            return -1;
    }
    return ol_cuda_join(cuda, n_lanes, err);
}

int ol_cuda_products(struct ol_cuda *cuda, const struct ol_matmul *products, int n,
                     struct ol_error *err)
{
    size_t most = 0;
    for (int i = 0; i < n; i++) {
        const struct ol_matmul *p = &products[i];
        const size_t size = ol_dtype_size(p->x.dtype);
        const int64_t tile = ol_cuda_tile_rows(cuda, &p->weight, size, err);
        if (tile < 0)
            return -1;
        const size_t bytes = (size_t)(tile * p->weight.n_cols) * size;
        if (!ol_cuda_is_ready(&p->weight, p->x.dtype) && bytes > most)
            most = bytes;
    }
    /* One for all that are decoded: they are multiplied one after another. */
    void *room = most > 0 ? ol_cuda_scratch(cuda, most, err) : NULL;
    if (most > 0 && room == NULL)
        return -1;
    for (int i = 0; i < n; i++)
        if (products[i].bias.data != NULL && products[i].x.n_rows > 0 &&
            put_bias(cuda, &products[i], err) != 0)
            return -1;
    return multiply_all(cuda, products, n, room, err);
}

int ol_cuda_matmul(struct ol_backend *b, const struct ol_matmul *products, int n,
                   struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return ol_cuda_products(cuda, products, n, err);
}
