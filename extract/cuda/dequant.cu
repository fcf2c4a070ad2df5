/* decode: stored weights as numbers (weight.h says how each is read), exact in float
 * except what a format itself rounds: bit for bit what cpu/dequant.c makes. dst
 * [n_rows, n_cols] row-major, as float or bf16.
 *
 * A thread makes single values: their neighbours are made by its neighbours, so that
 * loads and stores are whole lines, and there is no format that is worth more beside the
 * copy that brings it here. Transposed matrices pass shared memory in squares. */
#include "extract/cuda/cuda.h"

#include "common/narrow.h"
#include "extract/cuda/pack.h"

enum { THREADS = 256, PER_THREAD = 4, SQUARE = 32, SQUARE_ROWS = 8 };

/* ---- half precision, as ol_f16_to_f32 and ol_f16_from_f32 ---- */

static __device__ float f16_value(uint16_t half)
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

static __device__ uint16_t f16_bits(float value)
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

static __device__ float load(const void *data, enum ol_dtype dtype, int64_t i)
{
    if (dtype == OL_DTYPE_F32)
        return static_cast<const float *>(data)[i];
    const uint16_t bits = static_cast<const uint16_t *>(data)[i];
    return dtype == OL_DTYPE_F16 ? f16_value(bits)
                                 : __uint_as_float((unsigned)bits << 16);
}

static __device__ unsigned word(const void *words, int64_t i)
{
    return static_cast<const unsigned *>(words)[i];
}

/* What a format rounds is rounded to the type of its scales. */
static __device__ float rounded(const struct ol_cuda_weight &w, float x)
{
    if (!w.rounds || w.dtype == OL_DTYPE_F32)
        return x;
    return w.dtype == OL_DTYPE_BF16 ? ol_round_as<struct ol_bf16>(x)
                                    : f16_value(f16_bits(x));
}

/* Of a group of E2M1 codes. */
static __device__ float group_scale(const struct ol_cuda_weight &w, unsigned code)
{
    if (w.encoding == OL_ENCODING_MXFP4)
        return ol_e8m0_value(code);
    return w.divides ? ol_e4m3_value(code) / w.factor : ol_e4m3_value(code) * w.factor;
}

static __device__ int64_t group_of(const struct ol_cuda_weight &w, int64_t c)
{
    return w.groups != nullptr ? (int64_t)word(w.groups, c) : ol_divide(c, w.block_cols);
}

static __device__ float int4_value(const struct ol_cuda_weight &w, int64_t r, int64_t c)
{
    const int64_t words = (w.n_cols + 7) / 8, g = group_of(w, c);
    const int64_t stored = w.first_row + r;
    const unsigned code = word(w.data, r * words + c / 8) >> (4 * (c % 8)) & 15;
    /* 8 - 8 = 0 stands for a symmetric format's middle. */
    const unsigned zero =
        w.zeros == nullptr
            ? 8
            : word(w.zeros, stored / 8 * w.n_groups + g) >> (4 * (stored % 8)) & 15;
    return rounded(w, ((float)code - (float)zero) *
                          load(w.scales, w.dtype, r * w.n_groups + g));
}

/* GPTQ and AWQ. */
static __device__ float column_value(const struct ol_cuda_weight &w, int64_t r, int64_t c)
{
    const bool awq = w.encoding == OL_ENCODING_AWQ;
    const int64_t g = group_of(w, c), words = w.n_rows / 8;
    /* Where in AWQ's word the code of row i is: 0 4 1 5 2 6 3 7. */
    const int64_t i = r % 8, place = awq ? i / 2 + i % 2 * 4 : i;
    const unsigned code = awq ? word(w.data, c * words + r / 8) >> (4 * place) & 15
                              : word(w.data, c / 8 * w.n_rows + r) >> (4 * (c % 8)) & 15;
    const unsigned zero =
        (word(w.zeros, g * words + r / 8) >> (4 * place) & 15) + (unsigned)w.zero_offset;
    return rounded(w, ((float)code - (float)zero) *
                          load(w.scales, w.dtype, g * w.n_rows + r));
}

static __device__ float value_of(const struct ol_cuda_weight &w, int64_t r, int64_t c)
{
    switch (w.encoding) {
    case OL_ENCODING_PLAIN:
        return load(w.data, w.dtype, r * w.row_step + c * w.col_step);
    case OL_ENCODING_FP8: {
        const int64_t block = ol_divide(w.first_row + r, w.block_rows);
        const float scale =
            load(w.scales, w.dtype, block * w.n_groups + ol_divide(c, w.block_cols));
        const unsigned code = static_cast<const uint8_t *>(w.data)[r * w.n_cols + c];
        return rounded(w, ol_e4m3_value(code) * scale);
    }
    case OL_ENCODING_MXFP4:
    case OL_ENCODING_NVFP4: {
        const uint8_t *scales = static_cast<const uint8_t *>(w.scales);
        const unsigned both =
            static_cast<const uint8_t *>(w.data)[r * (w.n_cols / 2) + c / 2];
        return ol_e2m1_value(c % 2 == 0 ? both & 15 : both >> 4) *
               group_scale(w, scales[r * w.n_groups + ol_divide(c, w.block_cols)]);
    }
    case OL_ENCODING_INT4:
        return int4_value(w, r, c);
    case OL_ENCODING_GPTQ:
    case OL_ENCODING_AWQ:
        return column_value(w, r, c);
    }
    return NAN;
}

/* ---- kernels: R is what values are rounded to, T how they are stored ---- */

template <typename R, typename T>
static __global__ void decode_rows(const struct ol_cuda_weight w, int64_t parts, T *dst)
{
    const int64_t r = ol_divide(blockIdx.x, parts);
    const int64_t first = (blockIdx.x - r * parts) * (THREADS * PER_THREAD) + threadIdx.x;
    for (int i = 0; i < PER_THREAD; i++) {
        const int64_t c = first + (int64_t)i * THREADS;
        if (c < w.n_cols)
            dst[r * w.n_cols + c] = ol_rounded<T>(ol_round_as<R>(value_of(w, r, c)));
    }
}

/* Neighbours in memory are neighbours in a column: read along these, write along rows. */
template <typename R, typename T>
static __global__ void decode_columns(const struct ol_cuda_weight w, int64_t across,
                                      T *dst)
{
    OL_SHARED(float, tile, SQUARE *(SQUARE + 1));
    const int64_t down = ol_divide(blockIdx.x, across);
    const int64_t row = down * SQUARE, col = (blockIdx.x - down * across) * SQUARE;
    for (int i = (int)threadIdx.y; i < SQUARE; i += SQUARE_ROWS) {
        const int64_t r = row + threadIdx.x, c = col + i;
        if (r < w.n_rows && c < w.n_cols)
            tile[i * (SQUARE + 1) + (int)threadIdx.x] = value_of(w, r, c);
    }
    __syncthreads();
    for (int i = (int)threadIdx.y; i < SQUARE; i += SQUARE_ROWS) {
        const int64_t r = row + i, c = col + threadIdx.x;
        if (r < w.n_rows && c < w.n_cols)
            dst[r * w.n_cols + c] =
                ol_rounded<T>(ol_round_as<R>(tile[(int)threadIdx.x * (SQUARE + 1) + i]));
    }
}

template <typename R, typename T>
static int decode(struct ol_cuda *cuda, const struct ol_cuda_weight *w, T *dst,
                  struct ol_error *err)
{
    const bool turned = (w->encoding == OL_ENCODING_PLAIN && w->row_step < w->col_step &&
                         w->n_rows > 1) ||
                        w->encoding == OL_ENCODING_GPTQ || w->encoding == OL_ENCODING_AWQ;
    if (turned) {
        const int64_t across = (w->n_cols + SQUARE - 1) / SQUARE;
        const int64_t down = (w->n_rows + SQUARE - 1) / SQUARE;
        return ol_launch(cuda, err, "decoding columns", decode_columns<R, T>,
                         dim3(ol_cuda_blocks(across * down, 1)),
                         dim3(SQUARE, SQUARE_ROWS), 0, *w, across, dst);
    }
    const int64_t part = THREADS * PER_THREAD, parts = (w->n_cols + part - 1) / part;
    return ol_launch(cuda, err, "decoding rows", decode_rows<R, T>,
                     dim3(ol_cuda_blocks(w->n_rows * parts, 1)), dim3(THREADS), 0, *w,
                     parts, dst);
}

int ol_cuda_decode(struct ol_cuda *cuda, const struct ol_cuda_weight *w,
                   enum ol_dtype rounding, enum ol_dtype dtype, void *dst,
                   struct ol_error *err)
{
    if (dtype == OL_DTYPE_BF16)
        return decode<struct ol_bf16, struct ol_bf16>(cuda, w, (struct ol_bf16 *)dst,
                                                      err);
    if (rounding == OL_DTYPE_BF16)
        return decode<struct ol_bf16, float>(cuda, w, (float *)dst, err);
    return decode<float, float>(cuda, w, (float *)dst, err);
}
