/* What kernels share: activations as float and back, shared memory, sums over a warp or
 * a block in a fixed order, and the instructions that only a device has, each with a
 * plain fallback for the simulated one.
 *
 * A kernel is a template over the type of an activation: `float`, or `struct ol_bf16`.
 * ol_value(x) widens one, ol_rounded<T>(float) makes one, ol_round_as<T>(float) rounds a
 * float to what T can hold:
 *
 *     template <typename T>
 *     static __global__ void add_kernel(T *x, const T *y, int64_t n)
 *     {
 *         const int64_t i = ol_thread_index();
 *         if (i < n)
 *             x[i] = ol_rounded<T>(ol_value(x[i]) + ol_value(y[i]));
 *     } */
#ifndef OL_CUDA_DEVICE_H
#define OL_CUDA_DEVICE_H

#include <math.h>
#include <stdint.h>

#include <cuda_runtime.h>

/* ---- bf16 ---- */

struct ol_bf16 {
    uint16_t bits;
};

static __device__ __forceinline__ float ol_value(float x)
{
    return x;
}

static __device__ __forceinline__ float ol_value(struct ol_bf16 x)
{
    return __uint_as_float((unsigned)x.bits << 16);
}

/* To nearest, ties to even; NaN stays NaN: the bits of ol_bf16_from_f32. */
static __device__ __forceinline__ uint16_t ol_bf16_bits(float x)
{
    const unsigned bits = __float_as_uint(x);
    const unsigned rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const unsigned nan = (bits >> 16) | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

template <typename T> __device__ __forceinline__ T ol_rounded(float x);

template <> __device__ __forceinline__ float ol_rounded<float>(float x)
{
    return x;
}

template <>
__device__ __forceinline__ struct ol_bf16 ol_rounded<struct ol_bf16>(float x) {
    struct ol_bf16 value;
    value.bits = ol_bf16_bits(x);
    return value;
}

template <typename T>
__device__ __forceinline__ float ol_round_as(float x)
{
    return ol_value(ol_rounded<T>(x));
}

/* ---- places ---- */

static constexpr int OL_WARP = 32;
#define OL_FULL_WARP 0xffffffffu

/* Of a grid and blocks that extend along x only. */
static __device__ __forceinline__ int64_t ol_thread_index(void)
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

/* `name` is an array of n in shared memory; or as much of it as the launch asked for,
 * 16-byte aligned. Both at the top of a kernel, not in functions that it calls. */
#ifdef __CUDACC__
#define OL_SHARED(type, name, n) __shared__ type name[n]
#define OL_SHARED_DYNAMIC(type, name)                                                    \
    extern __shared__ __align__(16) unsigned char ol_dynamic_shared[];                   \
    type *const name = reinterpret_cast<type *>(ol_dynamic_shared)
#else
#define OL_SHARED(type, name, n)                                                         \
    type(&name)[n] =                                                                     \
        *static_cast<type(*)[n]>(cudasim_shared(__FILE__, __LINE__, sizeof(type[n])))
#define OL_SHARED_DYNAMIC(type, name)                                                    \
    type *const name = static_cast<type *>(cudasim_shared_dynamic())
#endif

/* ---- sums and maxima: the same order whatever runs first ---- */

template <typename V> static __device__ __forceinline__ V ol_warp_sum(V x)
{
    for (int apart = OL_WARP / 2; apart > 0; apart /= 2)
        x += __shfl_xor_sync(OL_FULL_WARP, x, apart);
    return x;
}

static __device__ __forceinline__ float ol_warp_max(float x)
{
    for (int apart = OL_WARP / 2; apart > 0; apart /= 2)
        x = fmaxf(x, __shfl_xor_sync(OL_FULL_WARP, x, apart));
    return x;
}

/* Over all threads of a block along x, the result in every thread. `warps` is shared
 * memory for blockDim.x / 32 values; the block is in step before and after. */
template <typename V> static __device__ __forceinline__ V ol_block_sum(V x, V *warps)
{
    const unsigned n = blockDim.x / OL_WARP, lane = threadIdx.x % OL_WARP;
    x = ol_warp_sum(x);
    __syncthreads();
    if (lane == 0)
        warps[threadIdx.x / OL_WARP] = x;
    __syncthreads();
    V sum = 0;
    for (unsigned i = 0; i < n; i++)
        sum += warps[i];
    return sum;
}

static __device__ __forceinline__ float ol_block_max(float x, float *warps)
{
    const unsigned n = blockDim.x / OL_WARP, lane = threadIdx.x % OL_WARP;
    x = ol_warp_max(x);
    __syncthreads();
    if (lane == 0)
        warps[threadIdx.x / OL_WARP] = x;
    __syncthreads();
    float top = warps[0];
    for (unsigned i = 1; i < n; i++)
        top = fmaxf(top, warps[i]);
    return top;
}

/* ---- functions ---- */

static __device__ __forceinline__ float ol_cuda_sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static __device__ __forceinline__ float ol_cuda_silu(float x)
{
    return x / (1.0f + expf(-x));
}

/* 2^x, off by at most 2 in the last place (PTX ISA, ex2.approx.ftz); what is too small to
 * be normal is 0. exp2f is this instruction with a check of the range around it. */
static __device__ __forceinline__ float ol_exp2(float x)
{
#ifdef __CUDACC__
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return cudasim_exp2(x);
#endif
}

/* ---- tensor cores ---- */

/* d += a b by a whole warp: a is 16 x 16 bf16 row-major, b 16 x 8 bf16 column-major, d
 * 16 x 8 float, in the fragments of mma.sync.m16n8k16 (PTX ISA, "Matrix Fragments for
 * mma.m16n8k16 with floating point type"). With g = lane / 4, t = lane % 4:
 *     a[0] = rows g,     cols 2t, 2t + 1      a[1] = row g + 8, the same cols
 *     a[2] = row g, cols 2t + 8, 2t + 9       a[3] = row g + 8, cols 2t + 8, 2t + 9
 *     b[0] = rows 2t, 2t + 1, col g           b[1] = rows 2t + 8, 2t + 9, col g
 *     d[0], d[1] = row g, cols 2t, 2t + 1     d[2], d[3] = row g + 8
 * Of a pair, the lower index is in the low half. */
static __device__ __forceinline__ void ol_mma_bf16(float d[4], const unsigned a[4],
                                                   const unsigned b[2])
{
#ifdef __CUDACC__
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    cudasim_mma_bf16(d, a, b);
#endif
}

/* ---- copies that run beside the computing ---- */

/* 16 bytes from global to shared memory, both 16-byte aligned; there after the
 * ol_copy_async_wait of their group, and for other threads after a barrier behind it.
 * `present` false writes zeros and reads nothing. */
static __device__ __forceinline__ void ol_copy_async(void *shared, const void *global,
                                                     bool present)
{
#ifdef __CUDACC__
    const unsigned to = (unsigned)__cvta_generic_to_shared(shared);
    const int bytes = present ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(global),
                 "r"(bytes)
                 : "memory");
#else
    cudasim_copy_async(shared, global, present);
#endif
}

/* The copies since the last commit are a group. */
static __device__ __forceinline__ void ol_copy_async_commit(void)
{
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;\n" ::: "memory");
#else
    cudasim_copy_async_commit();
#endif
}

/* Wait until at most `newest` groups of this thread are under way. */
template <int newest> static __device__ __forceinline__ void ol_copy_async_wait(void)
{
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group %0;\n" ::"n"(newest) : "memory");
#else
    cudasim_copy_async_wait(newest);
#endif
}

#endif
