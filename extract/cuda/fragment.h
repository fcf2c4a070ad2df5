/* Operands of ol_mma_bf16 (device.h) from shared memory, by a whole warp: matrices of
 * 16 x 16 bfloat16 whose rows are `step` values apart (a multiple of 8, so that they
 * begin on 16 bytes). A GPU fetches four matrices of 8 x 8 at once, to which groups of
 * eight lanes name the rows; beside it stands what a lane gets, for the simulated device.
 */
#ifndef OL_CUDA_FRAGMENT_H
#define OL_CUDA_FRAGMENT_H

#include "extract/cuda/device.h"

/* Two floats as bfloat16, rounded to nearest even, the first in the low half. */
static __device__ __forceinline__ unsigned ol_pack_bf16(float low, float high)
{
#ifdef __CUDACC__
    unsigned packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
#else
    return ol_bf16_bits(low) | (unsigned)ol_bf16_bits(high) << 16;
#endif
}

#ifdef __CUDACC__
#define OL_LOAD_MATRICES(turned, part, row)                                              \
    asm volatile("ldmatrix.sync.aligned.m8n8.x4" turned                                  \
                 ".shared.b16 {%0, %1, %2, %3}, [%4];"                                   \
                 : "=r"((part)[0]), "=r"((part)[1]), "=r"((part)[2]), "=r"((part)[3])    \
                 : "r"((unsigned)__cvta_generic_to_shared(row))                          \
                 : "memory")
#else
static inline unsigned ol_pair(struct ol_bf16 low, struct ol_bf16 high)
{
    return low.bits | (unsigned)high.bits << 16;
}
#endif

/* a: [16 rows, 16 k] as it lies. */
static __device__ __forceinline__ void ol_load_a(unsigned a[4], const struct ol_bf16 *at,
                                                 int step)
{
    const int lane = (int)(threadIdx.x % OL_WARP);
#ifdef __CUDACC__
    OL_LOAD_MATRICES("", a, at + lane % 16 * step + lane / 16 * 8);
#else
    for (int m = 0; m < 4; m++) {
        const struct ol_bf16 *x =
            at + (lane / 4 + m % 2 * 8) * step + lane % 4 * 2 + m / 2 * 8;
        a[m] = ol_pair(x[0], x[1]);
    }
#endif
}

/* b twice, for columns 0..7 and 8..15, of a matrix that lies as [16 columns, 16 k]. */
static __device__ __forceinline__ void ol_load_b(unsigned b[4], const struct ol_bf16 *at,
                                                 int step)
{
    const int lane = (int)(threadIdx.x % OL_WARP);
#ifdef __CUDACC__
    OL_LOAD_MATRICES("", b, at + (lane % 8 + lane / 16 * 8) * step + lane / 8 % 2 * 8);
#else
    for (int m = 0; m < 4; m++) {
        const struct ol_bf16 *x =
            at + (lane / 4 + m / 2 * 8) * step + lane % 4 * 2 + m % 2 * 8;
        b[m] = ol_pair(x[0], x[1]);
    }
#endif
}

/* The same of a matrix that lies as [16 k, 16 columns]. */
static __device__ __forceinline__ void ol_load_b_plain(unsigned b[4],
                                                       const struct ol_bf16 *at, int step)
{
    const int lane = (int)(threadIdx.x % OL_WARP);
#ifdef __CUDACC__
    OL_LOAD_MATRICES(".trans", b, at + lane % 16 * step + lane / 16 * 8);
#else
    for (int m = 0; m < 4; m++) {
        const struct ol_bf16 *x =
            at + (lane % 4 * 2 + m % 2 * 8) * step + lane / 4 + m / 2 * 8;
        b[m] = ol_pair(x[0], x[step]);
    }
#endif
}

#endif
