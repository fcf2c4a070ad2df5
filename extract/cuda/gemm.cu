/* One product by cuBLAS.
 *
 * cublasGemmEx looks for a way to compute a product anew for every number of rows that it
 * has not seen, and every expert of every layer has another: this took 0.3 ms of the host
 * each, more than the device took. So in bf16 the way is asked for once for each shape of
 * weight (cublasLt), as for a whole block of rows, and kept for any number of them: how
 * many rows of an expert a device holds depends on how many devices there are, and is not
 * to choose the order in which a row is summed. What that costs where rows are few is
 * less than their weight takes on its way. What it cannot do (operands that lie at odd
 * addresses), and float products, go the old way, which follows from all sizes of the
 * product: that neighbouring numbers of rows sum alike there is not promised, and is what
 * tests/gpu/check.sh looks at.
 *
 * Partial sums are not rounded to the output's type.
 *
 * Two products of the same rows are one of a batch, with no step from rows to rows and
 * one as long as their weights lie apart. The way is that of one of them alone, which the
 * batch goes twice: whether they come together shows in no byte. Where this cannot be
 * (the second lies before the first, the way is for no batch), and in float, where cuBLAS
 * would choose by the batch, they are multiplied one after the other. */
#include "extract/cuda/product.h"

#include <cublasLt.h>

enum { MOST_ALIGNMENT = 16 }; /* bytes that a load takes at most */

struct shape {
    int64_t n, k, w_step, x_step, out_step;
    int rows, alignment; /* that the way is asked for; a power of two */
    bool turned;
    cudaDataType_t out_type;
};

struct choice {
    struct shape shape;
    bool found;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t w, x, out;
    cublasLtMatmulAlgo_t way;
    int n_products; /* that the layouts are of */
};

struct ol_cuda_gemms {
    cublasLtHandle_t lt;
    cublasLtMatmulPreference_t preference;
    struct choice *choices;
    int n, room;
};

static cudaDataType_t type_of(enum ol_dtype dtype)
{
    return dtype == OL_DTYPE_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

/* ---- life ---- */

int ol_cuda_gemms_new(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_gemms *g = (struct ol_cuda_gemms *)ol_xcalloc(1, sizeof *g);
    const size_t bytes = (size_t)cuda->sizes.workspace;
    const uint32_t reductions =
        CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    cuda->gemms = g;
    return ol_cublas_check(cublasLtCreate(&g->lt), "starting", err) != 0 ||
                   ol_cublas_check(cublasLtMatmulPreferenceCreate(&g->preference),
                                   "making a preference", err) != 0 ||
                   ol_cublas_check(cublasLtMatmulPreferenceSetAttribute(
                                       g->preference,
                                       CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes,
                                       sizeof bytes),
                                   "limiting its memory", err) != 0 ||
                   ol_cublas_check(cublasLtMatmulPreferenceSetAttribute(
                                       g->preference,
                                       CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                       &reductions, sizeof reductions),
                                   "choosing its precision", err) != 0
               ? -1
               : 0;
}

void ol_cuda_gemms_free(struct ol_cuda *cuda)
{
    struct ol_cuda_gemms *g = cuda->gemms;
    if (g == NULL)
        return;
    for (int i = 0; i < g->n; i++) {
        cublasLtMatmulDescDestroy(g->choices[i].product);
        cublasLtMatrixLayoutDestroy(g->choices[i].w);
        cublasLtMatrixLayoutDestroy(g->choices[i].x);
        cublasLtMatrixLayoutDestroy(g->choices[i].out);
    }
    free(g->choices);
    if (g->preference != NULL)
        cublasLtMatmulPreferenceDestroy(g->preference);
    if (g->lt != NULL)
        cublasLtDestroy(g->lt);
    free(g);
    cuda->gemms = NULL;
}

/* ---- choosing ---- */

/* The largest power of two of bytes that all of product i are multiples of. */
static int alignment_of(const struct ol_cuda_product *p, int i)
{
    const size_t size = sizeof(uint16_t);
    const size_t all = (size_t)(uintptr_t)p->w[i].data | (size_t)(uintptr_t)p->x |
                       (size_t)(uintptr_t)p->out[i] | (size_t)p->w[i].step * size |
                       (size_t)p->x_step * size |
                       (size_t)p->out_step * ol_dtype_size(p->out_dtype) | MOST_ALIGNMENT;
    return (int)(all & (~all + 1));
}

static struct shape shape_of(const struct ol_cuda_product *p, int i)
{
    struct shape s = {};
    s.n = p->w[i].n;
    s.k = p->w[i].k;
    s.w_step = p->w[i].step;
    s.x_step = p->x_step;
    s.out_step = p->out_step;
    s.rows = OL_PRODUCT_ROWS;
    s.alignment = alignment_of(p, i);
    s.turned = p->w[i].turned;
    s.out_type = type_of(p->out_dtype);
    return s;
}

static bool same(const struct shape *a, const struct shape *b)
{
    return a->n == b->n && a->k == b->k && a->w_step == b->w_step &&
           a->x_step == b->x_step && a->out_step == b->out_step && a->rows == b->rows &&
           a->alignment == b->alignment && a->turned == b->turned &&
           a->out_type == b->out_type;
}

/* Row-major matrices are transposed ones there: out^T = weight x^T. */
static int lay_out(struct choice *c, struct ol_error *err)
{
    const struct shape *s = &c->shape;
    const cublasOperation_t turn = s->turned ? CUBLAS_OP_N : CUBLAS_OP_T;
    const uint64_t w_rows = (uint64_t)(s->turned ? s->n : s->k);
    const uint64_t w_cols = (uint64_t)(s->turned ? s->k : s->n);
    const uint64_t rows = (uint64_t)s->rows;
    return ol_cublas_check(
               cublasLtMatmulDescCreate(&c->product, CUBLAS_COMPUTE_32F, CUDA_R_32F),
               "describing a product", err) != 0 ||
                   ol_cublas_check(
                       cublasLtMatmulDescSetAttribute(
                           c->product, CUBLASLT_MATMUL_DESC_TRANSA, &turn, sizeof turn),
                       "describing a product", err) != 0 ||
                   ol_cublas_check(cublasLtMatrixLayoutCreate(&c->w, CUDA_R_16BF, w_rows,
                                                              w_cols, s->w_step),
                                   "describing a weight", err) != 0 ||
                   ol_cublas_check(cublasLtMatrixLayoutCreate(&c->x, CUDA_R_16BF,
                                                              (uint64_t)s->k, rows,
                                                              s->x_step),
                                   "describing rows", err) != 0 ||
                   ol_cublas_check(cublasLtMatrixLayoutCreate(&c->out, s->out_type,
                                                              (uint64_t)s->n, rows,
                                                              s->out_step),
                                   "describing rows", err) != 0
               ? -1
               : 0;
}

static int ask(struct ol_cuda_gemms *g, struct choice *c, struct ol_error *err)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
    };
    const uint32_t alignment = (uint32_t)c->shape.alignment;
    cublasLtMatmulHeuristicResult_t answer;
    int n = 0;
    for (const auto attribute : alignments)
        if (ol_cublas_check(cublasLtMatmulPreferenceSetAttribute(
                                g->preference, attribute, &alignment, sizeof alignment),
                            "telling alignments", err) != 0)
            return -1;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        g->lt, c->product, c->w, c->x, c->out, c->out, g->preference, 1, &answer, &n);
    c->found = status == CUBLAS_STATUS_SUCCESS && n == 1;
    if (c->found)
        c->way = answer.algo;
    return status == CUBLAS_STATUS_SUCCESS || status == CUBLAS_STATUS_NOT_SUPPORTED
               ? 0
               : ol_cublas_check(status, "asking for a way to multiply", err);
}

/* NULL with err. */
static struct choice *choose(struct ol_cuda *cuda, const struct ol_cuda_product *p, int i,
                             struct ol_error *err)
{
    struct ol_cuda_gemms *g = cuda->gemms;
    const struct shape shape = shape_of(p, i);
    for (int c = 0; c < g->n; c++)
        if (same(&g->choices[c].shape, &shape))
            return &g->choices[c];
    if (g->n == g->room) {
        g->room = 2 * g->room + 16;
        g->choices = (struct choice *)ol_xrealloc_array(g->choices, (size_t)g->room,
                                                        sizeof *g->choices);
    }
    struct choice *c = &g->choices[g->n++];
    *c = {};
    c->shape = shape;
    c->n_products = 1;
    return lay_out(c, err) == 0 && ask(g, c, err) == 0 ? c : NULL;
}

/* ---- multiplying ---- */

static int multiply(struct ol_cuda *cuda, const struct ol_cuda_product *p, int i,
                    struct ol_error *err)
{
    const float one = 1, beta = p->adds ? 1.0f : 0.0f;
    const struct ol_cuda_operand *w = &p->w[i];
    const cublasComputeType_t compute =
        p->dtype == OL_DTYPE_BF16 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_PEDANTIC;
    return ol_cublas_check(
        cublasGemmEx(cuda->lanes[cuda->lane].blas, w->turned ? CUBLAS_OP_N : CUBLAS_OP_T,
                     CUBLAS_OP_N, (int)w->n, (int)p->m, (int)w->k, &one, w->data,
                     type_of(p->dtype), (int)w->step, p->x, type_of(p->dtype),
                     (int)p->x_step, &beta, p->out[i], type_of(p->out_dtype),
                     (int)p->out_step, compute, CUBLAS_GEMM_DEFAULT),
        "multiplying", err);
}

static int set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute,
               const void *value, size_t bytes, struct ol_error *err)
{
    return ol_cublas_check(
        cublasLtMatrixLayoutSetAttribute(layout, attribute, value, bytes),
        "describing a product's matrices", err);
}

/* Values from `first` to `second`. */
static int64_t apart(const void *first, const void *second, enum ol_dtype dtype)
{
    return ((const char *)second - (const char *)first) / (int64_t)ol_dtype_size(dtype);
}

/* The layouts, of n products. */
static int describe(struct choice *c, const struct ol_cuda_product *p, int n,
                    struct ol_error *err)
{
    const uint64_t rows = (uint64_t)p->m;
    const int32_t count = n;
    for (const cublasLtMatrixLayout_t layout : {c->x, c->out})
        if (set(layout, CUBLASLT_MATRIX_LAYOUT_COLS, &rows, sizeof rows, err) != 0)
            return -1;
    if (c->n_products != n)
        for (const cublasLtMatrixLayout_t layout : {c->w, c->x, c->out})
            if (set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count,
                    err) != 0)
                return -1;
    c->n_products = n;
    if (n == 1)
        return 0;
    const int64_t weights = apart(p->w[0].data, p->w[1].data, p->dtype),
                  outs = apart(p->out[0], p->out[1], p->out_dtype);
    return set(c->w, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &weights,
               sizeof weights, err) != 0 ||
                   set(c->out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &outs,
                       sizeof outs, err) != 0
               ? -1
               : 0;
}

/* n products from the i-th on; *done false: the way is not for so few rows, or so many
 * products. */
static int go(struct ol_cuda *cuda, struct choice *c, const struct ol_cuda_product *p,
              int i, int n, bool *done, struct ol_error *err)
{
    const struct ol_cuda_lane *lane = &cuda->lanes[cuda->lane];
    const float one = 1, beta = p->adds ? 1.0f : 0.0f;
    if (describe(c, p, n, err) != 0)
        return -1;
    const cublasStatus_t status =
        cublasLtMatmul(cuda->gemms->lt, c->product, &one, p->w[i].data, c->w, p->x, c->x,
                       &beta, p->out[i], c->out, p->out[i], c->out, &c->way,
                       lane->workspace, (size_t)cuda->sizes.workspace, lane->stream);
    *done = status != CUBLAS_STATUS_NOT_SUPPORTED;
    return *done ? ol_cublas_check(status, "multiplying", err) : 0;
}

static int multiply_one(struct ol_cuda *cuda, const struct ol_cuda_product *p, int i,
                        struct ol_error *err)
{
    bool done = false;
    if (p->dtype == OL_DTYPE_BF16) {
        struct choice *c = choose(cuda, p, i, err);
        if (c == NULL || (c->found && go(cuda, c, p, i, 1, &done, err) != 0))
            return -1;
    }
    return done ? 0 : multiply(cuda, p, i, err);
}

/* Whether both go the same way, and the second lies behind the first. */
static bool go_together(const struct ol_cuda_product *p)
{
    if (p->n_products < 2 || p->dtype != OL_DTYPE_BF16 ||
        (uintptr_t)p->w[1].data <= (uintptr_t)p->w[0].data ||
        (uintptr_t)p->out[1] <= (uintptr_t)p->out[0])
        return false;
    const struct shape first = shape_of(p, 0), second = shape_of(p, 1);
    return same(&first, &second);
}

int ol_cuda_gemm(struct ol_cuda *cuda, const struct ol_cuda_product *p,
                 struct ol_error *err)
{
    bool done = false;
    if (go_together(p)) {
        struct choice *c = choose(cuda, p, 0, err);
        if (c == NULL || (c->found && go(cuda, c, p, 0, 2, &done, err) != 0))
            return -1;
    }
    for (int i = 0; !done && i < p->n_products; i++)
        if (multiply_one(cuda, p, i, err) != 0)
            return -1;
    return 0;
}
