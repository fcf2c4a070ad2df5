/* cuBLAS, loaded when it is first used: it is large, takes longer to load than many runs
 * on the CPU, and a program that was built with it should run where it is not. These are
 * the functions of cublas_v2.h that the backend calls, under their own names. */
#include <cublas_v2.h>
#include <dlfcn.h>

#define TEXT_OF(x)   #x
#define NAME_OF(x)   TEXT_OF(x)
#define LIBRARY      "libcublas.so." NAME_OF(CUBLAS_VER_MAJOR)
#define SYMBOL_OF(x) NAME_OF(x) /* what cublas_v2.h makes of a name */

static void *library(void)
{
    static void *const opened = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    return opened;
}

/* NULL: the library, or the function, is not there. */
template <typename F> static F find(const char *name)
{
    void *const symbol = library() != nullptr ? dlsym(library(), name) : nullptr;
    return reinterpret_cast<F>(symbol);
}

#define FORWARD(function, ...)                                                           \
    static const auto found = find<decltype(&function)>(SYMBOL_OF(function));            \
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
}
