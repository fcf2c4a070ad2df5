/* The products of cuBLAS in plain loops: bf16 or float operands, sums in float in rising
 * order of k. */
#include <cublasLt.h>
#include <cublas_v2.h>

#include "internal.h"

#include <string.h>
#include <vector>

struct cudasim_blas {
    cudaStream_t stream;
};

cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    if (cudasim_fails())
        return CUBLAS_STATUS_ALLOC_FAILED;
    *handle = new cudasim_blas{nullptr};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *memory, size_t)
{
    cudasim_check_argument(memory, handle->stream);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion(cublasHandle_t, int *version)
{
    *version = 130000;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "success" : "a simulated failure";
}

static float load(const void *data, cudaDataType_t type, size_t i)
{
    if (type == CUDA_R_32F)
        return static_cast<const float *>(data)[i];
    return __uint_as_float((unsigned)static_cast<const uint16_t *>(data)[i] << 16);
}

static void store(void *data, cudaDataType_t type, size_t i, float x)
{
    if (type == CUDA_R_32F) {
        static_cast<float *>(data)[i] = x;
        return;
    }
    const unsigned bits = __float_as_uint(x);
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    static_cast<uint16_t *>(data)[i] =
        (uint16_t)(nan ? bits >> 16 | 0x40u
                       : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

struct product {
    bool a_turned, b_turned;
    size_t m, n, k;
    const void *a, *b;
    void *c;
    cudaDataType_t type, c_type;
    size_t lda, ldb, ldc;
    float alpha, beta;
    bool backwards; /* it is summed so */
};

static void multiply(const product &p)
{
    /* op(a) as [k][m], so that the inner loop is along a column of c. */
    std::vector<float> a(p.k * p.m), sums(p.m);
    for (size_t l = 0; l < p.k; l++)
        for (size_t i = 0; i < p.m; i++)
            a[l * p.m + i] =
                load(p.a, p.type, p.a_turned ? i * p.lda + l : l * p.lda + i);
    for (size_t j = 0; j < p.n; j++) {
        for (size_t i = 0; i < p.m; i++)
            sums[i] = 0;
        for (size_t s = 0; s < p.k; s++) {
            const size_t l = p.backwards ? p.k - 1 - s : s;
            const float b = load(p.b, p.type, p.b_turned ? l * p.ldb + j : j * p.ldb + l);
            const float *row = a.data() + l * p.m;
            for (size_t i = 0; i < p.m; i++)
                sums[i] += row[i] * b;
        }
        for (size_t i = 0; i < p.m; i++) {
            const size_t at = j * p.ldc + i;
            float x = p.alpha * sums[i];
            if (p.beta != 0)
                x += p.beta * load(p.c, p.c_type, at);
            store(p.c, p.c_type, at, x);
        }
    }
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa,
                            cublasOperation_t transb, int m, int n, int k,
                            const void *alpha, const void *a, cudaDataType_t a_type,
                            int lda, const void *b, cudaDataType_t b_type, int ldb,
                            const void *beta, void *c, cudaDataType_t c_type, int ldc,
                            cublasComputeType_t, cublasGemmAlgo_t)
{
    const bool a_turned = transa == CUBLAS_OP_T, b_turned = transb == CUBLAS_OP_T;
    if (cudasim_fails())
        return CUBLAS_STATUS_EXECUTION_FAILED;
    if (m <= 0 || n <= 0 || k <= 0 || lda < (a_turned ? k : m) ||
        ldb < (b_turned ? n : k) || ldc < m || a_type != b_type)
        return CUBLAS_STATUS_INVALID_VALUE;
    cudasim_check_argument(a, handle->stream);
    cudasim_check_argument(b, handle->stream);
    cudasim_check_argument(c, handle->stream);
    const product p = {a_turned,
                       b_turned,
                       (size_t)m,
                       (size_t)n,
                       (size_t)k,
                       a,
                       b,
                       c,
                       a_type,
                       c_type,
                       (size_t)lda,
                       (size_t)ldb,
                       (size_t)ldc,
                       *static_cast<const float *>(alpha),
                       *static_cast<const float *>(beta),
                       false};
    cudasim_count_product();
    cudasim_enqueue(
        handle->stream, [=] { multiply(p); },
        cudasim_multiplying(2.0 * (double)p.m * (double)p.n * (double)p.k));
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- cuBLASLt ---- */

struct cudasim_lt {
};
struct cudasim_lt_product {
    bool a_turned;
};
struct cudasim_lt_layout {
    cudaDataType_t type;
    uint64_t rows, cols;
    int64_t step;
    int32_t batch;
    int64_t apart; /* from one of the batch to the next */
};
struct cudasim_lt_preference {
    uint32_t alignment;
};

template <typename T> static cublasStatus_t make(T **made)
{
    if (cudasim_fails())
        return CUBLAS_STATUS_ALLOC_FAILED;
    *made = new T();
    return CUBLAS_STATUS_SUCCESS;
}

template <typename T> static cublasStatus_t destroy(T *made)
{
    delete made;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    return make(handle);
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    return destroy(handle);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t,
                                        cudaDataType_t)
{
    return make(desc);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    return destroy(desc);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t,
                                              const void *value, size_t bytes)
{
    if (bytes != sizeof(cublasOperation_t))
        return CUBLAS_STATUS_INVALID_VALUE;
    desc->a_turned = *static_cast<const cublasOperation_t *>(value) == CUBLAS_OP_T;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout,
                                          cudaDataType_t type, uint64_t rows,
                                          uint64_t cols, int64_t step)
{
    const cublasStatus_t status = make(layout);
    if (status == CUBLAS_STATUS_SUCCESS)
        **layout = {type, rows, cols, step, 1, 0};
    return status;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    return destroy(layout);
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void *value, size_t bytes)
{
    const auto take = [&](auto *member) {
        if (bytes != sizeof *member)
            return CUBLAS_STATUS_INVALID_VALUE;
        memcpy(member, value, bytes);
        return CUBLAS_STATUS_SUCCESS;
    };
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_COLS:
        return take(&layout->cols);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return take(&layout->batch);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return take(&layout->apart);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    return make(preference);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    return destroy(preference);
}

cublasStatus_t
cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                     cublasLtMatmulPreferenceAttributes_t attribute,
                                     const void *value, size_t bytes)
{
    const bool workspace = attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
    if (bytes != (workspace ? sizeof(size_t) : sizeof(uint32_t)))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (attribute >= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES)
        preference->alignment = *static_cast<const uint32_t *>(value);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                               cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                               cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                               cublasLtMatmulPreference_t preference, int asked,
                               cublasLtMatmulHeuristicResult_t *results, int *given)
{
    const uint64_t m = desc->a_turned ? a->cols : a->rows;
    const uint64_t k = desc->a_turned ? a->rows : a->cols;
    if (cudasim_fails())
        return CUBLAS_STATUS_ALLOC_FAILED;
    if (asked < 1 || b->rows != k || c->rows != m || c->cols != b->cols || d->rows != m ||
        d->cols != b->cols)
        return CUBLAS_STATUS_INVALID_VALUE;
    *given = preference->alignment >= 4;
    if (*given == 0)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    results->algo = {m, k, b->cols, preference->alignment};
    return CUBLAS_STATUS_SUCCESS;
}

static uint64_t size_of(cudaDataType_t type)
{
    return type == CUDA_R_32F ? 4 : 2;
}

/* The first of a batch, and the way to the next. */
static bool is_aligned(const void *pointer, cublasLtMatrixLayout_t layout,
                       uint32_t alignment)
{
    const uint64_t size = size_of(layout->type);
    return ((uint64_t)(uintptr_t)pointer | (uint64_t)layout->step * size |
            (uint64_t)layout->apart * size * (layout->batch > 1)) %
               alignment ==
           0;
}

/* Where the i-th of a batch is. */
static const void *place_of(const void *first, cublasLtMatrixLayout_t layout, int i)
{
    return static_cast<const char *>(first) +
           layout->apart * i * (int64_t)size_of(layout->type);
}

/* Results of a batch lie apart, and operands follow each other, or are the same. */
static bool is_batch(cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                     cublasLtMatrixLayout_t d)
{
    return a->batch == b->batch && a->batch == d->batch && a->batch >= 1 &&
           (a->batch == 1 ||
            (a->apart >= 0 && b->apart >= 0 && d->apart >= (int64_t)d->rows));
}

/* Below this a way sums in another order: there many do. */
enum { FEW_COLUMNS = 1024 };

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                              const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta,
                              const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t, cudaStream_t stream)
{
    const bool turned = desc->a_turned;
    const uint64_t m = turned ? a_layout->cols : a_layout->rows;
    const uint64_t k = turned ? a_layout->rows : a_layout->cols;
    if (cudasim_fails())
        return CUBLAS_STATUS_EXECUTION_FAILED;
    if (c != d || b_layout->rows != k || d_layout->rows != m ||
        d_layout->cols != b_layout->cols || c_layout->step != d_layout->step ||
        algorithm->m != m || algorithm->k != k || algorithm->most_n < b_layout->cols ||
        b_layout->cols == 0 || !is_batch(a_layout, b_layout, d_layout) ||
        !is_aligned(a, a_layout, algorithm->alignment) ||
        !is_aligned(b, b_layout, algorithm->alignment) ||
        !is_aligned(d, d_layout, algorithm->alignment))
        return CUBLAS_STATUS_INVALID_VALUE;
    /* There some ways are not for every number of columns below the one asked for. */
    if (b_layout->cols % 5 == 1)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    /* Nor for several products, and the heuristics were not asked about these. */
    if (b_layout->cols % 7 == 3 && b_layout->batch > 1)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    cudasim_check_argument(workspace, stream);
    std::vector<product> batch;
    for (int i = 0; i < b_layout->batch; i++) {
        const void *const places[] = {place_of(a, a_layout, i), place_of(b, b_layout, i),
                                      place_of(d, d_layout, i)};
        for (const void *memory : places)
            cudasim_check_argument(memory, stream);
        batch.push_back(
            {turned, false, (size_t)m, (size_t)b_layout->cols, (size_t)k, places[0],
             places[1], const_cast<void *>(places[2]), a_layout->type, d_layout->type,
             (size_t)a_layout->step, (size_t)b_layout->step, (size_t)d_layout->step,
             *static_cast<const float *>(alpha), *static_cast<const float *>(beta),
             algorithm->most_n < FEW_COLUMNS});
    }
    cudasim_count_product();
    cudasim_enqueue(
        stream,
        [=] {
            for (const product &p : batch)
                multiply(p);
        },
        cudasim_multiplying(2.0 * (double)m * (double)b_layout->cols * (double)k *
                            b_layout->batch));
    return CUBLAS_STATUS_SUCCESS;
}
