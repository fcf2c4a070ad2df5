/* compress: entries that stand for `rate` keys each, weighed channel by channel by a
 * softmax over them, and where they overlap over those before them too. A thread has a
 * channel of an entry. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { THREADS = 128 };

struct compress {
    int rate;
    bool overlaps;
    const float *bias; /* [rate, width] */
    int64_t d, width;  /* of entries, of what they are made of */
};

/* Of place i of an entry: the value's, or gate's, index; and of its bias. Behind those of
 * its own window, whose second columns count where entries overlap, come the first
 * columns of the window before. */
static __device__ __forceinline__ int64_t place_of(const struct compress &a,
                                                   int64_t entry, int i, int64_t channel,
                                                   int64_t *bias)
{
    const bool before = i >= a.rate;
    const int slot = before ? i - a.rate : i;
    const int64_t column = (a.overlaps && !before ? a.d : 0) + channel;
    *bias = slot * a.width + column;
    return ((entry - (before ? 1 : 0)) * a.rate + slot) * a.width + column;
}

template <typename T>
static __global__ void compress_kernel(const struct compress a, const T *values,
                                       const T *gates, T *out)
{
    const int64_t entry = blockIdx.x;
    const int n = a.overlaps && entry > 0 ? 2 * a.rate : a.rate;
    for (int64_t c = threadIdx.x; c < a.d; c += THREADS) {
        float top = -INFINITY, total = 0, sum = 0;
        int64_t bias;
        for (int i = 0; i < n; i++) {
            const int64_t at = place_of(a, entry, i, c, &bias);
            top = fmaxf(top, ol_value(gates[at]) + a.bias[bias]);
        }
        for (int i = 0; i < n; i++) {
            const int64_t at = place_of(a, entry, i, c, &bias);
            total += expf(ol_value(gates[at]) + a.bias[bias] - top);
        }
        for (int i = 0; i < n; i++) {
            const int64_t at = place_of(a, entry, i, c, &bias);
            const float share =
                ol_round_as<T>(expf(ol_value(gates[at]) + a.bias[bias] - top) / total);
            sum += ol_round_as<T>(share * ol_value(values[at]));
        }
        out[entry * a.d + c] = ol_rounded<T>(sum);
    }
}

template <typename T>
static int run(struct ol_cuda *cuda, const struct compress *a,
               const struct ol_compress_args *args, struct ol_error *err)
{
    return ol_launch(cuda, err, "compress", compress_kernel<T>,
                     dim3(ol_cuda_blocks(args->out.n_rows, 1)), dim3(THREADS), 0, *a,
                     (const T *)args->values.data, (const T *)args->gates.data,
                     (T *)args->out.data);
}

int ol_cuda_compress(struct ol_backend *b, const struct ol_compress_args *args,
                     struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    const float *bias = ol_cuda_values(cuda, &args->bias, OL_DTYPE_F32, err);
    if (bias == NULL)
        return -1;
    const struct compress a = {args->rate, args->overlaps, bias, args->out.n_cols,
                               args->values.n_cols};
    return args->values.dtype == OL_DTYPE_BF16 ? run<struct ol_bf16>(cuda, &a, args, err)
                                               : run<float>(cuda, &a, args, err);
}
