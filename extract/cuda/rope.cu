/* rope: rotary position embedding in place, a block to a row. HALF and
 * HALF_ONCE rotate the pairs (j, j + rotary_dim/2), PAIRS and PAIRS_ONCE (2j, 2j + 1). R
 * is the type that products and sums are rounded to: the activation's, or float for the
 * kinds ONCE. Of several sequences the positions of all rows travel ahead. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { THREADS = 256 };

struct rope {
    const float *cos, *sin;   /* [positions, half] */
    const int32_t *positions; /* of rows, or NULL: 0, 1, 2, ... */
    int64_t n_cols, position_step;
    int half, n_heads, head_dim;
    int first;       /* of a head's values */
    int step, apart; /* from pair to pair, within a pair */
};

template <typename T, typename R>
static __global__ void rope_kernel(const struct rope r, T *x)
{
    const int64_t row = blockIdx.x;
    const int64_t position =
        (r.positions != NULL ? r.positions[row] : row) * r.position_step;
    const float *cos = r.cos + position * r.half, *sin = r.sin + position * r.half;
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

static int check(const struct ol_rope_args *args, int64_t n_rows, struct ol_error *err)
{
    const int64_t most = args->table->n_positions;
    for (int64_t i = 0; i < ol_sequences_number(&args->sequences); i++) {
        const int64_t n =
            ol_rope_reach(args->table, ol_sequences_rows(&args->sequences, i, n_rows));
        if (n > most)
            return ol_fail(err, "cuda: rope: %lld positions, but the table holds %lld",
                           (long long)n, (long long)most);
    }
    return 0;
}

/* NULL with err. */
static const int32_t *put_positions(struct ol_cuda *cuda, const struct ol_sequences *s,
                                    int64_t n_rows, struct ol_error *err)
{
    const size_t bytes = (size_t)n_rows * sizeof(int32_t);
    int32_t *positions = (int32_t *)ol_xmalloc(bytes);
    for (int64_t i = 0, row = 0; i < s->n; i++)
        for (int32_t at = 0; at < s->lengths[i]; at++)
            positions[row++] = at;
    const int32_t *there = (const int32_t *)ol_cuda_put(cuda, positions, bytes, err);
    free(positions);
    return there;
}

int ol_cuda_rope(struct ol_backend *b, const struct ol_rope_args *args,
                 struct ol_tensor x, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0 || check(args, x.n_rows, err) != 0)
        return -1;
    const struct ol_sequences *s = &args->sequences;
    const int32_t *positions = NULL;
    if (s->lengths != NULL && s->n > 1) {
        positions = put_positions(cuda, s, x.n_rows, err);
        if (positions == NULL)
            return -1;
    }
    const struct ol_rope_table *table = args->table;
    const enum ol_rope_kind kind = args->kind;
    const int half = table->rotary_dim / 2;
    const bool neighbours = ol_rope_pairs_neighbours(kind);
    const struct rope r = {.cos = (const float *)table->cos.data,
                           .sin = (const float *)table->sin.data,
                           .positions = positions,
                           .n_cols = x.n_cols,
                           .position_step = ol_rope_step(table),
                           .half = half,
                           .n_heads = (int)(x.n_cols / args->head_dim),
                           .head_dim = args->head_dim,
                           .first = args->first,
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
