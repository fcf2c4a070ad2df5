/* peaks: what the first device can do, as one line "NAME|H2D GB/s|bf16 TFLOP/s": copies
 * of pinned memory to it, and a product of cuBLAS of 8192 x 8192 x 8192, the best of a
 * few. */
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <stdio.h>
#include <stdlib.h>

static void check(bool fine, const char *what)
{
    if (fine)
        return;
    fprintf(stderr, "peaks: %s failed: %s\n", what,
            cudaGetErrorString(cudaGetLastError()));
    exit(1);
}

template <typename Work> static double best_seconds(Work work)
{
    enum { TIMES = 10 };
    cudaEvent_t begin, end;
    double best = 1e30;
    cudaEventCreate(&begin);
    cudaEventCreate(&end);
    for (int i = 0; i < TIMES; i++) {
        float milliseconds = 0;
        cudaEventRecord(begin, 0);
        work();
        cudaEventRecord(end, 0);
        check(cudaEventSynchronize(end) == cudaSuccess, "timing");
        cudaEventElapsedTime(&milliseconds, begin, end);
        best = milliseconds / 1e3 < best ? milliseconds / 1e3 : best;
    }
    return best;
}

/* Bits that are no zeros: products of zeros are faster. */
static __global__ void fill(unsigned short *x, size_t n)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        x[i] = (unsigned short)(0x3f00u + (i * 2654435761u >> 7 & 0x80ffu));
}

int main(void)
{
    const size_t bytes = (size_t)256 << 20, side = 8192, n = side * side;
    cudaDeviceProp prop;
    void *host = NULL, *device = NULL;
    unsigned short *a = NULL, *b = NULL, *c = NULL;
    cublasHandle_t blas;
    check(cudaGetDeviceProperties(&prop, 0) == cudaSuccess, "finding a device");
    check(cudaHostAlloc(&host, bytes, 0) == cudaSuccess, "pinning memory");
    check(cudaMalloc(&device, bytes) == cudaSuccess &&
              cudaMalloc(&a, 2 * n) == cudaSuccess &&
              cudaMalloc(&b, 2 * n) == cudaSuccess &&
              cudaMalloc(&c, 2 * n) == cudaSuccess,
          "reserving memory");
    check(cublasCreate(&blas) == CUBLAS_STATUS_SUCCESS, "starting cuBLAS");
    fill<<<(unsigned)(n / 256), 256>>>(a, n);
    fill<<<(unsigned)(n / 256), 256>>>(b, n);
    const double copying = best_seconds(
        [&] { cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, 0); });
    const float one = 1, zero = 0;
    const int s = (int)side;
    const double multiplying = best_seconds([&] {
        check(cublasGemmEx(blas, CUBLAS_OP_T, CUBLAS_OP_N, s, s, s, &one, a, CUDA_R_16BF,
                           s, b, CUDA_R_16BF, s, &zero, c, CUDA_R_16BF, s,
                           CUBLAS_COMPUTE_32F,
                           CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS,
              "a product");
    });
    printf("%s|%.1f|%.0f\n", prop.name, (double)bytes / copying / 1e9,
           2.0 * (double)n * (double)side / multiplying / 1e12);
    return 0;
}
