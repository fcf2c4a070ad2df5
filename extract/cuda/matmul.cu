/* matmul: out = round(x weight^T + bias) for several products, by cuBLAS.
 *
 * A weight passes the device in tiles of rows (weight.cu): while one is multiplied, the
 * next is under way. Products of weights that need no decoding run beside each other
 * (lanes.cu, and why not as one grouped product). What is not stored in the type of
 * activations is decoded in between, in turn. Neighbours that multiply the same rows by
 * weights of one shape, a tile each, are one product (gemm.cu). A bias is put into out
 * first, and the product added to it before the one rounding.
 *
 * cuBLAS chooses its way, and with it the order of a sum, by the sizes it is given. So
 * that a row's result does not depend on which rows stand beside it, x is cut at
 * multiples of OL_PRODUCT_ROWS whatever its size, or of what the product says. f32
 * products are true float ones, not TF32. */
#include "extract/cuda/pack.h"
#include "extract/cuda/product.h"
#include "extract/cuda/tile.h"

enum { THREADS = 256 };

bool ol_cuda_is_ready(const struct ol_weight *w, enum ol_dtype dtype)
{
    return w->encoding == OL_ENCODING_PLAIN && w->dtype == dtype &&
           (w->col_step == 1 || w->row_step == 1);
}

static struct ol_cuda_operand operand_of(const struct ol_cuda_weight *view, int64_t n,
                                         enum ol_dtype dtype)
{
    struct ol_cuda_operand operand;
    operand.data = view->data;
    operand.dtype = dtype;
    operand.n = n;
    operand.k = view->n_cols;
    operand.turned = view->col_step != 1;
    /* A single row has no step: cuBLAS wants one that could be. */
    operand.step = operand.turned ? view->col_step
                   : n > 1        ? view->row_step
                                  : view->n_cols;
    return operand;
}

int ol_cuda_load_operand(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                         int64_t n, enum ol_dtype dtype, void *room,
                         struct ol_cuda_operand *operand, struct ol_error *err)
{
    struct ol_cuda_weight view;
    if (ol_cuda_stage_rows(cuda, w, row, n, &view, err) != 0)
        return -1;
    if (ol_cuda_is_ready(w, dtype)) {
        *operand = operand_of(&view, n, dtype);
        return 0;
    }
    *operand = {room, dtype, n, w->n_cols, w->n_cols, false};
    return ol_cuda_decode(cuda, &view, dtype, dtype, room, err);
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

/* x is cut at multiples of p->block_rows. */
static int multiply_blocks(struct ol_cuda *cuda, const struct ol_matmul *p,
                           struct ol_cuda_product *product, struct ol_error *err)
{
    const int64_t most = p->block_rows > 0 ? p->block_rows : (int64_t)OL_PRODUCT_ROWS;
    const size_t size = ol_dtype_size(p->out.dtype);
    const char *x = (const char *)product->x;
    product->dtype = p->x.dtype;
    product->out_dtype = p->out.dtype;
    product->x_step = p->x.n_cols;
    product->out_step = p->out.n_cols;
    product->adds = p->bias.data != NULL;
    for (int64_t first = 0; first < p->x.n_rows; first += product->m) {
        product->m = min(p->x.n_rows - first, most);
        product->x = x + (size_t)(first * p->x.n_cols) * ol_dtype_size(p->x.dtype);
        if (ol_cuda_gemm(cuda, product, err) != 0)
            return -1;
        for (int i = 0; i < product->n_products; i++)
            product->out[i] =
                (char *)product->out[i] + (size_t)(product->m * p->out.n_cols) * size;
    }
    return 0;
}

/* Rows row .. row + operand->n - 1 of the weight, each with its own columns of x. */
static int multiply_rows(struct ol_cuda *cuda, const struct ol_matmul *p, int64_t row,
                         const struct ol_cuda_operand *operand, struct ol_error *err)
{
    const int64_t k = p->weight.n_cols, group_rows = p->weight.n_rows * k / p->x.n_cols;
    for (int64_t first = row, end; first < row + operand->n; first = end) {
        const int64_t group = first / group_rows;
        end = min((group + 1) * group_rows, row + operand->n);
        struct ol_cuda_product product = {};
        product.n_products = 1;
        product.x =
            (const char *)p->x.data + (size_t)(group * k) * ol_dtype_size(p->x.dtype);
        product.w[0] = *operand;
        product.w[0].n = end - first;
        product.w[0].data =
            (const char *)operand->data +
            (size_t)((first - row) * (operand->turned ? 1 : operand->step)) *
                ol_dtype_size(operand->dtype);
        product.out[0] =
            (char *)p->out.data + (size_t)first * ol_dtype_size(p->out.dtype);
        if (multiply_blocks(cuda, p, &product, err) != 0)
            return -1;
    }
    return 0;
}

static int one_product(struct ol_cuda *cuda, const struct ol_matmul *p, void *room,
                       struct ol_error *err)
{
    const int64_t tile =
        ol_cuda_tile_rows(cuda, &p->weight, ol_dtype_size(p->x.dtype), err);
    for (int64_t row = 0; row < p->weight.n_rows; row += tile) {
        const int64_t n = min(p->weight.n_rows - row, tile);
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

static size_t decoded_bytes(const struct ol_matmul *p, int64_t n_rows)
{
    return ol_cuda_place_after((size_t)(n_rows * p->weight.n_cols) *
                               ol_dtype_size(p->x.dtype));
}

/* What the i-th product and its neighbours are multiplied as: one product, or two of the
 * same rows, as a gate and an up are. That they can be two follows from their sizes and
 * the device's alone. */
static int together(const struct ol_cuda *cuda, const struct ol_matmul *products, int i,
                    int n)
{
    const struct ol_matmul *p = &products[i], *q = p + 1;
    const struct ol_weight *w = &p->weight, *v = &q->weight;
    struct ol_error none = {};
    if (i + 1 == n || p->x.dtype != OL_DTYPE_BF16 || p->x.data != q->x.data ||
        p->x.n_rows != q->x.n_rows || p->x.n_cols != q->x.n_cols ||
        p->x.n_cols != w->n_cols || p->out.dtype != q->out.dtype ||
        (p->bias.data != NULL) != (q->bias.data != NULL) ||
        p->block_rows != q->block_rows || w->n_rows != v->n_rows ||
        w->n_cols != v->n_cols || w->row_step != v->row_step ||
        w->col_step != v->col_step)
        return 1;
    const bool ready = ol_cuda_is_ready(w, p->x.dtype);
    return ready == ol_cuda_is_ready(v, p->x.dtype) &&
                   ol_cuda_tile_rows(cuda, w, sizeof(uint16_t), &none) == w->n_rows &&
                   ol_cuda_tile_rows(cuda, v, sizeof(uint16_t), &none) == v->n_rows &&
                   (ready ||
                    OL_CUDA_TOGETHER * decoded_bytes(p, w->n_rows) <= (size_t)cuda->unit)
               ? OL_CUDA_TOGETHER
               : 1;
}

static int two_products(struct ol_cuda *cuda, const struct ol_matmul *p, void *room,
                        struct ol_error *err)
{
    const enum ol_dtype dtype = p->x.dtype;
    const int64_t n = p->weight.n_rows;
    struct ol_cuda_product product = {};
    product.n_products = OL_CUDA_TOGETHER;
    product.x = p->x.data;
    if (ol_cuda_is_ready(&p->weight, dtype)) {
        struct ol_cuda_weight views[OL_CUDA_TOGETHER];
        if (ol_cuda_stage_pair(cuda, &p[0].weight, &p[1].weight, views, err) != 0)
            return -1;
        for (int i = 0; i < OL_CUDA_TOGETHER; i++)
            product.w[i] = operand_of(&views[i], n, dtype);
    }
    for (int i = 0; i < OL_CUDA_TOGETHER; i++) {
        char *own = (char *)room + (size_t)i * decoded_bytes(p, n);
        product.out[i] = p[i].out.data;
        if (product.w[i].data == NULL &&
            ol_cuda_load_operand(cuda, &p[i].weight, 0, n, dtype, own, &product.w[i],
                                 err) != 0)
            return -1;
    }
    return multiply_blocks(cuda, p, &product, err);
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
    int n_lanes = 0;
    for (int i = 0; i < n && n_lanes < cuda->sizes.n_lanes; n_lanes++)
        i += together(cuda, products, i, n);
    int next = 0; /* whose weight is to be sent */
    if (ol_cuda_fork(cuda, n_lanes, err) != 0)
        return -1;
    for (int i = 0, many, turn = 0; i < n; i += many, turn++) {
        const struct ol_matmul *p = &products[i];
        many = together(cuda, products, i, n);
        next = send_ahead(cuda, products, max(next, i), n, err);
        if (next < 0)
            return -1;
        cuda->lane = ol_cuda_is_ready(&p->weight, p->x.dtype) ? turn % n_lanes : 0;
        if (p->x.n_rows > 0 && (many == 1 ? one_product(cuda, p, room, err)
                                          : two_products(cuda, p, room, err)) != 0)
            return -1;
    }
    return ol_cuda_join(cuda, n_lanes, err);
}

int ol_cuda_products(struct ol_cuda *cuda, const struct ol_matmul *products, int n,
                     struct ol_error *err)
{
    size_t most = 0;
    for (int i = 0, many; i < n; i += many) {
        const struct ol_matmul *p = &products[i];
        const int64_t tile =
            ol_cuda_tile_rows(cuda, &p->weight, ol_dtype_size(p->x.dtype), err);
        if (tile < 0)
            return -1;
        many = together(cuda, products, i, n);
        const size_t bytes = (size_t)many * decoded_bytes(p, tile);
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
