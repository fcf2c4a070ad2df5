/* peaks: what the first device can do, as one line "NAME|H2D GB/s|bf16 TFLOP/s|bf16
 * TFLOP/s": copies of pinned memory to it, a product of cuBLAS of 8192 x 8192 x 8192, and
 * products as experts are, of 1,000 rows by 2048 x 768, on streams beside each other; the
 * best of a few. */
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <stdint.h>
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

enum { N_STREAMS = 8, N_EXPERTS = 64, ROWS = 1000, WIDTH = 768, DEPTH = 2048 };

/* Of N_EXPERTS products, whose weights lie behind each other. What is recorded on the
 * default stream waits for all others, and they for it. */
static double expert_seconds(const unsigned short *w, const unsigned short *x,
                             unsigned short *out)
{
    cudaStream_t streams[N_STREAMS];
    cublasHandle_t blas[N_STREAMS];
    const float one = 1, zero = 0;
    for (int i = 0; i < N_STREAMS; i++)
        check(cudaStreamCreate(&streams[i]) == cudaSuccess &&
                  cublasCreate(&blas[i]) == CUBLAS_STATUS_SUCCESS &&
                  cublasSetStream(blas[i], streams[i]) == CUBLAS_STATUS_SUCCESS,
              "making streams");
    return best_seconds([&] {
        for (int e = 0; e < N_EXPERTS; e++)
            check(cublasGemmEx(blas[e % N_STREAMS], CUBLAS_OP_T, CUBLAS_OP_N, WIDTH, ROWS,
                               DEPTH, &one, w + (size_t)e % 32 * WIDTH * DEPTH,
                               CUDA_R_16BF, DEPTH, x, CUDA_R_16BF, DEPTH, &zero,
                               out + (size_t)e * ROWS * WIDTH, CUDA_R_16BF, WIDTH,
                               CUBLAS_COMPUTE_32F,
                               CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS,
                  "an expert's product");
    });
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
    const double experts = expert_seconds(a, b, c);
    printf("%s|%.1f|%.0f|%.0f\n", prop.name, (double)bytes / copying / 1e9,
           2.0 * (double)n * (double)side / multiplying / 1e12,
           2.0 * (double)((int64_t)N_EXPERTS * ROWS * WIDTH * DEPTH) / experts / 1e12);
    return 0;
}
