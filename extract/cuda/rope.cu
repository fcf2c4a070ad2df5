/* rope: rotary position embedding in place, a block to a row. HALF and
 * HALF_ONCE rotate the pairs (j, j + rotary_dim/2), PAIRS and PAIRS_ONCE (2j, 2j + 1). R
 * is the type that products and sums are rounded to: the activation's, or float for the
 * kinds ONCE. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { THREADS = 256 };

struct rope {
    const float *cos, *sin; /* [positions, half] */
    int64_t n_cols;
    int half, n_heads, head_dim;
    int first;       /* of a head's values */
    int step, apart; /* from pair to pair, within a pair */
};

template <typename T, typename R>
static __global__ void rope_kernel(const struct rope r, T *x)
{
    const int64_t row = blockIdx.x;
    const float *cos = r.cos + row * r.half, *sin = r.sin + row * r.half;
    for (int i = (int)threadIdx.x; i < r.n_heads * r.half; i += THREADS) {
        const int head = i / r.half, j = i % r.half;
        T *p = x + row * r.n_cols + head * r.head_dim + r.first + j * r.step;
        T *q = p + r.apart;
        const float a = ol_value(*p), b = ol_value(*q);
        const float c = ol_round_as<R>(cos[j]), s = ol_round_as<R>(sin[j]);
        *p = ol_rounded<T>(ol_round_as<R>(a * c) + ol_round_as<R>(-b * s));
        *q = ol_rounded<T>(ol_round_as<R>(b * c) + ol_round_as<R>(a * s));
    }
}

int ol_cuda_rope(struct ol_backend *b, enum ol_rope_kind kind,
                 const struct ol_rope_table *table, int head_dim, int first,
                 struct ol_tensor x, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    if (x.n_rows > table->n_positions)
        return ol_fail(err, "cuda: rope: %lld positions, but the table holds %lld",
                       (long long)x.n_rows, (long long)table->n_positions);
    const int half = table->rotary_dim / 2, n_heads = (int)(x.n_cols / head_dim);
    const bool neighbours = ol_rope_pairs_neighbours(kind);
    const struct rope r = {.cos = (const float *)table->cos.data,
                           .sin = (const float *)table->sin.data,
                           .n_cols = x.n_cols,
                           .half = half,
                           .n_heads = n_heads,
                           .head_dim = head_dim,
                           .first = first,
                           .step = neighbours ? 2 : 1,
                           .apart = neighbours ? 1 : half};
    const unsigned blocks = ol_cuda_blocks(x.n_rows, 1);
    if (x.dtype == OL_DTYPE_F32)
        return ol_launch(cuda, err, "rope", rope_kernel<float, float>, blocks, THREADS, 0,
                         r, (float *)x.data);
    if (ol_rope_rounds_once(kind))
        return ol_launch(cuda, err, "rope", rope_kernel<struct ol_bf16, float>, blocks,
                         THREADS, 0, r, (struct ol_bf16 *)x.data);
    return ol_launch(cuda, err, "rope", rope_kernel<struct ol_bf16, struct ol_bf16>,
                     blocks, THREADS, 0, r, (struct ol_bf16 *)x.data);
}
