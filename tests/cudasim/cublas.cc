/* The products of cuBLAS in plain loops: bf16 or float operands, sums in float in rising
 * order of k. */
#include <cublas_v2.h>

#include "internal.h"

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
        for (size_t l = 0; l < p.k; l++) {
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
                       *static_cast<const float *>(beta)};
    cudasim_enqueue(handle->stream, [=] { multiply(p); });
    return CUBLAS_STATUS_SUCCESS;
}
