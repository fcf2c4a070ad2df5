/* The part of the CUDA runtime that extract/cuda uses, on the CPU, for tests: the same
 * .cu sources are compiled as C++ with this folder first in the include path. What a GPU
 * punishes at random is punished always: see cudasim.h for what is caught and for what
 * tests can set. */
#ifndef CUDASIM_CUDA_RUNTIME_H
#define CUDASIM_CUDA_RUNTIME_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>
#include <type_traits>

#define CUDART_VERSION 13000

/* ---- the language ---- */

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

/* Of the fiber that runs. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
enum { warpSize = 32 };

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
static inline float2 make_float2(float x, float y)
{
    return {x, y};
}
static inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}
static inline uint2 make_uint2(unsigned x, unsigned y)
{
    return {x, y};
}
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}

static inline unsigned __float_as_uint(float x)
{
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline float __uint_as_float(unsigned bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
static inline int __clz(int x)
{
    return x == 0 ? 32 : __builtin_clz((unsigned)x);
}
static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
template <typename T> static inline T __ldg(const T *p)
{
    return *p;
}

#define CUDASIM_ORDER(T)                                                                 \
    static inline T min(T a, T b)                                                        \
    {                                                                                    \
        return a < b ? a : b;                                                            \
    }                                                                                    \
    static inline T max(T a, T b)                                                        \
    {                                                                                    \
        return a > b ? a : b;                                                            \
    }
CUDASIM_ORDER(int)
CUDASIM_ORDER(unsigned)
CUDASIM_ORDER(long)
CUDASIM_ORDER(long long)
CUDASIM_ORDER(unsigned long)
#undef CUDASIM_ORDER

/* ---- barriers, shuffles, votes ---- */

void cudasim_block_barrier(const char *file, int line);
#define __syncthreads() cudasim_block_barrier(__FILE__, __LINE__)

/* Publish `bytes` of this lane, wait for the lanes of the mask; the value of a lane may
 * then be read until cudasim_warp_leave, which waits for them again. */
void cudasim_warp_enter(unsigned mask, const char *what, const void *value, size_t bytes);
const void *cudasim_warp_value(unsigned mask, unsigned lane);
void cudasim_warp_leave(unsigned mask);

static inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    cudasim_warp_enter(mask, "__syncwarp", nullptr, 0);
}

template <typename T>
static inline T cudasim_shuffle(unsigned mask, const char *what, T x, unsigned from)
{
    static_assert(std::is_arithmetic<T>::value, "as on the device");
    T result;
    cudasim_warp_enter(mask, what, &x, sizeof x);
    memcpy(&result, cudasim_warp_value(mask, from), sizeof result);
    cudasim_warp_leave(mask);
    return result;
}

static inline unsigned cudasim_lane(void)
{
    return threadIdx.x % warpSize;
}

/* Lanes beyond the section of `width` lanes: the lane's own value, as on the device. */
template <typename T>
static inline T __shfl_sync(unsigned mask, T x, int from, int width = warpSize)
{
    const unsigned w = (unsigned)width, base = cudasim_lane() / w * w;
    return cudasim_shuffle(mask, "__shfl_sync", x, base + (unsigned)from % w);
}
template <typename T>
static inline T __shfl_xor_sync(unsigned mask, T x, int bits, int width = warpSize)
{
    const unsigned w = (unsigned)width, lane = cudasim_lane();
    const unsigned from = lane ^ (unsigned)bits;
    return cudasim_shuffle(mask, "__shfl_xor_sync", x,
                           from < (lane / w + 1) * w ? from : lane);
}
template <typename T>
static inline T __shfl_down_sync(unsigned mask, T x, unsigned by, int width = warpSize)
{
    const unsigned w = (unsigned)width, lane = cudasim_lane();
    return cudasim_shuffle(mask, "__shfl_down_sync", x,
                           lane % w + by < w ? lane + by : lane);
}
template <typename T>
static inline T __shfl_up_sync(unsigned mask, T x, unsigned by, int width = warpSize)
{
    const unsigned w = (unsigned)width, lane = cudasim_lane();
    return cudasim_shuffle(mask, "__shfl_up_sync", x, lane % w >= by ? lane - by : lane);
}

unsigned __ballot_sync(unsigned mask, int predicate);
static inline int __any_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) != 0;
}
static inline int __all_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) == mask;
}

/* ---- atomics: fibers do not interrupt each other ---- */

template <typename T> static inline T atomicAdd(T *p, T x)
{
    const T old = *p;
    *p = old + x;
    return old;
}
template <typename T> static inline T atomicMax(T *p, T x)
{
    const T old = *p;
    *p = old > x ? old : x;
    return old;
}
template <typename T> static inline T atomicMin(T *p, T x)
{
    const T old = *p;
    *p = old < x ? old : x;
    return old;
}
template <typename T> static inline T atomicOr(T *p, T x)
{
    const T old = *p;
    *p = old | x;
    return old;
}

/* ---- what device.h asks for ---- */

void *cudasim_shared(const char *file, int line, size_t bytes);
void *cudasim_shared_dynamic(void);
void cudasim_mma_bf16(float d[4], const unsigned a[4], const unsigned b[2]);
float cudasim_exp2(float x);
void cudasim_copy_async(void *shared, const void *global, bool present);
void cudasim_copy_async_commit(void);
void cudasim_copy_async_wait(int newest);

/* ---- errors and devices ---- */

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorPeerAccessUnsupported = 217,
    cudaErrorNotReady = 600,
    cudaErrorPeerAccessAlreadyEnabled = 704,
    cudaErrorLaunchFailure = 719,
};
cudaError_t cudaGetLastError(void);
const char *cudaGetErrorString(cudaError_t status);

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlockOptin;
    int major, minor, multiProcessorCount;
};
cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *prop, int device);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaRuntimeGetVersion(int *version);

enum cudaDeviceP2PAttr {
    cudaDevP2PAttrPerformanceRank = 1,
    cudaDevP2PAttrAccessSupported = 2,
    cudaDevP2PAttrNativeAtomicSupported = 3,
};
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer);
cudaError_t cudaDeviceGetP2PAttribute(int *value, cudaDeviceP2PAttr attribute, int from,
                                      int to);
/* Of the chosen device, to the peer's memory; for as long as the process. */
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags);

/* ---- memory ---- */

enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
};
enum { cudaHostAllocDefault = 0 };
cudaError_t cudaMalloc(void **memory, size_t bytes);
template <typename T> static inline cudaError_t cudaMalloc(T **memory, size_t bytes)
{
    void *plain = nullptr;
    const cudaError_t status = cudaMalloc(&plain, bytes);
    *memory = static_cast<T *>(plain);
    return status;
}
cudaError_t cudaFree(void *memory);
cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaMemGetInfo(size_t *available, size_t *total);

/* ---- streams and events ---- */

typedef struct cudasim_stream *cudaStream_t;
typedef struct cudasim_event *cudaEvent_t;
enum { cudaStreamNonBlocking = 1 };
enum { cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2 };
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event,
                                unsigned flags = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
/* Between events without cudaEventDisableTiming that are done; only the clock's time
 * passes. */
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemcpyPeerAsync(void *dst, int to, const void *src, int from,
                                size_t bytes, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream);

/* ---- the clock (cudasim_set_speeds) ---- */

/* How far this thread is; and it learns of what happened at that moment. */
double cudasim_host_now(void);
void cudasim_host_not_before(double moment);

/* ---- launching ---- */

enum { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
cudaError_t cudaFuncSetAttribute(const void *kernel, int attribute, int value);

/* Fails the test unless it is NULL, memory of that stream's device, or pinned. */
void cudasim_check_argument(const void *argument, cudaStream_t stream);
template <typename T> static inline void cudasim_check(const T &, cudaStream_t)
{
}
template <typename T> static inline void cudasim_check(T *const &x, cudaStream_t stream)
{
    cudasim_check_argument(x, stream);
}

/* Queue a launch; body runs one thread of it. */
void cudasim_enqueue_launch(const void *kernel, dim3 grid, dim3 block,
                            size_t shared_bytes, cudaStream_t stream,
                            std::function<void()> body);

template <typename... P>
static inline void cudasim_launch(void (*kernel)(P...), dim3 grid, dim3 block,
                                  size_t shared_bytes, cudaStream_t stream, P... args)
{
    (cudasim_check(args, stream), ...);
    const std::tuple<P...> kept(args...);
    cudasim_enqueue_launch((const void *)kernel, grid, block, shared_bytes, stream,
                           [=] { std::apply(kernel, kept); });
}

#endif
