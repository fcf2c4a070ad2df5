/* cuBLAS, loaded when it is first used: it is large, takes longer to load than many runs
 * on the CPU, and a program that was built with it should run where it is not. These are
 * the functions of cublas_v2.h that the backend calls, under their own names. */
#include <cublasLt.h>
#include <cublas_v2.h>
#include <dlfcn.h>

#define TEXT_OF(x)   #x
#define NAME_OF(x)   TEXT_OF(x)
#define LIBRARY      "libcublas.so." NAME_OF(CUBLAS_VER_MAJOR)
#define LT_LIBRARY   "libcublasLt.so." NAME_OF(CUBLAS_VER_MAJOR)
#define SYMBOL_OF(x) NAME_OF(x) /* what cublas_v2.h makes of a name */

static void *library(void)
{
    static void *const opened = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    return opened;
}

/* The first has loaded it already. */
static void *lt_library(void)
{
    static void *const opened =
        library() != nullptr ? dlopen(LT_LIBRARY, RTLD_NOW | RTLD_LOCAL) : nullptr;
    return opened;
}

/* NULL: the library, or the function, is not there. */
template <typename F> static F find(const char *name, void *from = library())
{
    return reinterpret_cast<F>(from != nullptr ? dlsym(from, name) : nullptr);
}

#define FORWARD(function, ...)                                                           \
    static const auto found = find<decltype(&function)>(SYMBOL_OF(function));            \
    return found != nullptr ? found(__VA_ARGS__) : CUBLAS_STATUS_NOT_INITIALIZED

#define FORWARD_LT(function, ...)                                                        \
    static const auto found =                                                            \
        find<decltype(&function)>(SYMBOL_OF(function), lt_library());                    \
    return found != nullptr ? found(__VA_ARGS__) : CUBLAS_STATUS_NOT_INITIALIZED

extern "C" {

const char *cublasGetStatusString(cublasStatus_t status)
{
    static const auto found =
        find<decltype(&cublasGetStatusString)>("cublasGetStatusString");
    return found != nullptr ? found(status) : LIBRARY " cannot be loaded";
}

cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    FORWARD(cublasCreate, handle);
}

cublasStatus_t cublasDestroy(cublasHandle_t handle)
{
    FORWARD(cublasDestroy, handle);
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    FORWARD(cublasSetStream, handle, stream);
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    FORWARD(cublasSetMathMode, handle, mode);
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *memory, size_t bytes)
{
    FORWARD(cublasSetWorkspace, handle, memory, bytes);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa,
                            cublasOperation_t transb, int m, int n, int k,
                            const void *alpha, const void *a, cudaDataType a_type,
                            int lda, const void *b, cudaDataType b_type, int ldb,
                            const void *beta, void *c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm)
{
    /* The header overloads this name: the one with C linkage is meant. */
    using function = cublasStatus_t (*)(
        cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void *,
        const void *, cudaDataType, int, const void *, cudaDataType, int, const void *,
        void *, cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
    static const function found = find<function>("cublasGemmEx");
    return found != nullptr
               ? found(handle, transa, transb, m, n, k, alpha, a, a_type, lda, b, b_type,
                       ldb, beta, c, c_type, ldc, compute, algorithm)
               : CUBLAS_STATUS_NOT_INITIALIZED;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    FORWARD_LT(cublasLtCreate, handle);
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    FORWARD_LT(cublasLtDestroy, handle);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc,
                                        cublasComputeType_t compute, cudaDataType scale)
{
    FORWARD_LT(cublasLtMatmulDescCreate, desc, compute, scale);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    FORWARD_LT(cublasLtMatmulDescDestroy, desc);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes)
{
    FORWARD_LT(cublasLtMatmulDescSetAttribute, desc, attribute, value, bytes);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout,
                                          cudaDataType type, uint64_t rows, uint64_t cols,
                                          int64_t step)
{
    FORWARD_LT(cublasLtMatrixLayoutCreate, layout, type, rows, cols, step);
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    FORWARD_LT(cublasLtMatrixLayoutDestroy, layout);
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void *value, size_t bytes)
{
    FORWARD_LT(cublasLtMatrixLayoutSetAttribute, layout, attribute, value, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    FORWARD_LT(cublasLtMatmulPreferenceCreate, preference);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    FORWARD_LT(cublasLtMatmulPreferenceDestroy, preference);
}

cublasStatus_t
cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                     cublasLtMatmulPreferenceAttributes_t attribute,
                                     const void *value, size_t bytes)
{
    FORWARD_LT(cublasLtMatmulPreferenceSetAttribute, preference, attribute, value, bytes);
}

cublasStatus_t
cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                               cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                               cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                               cublasLtMatmulPreference_t preference, int asked,
                               cublasLtMatmulHeuristicResult_t *results, int *given)
{
    FORWARD_LT(cublasLtMatmulAlgoGetHeuristic, handle, desc, a, b, c, d, preference,
               asked, results, given);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                              const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta,
                              const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    FORWARD_LT(cublasLtMatmul, handle, desc, alpha, a, a_layout, b, b_layout, beta, c,
               c_layout, d, d_layout, algorithm, workspace, workspace_bytes, stream);
}
}
