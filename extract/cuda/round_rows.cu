/* round_rows: rows rounded to every format of common/round_row.h, bit for bit what
 * cpu/round_rows.c makes: a block for a row and a format, a thread for a block of columns
 * that may share a scale.
 *
 *     x [n, d]  ->  out [formats, places, d], row i at places[i]
 *
 * The row lies in shared memory meanwhile, as float. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

extern "C" {
#include "common/round_row.h"
}

enum { THREADS = 64, BLOCK = OL_MXFP8_BLOCK };
static_assert((int)BLOCK == (int)OL_MXFP4_BLOCK && (int)BLOCK == 2 * OL_NVFP4_BLOCK,
              "blocks of every format are whole ones of a thread's");

/* Values of half a block: what has a scale of its own. */
static __device__ __forceinline__ void round_nvfp4(const float *x, int64_t n, float over,
                                                   float *q)
{
    const float most = ol_largest_magnitude(x, n);
    ol_nvfp4_block(x, n, ol_nvfp4_scale(most, ol_e2m1_largest, over), q);
}

static __device__ __forceinline__ void round_four_over_six(const float *x, int64_t n,
                                                           float over, float *q)
{
    const float most = ol_largest_magnitude(x, n);
    ol_four_over_six_block(x, n, ol_nvfp4_scale(most, ol_e2m1_largest, over),
                           ol_nvfp4_scale(most, ol_smaller_largest, over), q);
}

/* x [n <= BLOCK] of a row whose largest magnitude is `most`. */
static __device__ void round_block(enum ol_row_format format, float most, const float *x,
                                   int n, float *q)
{
    const int first = n < OL_NVFP4_BLOCK ? n : (int)OL_NVFP4_BLOCK, rest = n - first;
    const float scale =
        format == OL_ROW_INT8 ? most / (float)OL_INT8_DIVISOR : most / ol_e4m3_largest;
    const float inverse = ol_inverse_scale(scale);
    switch (format) {
    case OL_ROW_INT8:
        for (int i = 0; i < n; i++)
            q[i] = ol_round_whole(x[i] * inverse) * scale;
        return;
    case OL_ROW_FP8:
        for (int i = 0; i < n; i++)
            q[i] = ol_e4m3_round(x[i] * inverse) * scale;
        return;
    case OL_ROW_MXFP8:
        ol_mxfp8_block(x, n, q);
        return;
    case OL_ROW_NVFP4:
        round_nvfp4(x, first, ol_nvfp4_over(most), q);
        if (rest > 0)
            round_nvfp4(x + first, rest, ol_nvfp4_over(most), q + first);
        return;
    case OL_ROW_FOUR_OVER_SIX:
        round_four_over_six(x, first, ol_four_over_six_over(most), q);
        if (rest > 0)
            round_four_over_six(x + first, rest, ol_four_over_six_over(most), q + first);
        return;
    case OL_ROW_MXFP4_FLOOR:
        ol_mxfp4_block(x, n, false, q);
        return;
    case OL_ROW_MXFP4_EVEN:
        ol_mxfp4_block(x, n, true, q);
        return;
    case OL_ROW_PLAIN:
    case OL_N_ROW_FORMATS:
        return;
    }
}

template <typename T>
static __global__ void round_rows(const T *x, int64_t n_cols, const int32_t *places,
                                  int64_t n_places, T *out)
{
    OL_SHARED_DYNAMIC(float, row);
    OL_SHARED(unsigned, warps, THREADS / OL_WARP);
    const enum ol_row_format format = (enum ol_row_format)blockIdx.y;
    T *to = out + ((int64_t)format * n_places + places[blockIdx.x]) * n_cols;
    unsigned bits = 0;
    for (int64_t c = threadIdx.x; c < n_cols; c += THREADS) {
        row[c] = ol_value(x[(int64_t)blockIdx.x * n_cols + c]);
        bits = max(bits, ol_bits_of_float(row[c]) & 0x7fffffffu);
    }
    for (int apart = OL_WARP / 2; apart > 0; apart /= 2)
        bits = max(bits, __shfl_xor_sync(OL_FULL_WARP, bits, apart));
    if (threadIdx.x % OL_WARP == 0)
        warps[threadIdx.x / OL_WARP] = bits;
    __syncthreads();
    for (int w = 0; w < THREADS / OL_WARP; w++)
        bits = max(bits, warps[w]);
    /* A row with a value that is not finite stays as it is. */
    const bool stays = format == OL_ROW_PLAIN || bits >= 0x7f800000u || bits == 0;
    const float most = ol_float_of_bits(bits), factor = ol_factor_for(most),
                back = 1 / factor;
    for (int64_t first = (int64_t)threadIdx.x * BLOCK; first < n_cols;
         first += THREADS * BLOCK) {
        const int n = (int)min(n_cols - first, (int64_t)BLOCK);
        float scaled[BLOCK], q[BLOCK];
        for (int i = 0; i < n; i++)
            scaled[i] = row[first + i] * factor;
        if (!stays)
            round_block(format, most * factor, scaled, n, q);
        for (int i = 0; i < n; i++)
            to[first + i] = ol_rounded<T>(stays ? row[first + i] : q[i] * back);
    }
}

template <typename T>
static int run(struct ol_cuda *cuda, struct ol_tensor x, const int32_t *places,
               struct ol_tensor out, struct ol_error *err)
{
    return ol_launch(cuda, err, "round_rows", round_rows<T>,
                     dim3((unsigned)x.n_rows, OL_N_ROW_FORMATS), dim3(THREADS),
                     (size_t)x.n_cols * sizeof(float), (const T *)x.data, x.n_cols,
                     places, out.n_rows / OL_N_ROW_FORMATS, (T *)out.data);
}

int ol_cuda_round_rows(struct ol_backend *b, struct ol_tensor x, const int32_t *places,
                       struct ol_tensor out, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    const int32_t *there = (const int32_t *)ol_cuda_put(
        cuda, places, (size_t)x.n_rows * sizeof *places, err);
    if (there == NULL)
        return -1;
    return x.dtype == OL_DTYPE_BF16 ? run<struct ol_bf16>(cuda, x, there, out, err)
                                    : run<float>(cuda, x, there, out, err);
}
