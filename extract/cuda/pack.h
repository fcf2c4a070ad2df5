/* Passing over values in packs: what a thread loads and stores at once, 16 bytes of
 * activations where rows are made of whole packs, else single values. Kernels are
 * templates over the values V of a pack and have a thread per pack. */
#ifndef OL_CUDA_PACK_H
#define OL_CUDA_PACK_H

#include "extract/cuda/device.h"

template <typename T, int V> struct alignas(sizeof(T) * V) ol_pack {
    T v[V];
};

template <typename T, int V>
static __device__ __forceinline__ struct ol_pack<T, V> ol_load_pack(const T *x,
                                                                    int64_t at) {
    return *reinterpret_cast<const struct ol_pack<T, V> *>(x + at);
}

template <typename T, int V>
static __device__ __forceinline__ void ol_store_pack(T *x, int64_t at,
                                                     const struct ol_pack<T, V> &pack)
{
    *reinterpret_cast<struct ol_pack<T, V> *>(x + at) = pack;
}

/* i / n, both at least 0, n below 2^32: a division of 64 bits takes longer than all else
 * that these kernels do. */
static __device__ __forceinline__ int64_t ol_divide(int64_t i, int64_t n)
{
    return (uint64_t)i >> 32 == 0 ? (int64_t)((unsigned)i / (unsigned)n) : i / n;
}

/* Packs of rows of n_cols values. */
enum { OL_PACK_BF16 = 8, OL_PACK_F32 = 4, OL_PACK_THREADS = 256 };

/* Call launch<T, V>(arguments) for the tensor's type, with packs if rows are made of
 * them. */
#define OL_BY_PACK(dtype, n_cols, launch, ...)                                           \
    ((dtype) == OL_DTYPE_BF16                                                            \
         ? ((n_cols) % OL_PACK_BF16 == 0                                                 \
                ? launch<struct ol_bf16, OL_PACK_BF16>(__VA_ARGS__)                      \
                : launch<struct ol_bf16, 1>(__VA_ARGS__))                                \
         : ((n_cols) % OL_PACK_F32 == 0 ? launch<float, OL_PACK_F32>(__VA_ARGS__)        \
                                        : launch<float, 1>(__VA_ARGS__)))

#endif
