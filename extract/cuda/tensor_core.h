/* tensor_core: what attention needs of a GPU's matrix units, each instruction behind one
 * function of a whole warp, with a plain twin for compilers that make no GPU code.
 *
 * Matrices of 16 x 16 bfloat16 lie in shared memory, rows `stride` apart (a multiple of
 * 8, so that rows begin on 16 bytes). A lane's part of them and of a sum (PTX ISA,
 * "Matrix Fragments for mma.m16n8k16"), with g = lane / 4 and t = 2 (lane % 4):
 *
 *     left   [16 rows, 16 k]   (g, t..t+1) (g+8, t..) (g, t+8..) (g+8, t+8..)
 *     right  [16 k, 8 columns] (t..t+1, g) (t+8.., g)
 *     sum    [16 rows, 8 columns] (g, t) (g, t+1) (g+8, t) (g+8, t+1)
 */
#ifndef OL_TENSOR_CORE_H
#define OL_TENSOR_CORE_H

#include <stdint.h>

/* Two floats as bfloat16, rounded to nearest even, the first in the low half. */
static __device__ __forceinline__ uint32_t pack_bf16(float low, float high)
{
#ifdef __CUDA_ARCH__
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
#else
    return ol_bf16_from_f32(low) | (uint32_t)ol_bf16_from_f32(high) << 16;
#endif
}

/* ---- from device memory to shared memory, beside what the thread does next ---- */

/* 16 bytes, both places on 16 bytes; zeros instead of them when not `there` (from is then
 * any valid address). */
static __device__ __forceinline__ void copy_16(uint16_t *to, const uint16_t *from,
                                               bool there)
{
#ifdef __CUDA_ARCH__
    const int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     (uint32_t)__cvta_generic_to_shared(to)),
                 "l"(from), "r"(bytes)
                 : "memory");
#else
    for (int i = 0; i < 8; i++)
        to[i] = there ? from[i] : (uint16_t)0;
#endif
}

/* The thread's copies up to here are one group. */
static __device__ __forceinline__ void copy_mark(void)
{
#ifdef __CUDA_ARCH__
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/* Wait until the thread's groups have arrived; others' arrive at the next barrier. */
static __device__ __forceinline__ void copy_wait(void)
{
#ifdef __CUDA_ARCH__
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

/* ---- matrices from shared memory ---- */

/* Matrices of 8 x 8 numbered 0..3, matrix m beginning at (row[m], column[m]) of `at`. */
#ifdef __CUDA_ARCH__
static __device__ __forceinline__ uint32_t lane_address(const uint16_t *at, int row,
                                                        int column, int stride)
{
    return (uint32_t)__cvta_generic_to_shared(at + row * stride + column);
}

static __device__ __forceinline__ void load_four(uint32_t part[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(part[0]), "=r"(part[1]), "=r"(part[2]), "=r"(part[3])
                 : "r"(address)
                 : "memory");
}

static __device__ __forceinline__ void load_four_turned(uint32_t part[4],
                                                        uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(part[0]), "=r"(part[1]), "=r"(part[2]), "=r"(part[3])
                 : "r"(address)
                 : "memory");
}
#else
static __device__ inline uint32_t pair(uint16_t low, uint16_t high)
{
    return low | (uint32_t)high << 16;
}
#endif

/* A left operand: 16 rows as they lie, 16 k. */
static __device__ __forceinline__ void load_left(uint32_t part[4], const uint16_t *at,
                                                 int stride)
{
    const int lane = threadIdx.x % 32;
#ifdef __CUDA_ARCH__
    load_four(part, lane_address(at, lane % 16, lane / 16 * 8, stride));
#else
    const int g = lane / 4, t = lane % 4 * 2;
    for (int m = 0; m < 4; m++) {
        const uint16_t *x = at + (g + m % 2 * 8) * stride + t + m / 2 * 8;
        part[m] = pair(x[0], x[1]);
    }
#endif
}

/* Two right operands whose 8 + 8 columns are rows here: [16 columns, 16 k]. */
static __device__ __forceinline__ void load_right(uint32_t part[4], const uint16_t *at,
                                                  int stride)
{
    const int lane = threadIdx.x % 32;
#ifdef __CUDA_ARCH__
    load_four(part, lane_address(at, lane % 8 + lane / 16 * 8, lane / 8 % 2 * 8, stride));
#else
    const int g = lane / 4, t = lane % 4 * 2;
    for (int m = 0; m < 4; m++) {
        const uint16_t *x = at + (g + m / 2 * 8) * stride + t + m % 2 * 8;
        part[m] = pair(x[0], x[1]);
    }
#endif
}

/* Two right operands as they lie: [16 k, 8 + 8 columns]. */
static __device__ __forceinline__ void load_right_turned(uint32_t part[4],
                                                         const uint16_t *at, int stride)
{
    const int lane = threadIdx.x % 32;
#ifdef __CUDA_ARCH__
    load_four_turned(part, lane_address(at, lane % 16, lane / 16 * 8, stride));
#else
    const int g = lane / 4, t = lane % 4 * 2;
    for (int m = 0; m < 4; m++) {
        const uint16_t *x = at + (t + m % 2 * 8) * stride + g + m / 2 * 8;
        part[m] = pair(x[0], x[stride]);
    }
#endif
}

/* ---- product ---- */

/* sum += left right, 16 x 8 x 16, in float. */
static __device__ __forceinline__ void multiply(float sum[4], const uint32_t left[4],
                                                const uint32_t right[2])
{
#ifdef __CUDA_ARCH__
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]),
                   "r"(right[1]));
#else
    /* The lanes put their parts together, as the unit does. */
    __shared__ float a[32][16][16], b[32][8][16];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int g = lane / 4, t = lane % 4 * 2;
    __syncwarp();
    for (int m = 0; m < 4; m++)
        for (int half = 0; half < 2; half++)
            a[warp][g + m % 2 * 8][t + m / 2 * 8 + half] =
                ol_bf16_to_f32((uint16_t)(left[m] >> 16 * half));
    for (int m = 0; m < 2; m++)
        for (int half = 0; half < 2; half++)
            b[warp][g][t + m * 8 + half] =
                ol_bf16_to_f32((uint16_t)(right[m] >> 16 * half));
    __syncwarp();
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 16; k++)
            sum[i] += a[warp][g + i / 2 * 8][k] * b[warp][t + i % 2][k];
#endif
}

#endif
