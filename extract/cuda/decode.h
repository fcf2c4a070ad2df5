/* How a device decodes weights; a format's NAME.cu beside its NAME.c says what a value
 * is:
 *
 *     struct fp8 {
 *         static __device__ float value(const struct ol_cuda_weight &w, int64_t r,
 * int64_t c)
 *     };
 *     OL_CUDA_DECODER(fp8, struct fp8)
 *
 * A thread makes single values: their neighbours are made by its neighbours, so that
 * loads and stores are whole lines, and there is no format that is worth more beside the
 * copy that brings it here. Transposed matrices pass shared memory in squares. */
#ifndef OL_CUDA_DECODE_H
#define OL_CUDA_DECODE_H

#include "extract/cuda/cuda.h"

#include "common/narrow.h"
#include "extract/cuda/pack.h"

enum {
    OL_DECODE_THREADS = 256,
    OL_DECODE_PER_THREAD = 4,
    OL_DECODE_SQUARE = 32,
    OL_DECODE_SQUARE_ROWS = 8
};

/* ---- half precision, as ol_f16_to_f32 and ol_f16_from_f32 ---- */

static __device__ __forceinline__ float ol_f16_value(uint16_t half)
{
    const unsigned sign = (unsigned)(half & 0x8000u) << 16;
    const unsigned exponent = (half >> 10) & 0x1fu, mantissa = half & 0x3ffu;
    if (exponent == 0) {
        const float value = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    const unsigned wide = exponent == 0x1f ? 0x7f800000u | mantissa << 13
                                           : (exponent + 112) << 23 | mantissa << 13;
    return __uint_as_float(sign | wide);
}

static __device__ __forceinline__ uint16_t ol_f16_bits(float value)
{
    const unsigned bits = __float_as_uint(value);
    const unsigned sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {
        const float wide = __uint_as_float(magnitude) + 0.5f;
        return (uint16_t)(sign | (__float_as_uint(wide) - 0x3f000000u));
    }
    const unsigned rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

/* ---- parts of a value ---- */

static __device__ __forceinline__ float ol_load(const void *data, enum ol_dtype dtype,
                                                int64_t i)
{
    switch (dtype) {
    case OL_DTYPE_F32:
        return static_cast<const float *>(data)[i];
    case OL_DTYPE_BF16:
        return __uint_as_float((unsigned)static_cast<const uint16_t *>(data)[i] << 16);
    case OL_DTYPE_F16:
        return ol_f16_value(static_cast<const uint16_t *>(data)[i]);
    case OL_DTYPE_E4M3:
        return ol_e4m3_value(static_cast<const uint8_t *>(data)[i]);
    case OL_DTYPE_E8M0:
        return ol_e8m0_value(static_cast<const uint8_t *>(data)[i]);
    case OL_DTYPE_I32:
    case OL_DTYPE_I64:
    case OL_DTYPE_F64:
        break;
    }
    return NAN;
}

static __device__ __forceinline__ float ol_scale(const struct ol_cuda_weight &w,
                                                 int64_t i)
{
    return ol_load(w.scales, w.scale_dtype, i);
}

static __device__ __forceinline__ unsigned ol_word(const void *words, int64_t i)
{
    return static_cast<const unsigned *>(words)[i];
}

/* Codes of 4 or 8 bits: a word has 2^shift of them. Divisions by numbers that the
 * compiler does not know are long. */
static __device__ __forceinline__ int ol_word_shift(const struct ol_cuda_weight &w)
{
    return w.bits == 4 ? 3 : 2;
}

/* The code at `place` of a word of codes of so many bits, lowest first. */
static __device__ __forceinline__ unsigned ol_code(unsigned word, int64_t place, int bits)
{
    return word >> (bits * place) & ((1u << bits) - 1);
}

/* What a format rounds is rounded to the type of its scales. */
static __device__ __forceinline__ float ol_format_rounded(const struct ol_cuda_weight &w,
                                                          float x)
{
    if (!w.rounds || w.scale_dtype == OL_DTYPE_F32)
        return x;
    return w.scale_dtype == OL_DTYPE_BF16 ? ol_round_as<struct ol_bf16>(x)
                                          : ol_f16_value(ol_f16_bits(x));
}

static __device__ __forceinline__ int64_t ol_group(const struct ol_cuda_weight &w,
                                                   int64_t c)
{
    return w.groups != nullptr ? (int64_t)ol_word(w.groups, c)
                               : ol_divide(c, w.block_cols);
}

/* ---- kernels: F is the format, R what values are rounded to, T how they are stored ----
 */

template <typename F, typename R, typename T>
static __global__ void ol_decode_rows(const struct ol_cuda_weight w, int64_t parts,
                                      T *dst)
{
    const int64_t r = ol_divide(blockIdx.x, parts);
    const int64_t first =
        (blockIdx.x - r * parts) * (OL_DECODE_THREADS * OL_DECODE_PER_THREAD) +
        threadIdx.x;
    for (int i = 0; i < OL_DECODE_PER_THREAD; i++) {
        const int64_t c = first + (int64_t)i * OL_DECODE_THREADS;
        if (c < w.n_cols)
            dst[r * w.n_cols + c] = ol_rounded<T>(ol_round_as<R>(F::value(w, r, c)));
    }
}

/* Neighbours in memory are neighbours in a column: read along these, write along rows. */
template <typename F, typename R, typename T>
static __global__ void ol_decode_columns(const struct ol_cuda_weight w, int64_t across,
                                         T *dst)
{
    OL_SHARED(float, tile, OL_DECODE_SQUARE *(OL_DECODE_SQUARE + 1));
    const int64_t down = ol_divide(blockIdx.x, across);
    const int64_t row = down * OL_DECODE_SQUARE,
                  col = (blockIdx.x - down * across) * OL_DECODE_SQUARE;
    for (int i = (int)threadIdx.y; i < OL_DECODE_SQUARE; i += OL_DECODE_SQUARE_ROWS) {
        const int64_t r = row + threadIdx.x, c = col + i;
        if (r < w.n_rows && c < w.n_cols)
            tile[i * (OL_DECODE_SQUARE + 1) + (int)threadIdx.x] = F::value(w, r, c);
    }
    __syncthreads();
    for (int i = (int)threadIdx.y; i < OL_DECODE_SQUARE; i += OL_DECODE_SQUARE_ROWS) {
        const int64_t r = row + i, c = col + threadIdx.x;
        if (r < w.n_rows && c < w.n_cols)
            dst[r * w.n_cols + c] = ol_rounded<T>(
                ol_round_as<R>(tile[(int)threadIdx.x * (OL_DECODE_SQUARE + 1) + i]));
    }
}

template <typename F, typename R, typename T>
static int ol_decode_as(struct ol_cuda *cuda, const struct ol_cuda_weight *w, T *dst,
                        struct ol_error *err)
{
    if (w->turned) {
        const int64_t across = (w->n_cols + OL_DECODE_SQUARE - 1) / OL_DECODE_SQUARE;
        const int64_t down = (w->n_rows + OL_DECODE_SQUARE - 1) / OL_DECODE_SQUARE;
        return ol_launch(cuda, err, "decoding columns", ol_decode_columns<F, R, T>,
                         dim3(ol_cuda_blocks(across * down, 1)),
                         dim3(OL_DECODE_SQUARE, OL_DECODE_SQUARE_ROWS), 0, *w, across,
                         dst);
    }
    const int64_t part = OL_DECODE_THREADS * OL_DECODE_PER_THREAD,
                  parts = (w->n_cols + part - 1) / part;
    return ol_launch(cuda, err, "decoding rows", ol_decode_rows<F, R, T>,
                     dim3(ol_cuda_blocks(w->n_rows * parts, 1)), dim3(OL_DECODE_THREADS),
                     0, *w, parts, dst);
}

template <typename F>
static int ol_decode(struct ol_cuda *cuda, const struct ol_cuda_weight *w,
                     enum ol_dtype rounding, enum ol_dtype dtype, void *dst,
                     struct ol_error *err)
{
    if (dtype == OL_DTYPE_BF16)
        return ol_decode_as<F, struct ol_bf16, struct ol_bf16>(
            cuda, w, (struct ol_bf16 *)dst, err);
    if (rounding == OL_DTYPE_BF16)
        return ol_decode_as<F, struct ol_bf16, float>(cuda, w, (float *)dst, err);
    return ol_decode_as<F, float, float>(cuda, w, (float *)dst, err);
}

/* As ol_cuda_decode, of one format. */
typedef int ol_cuda_decoder(struct ol_cuda *cuda, const struct ol_cuda_weight *w,
                            enum ol_dtype rounding, enum ol_dtype dtype, void *dst,
                            struct ol_error *err);

#define OL_FORMAT(NAME, name) ol_cuda_decoder ol_cuda_decode_##name;
#include "extract/weights/formats/list.h"

#define OL_CUDA_DECODER(name, F)                                                         \
    int ol_cuda_decode_##name(struct ol_cuda *cuda, const struct ol_cuda_weight *w,      \
                              enum ol_dtype rounding, enum ol_dtype dtype, void *dst,    \
                              struct ol_error *err)                                      \
    {                                                                                    \
        return ol_decode<F>(cuda, w, rounding, dtype, dst, err);                         \
    }

#endif
