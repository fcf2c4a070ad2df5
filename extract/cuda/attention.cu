/* attention: softmax(q k^T scale + mask) v of each sequence, causal, sliding or chunked.
 * Here the checks and the tiles; attention_bf16.cu and attention_f32.cu have the kernels.
 * All sequences of a call are one launch. */
#include "extract/cuda/attention.cuh"

#include <algorithm>

/* Heads beyond it need tiles that shared memory does not hold; more tiles, of 32 rows at
 * least, a larger grid than there is. */
enum { MAX_HEAD_DIM = 512, MAX_TILES = 65535, MAX_ROWS = MAX_TILES * 32 };

static int check(const struct ol_attention_args *args, int64_t n_rows,
                 struct ol_error *err)
{
    if (n_rows > MAX_ROWS)
        return ol_fail(err, "cuda: attention: %lld rows, expected at most %d",
                       (long long)n_rows, MAX_ROWS);
    const bool windowed =
        args->kind == OL_ATTENTION_SLIDING || args->kind == OL_ATTENTION_CHUNKED;
    if (windowed && args->window < 1)
        return ol_fail(err, "cuda: attention: window is %d, expected at least 1",
                       args->window);
    if (args->head_dim > MAX_HEAD_DIM || args->value_dim > MAX_HEAD_DIM)
        return ol_fail(err,
                       "cuda: attention: heads of %d and %d values, expected at most %d",
                       args->head_dim, args->value_dim, MAX_HEAD_DIM);
    /* The largest score is looked for before scores are scaled. */
    if (!(args->scale > 0))
        return ol_fail(err, "cuda: attention: scale is %g, expected more than 0",
                       args->scale);
    return 0;
}

/* In place: the logarithms of the sums of queries become the shares of their sinks. */
static __global__ void sink_shares(float *log_sums, const float *sinks, int n_heads,
                                   int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i < n)
        log_sums[i] = sinks != NULL ? expf(sinks[i % n_heads] - log_sums[i]) : 0;
}

/* The keys that the queries of a tile see, from the first one's to the last one's own. */
static int work_of(const struct attention *a, const struct attention_tile *t, int rows)
{
    return min(t->from + rows, t->n_rows) - lowest_key(*a, t->from);
}

int ol_cuda_attention_tiles(struct ol_cuda *cuda, const struct ol_sequences *s, int rows,
                            struct attention *a, struct ol_error *err)
{
    int64_t n = 0;
    for (int64_t i = 0; i < ol_sequences_number(s); i++)
        n += (ol_sequences_rows(s, i, a->n_rows) + rows - 1) / rows;
    if (n > MAX_TILES)
        return ol_fail(err,
                       "cuda: attention: %lld sequences are %lld tiles, expected at most "
                       "%d",
                       (long long)ol_sequences_number(s), (long long)n, MAX_TILES);
    const size_t bytes = (size_t)n * sizeof(struct attention_tile);
    struct attention_tile *tiles = (struct attention_tile *)ol_xmalloc(bytes), *t = tiles;
    for (int64_t i = 0, first = 0; i < ol_sequences_number(s); i++) {
        const int64_t length = ol_sequences_rows(s, i, a->n_rows);
        for (int64_t from = 0; from < length; from += rows)
            *t++ = {(int)first, (int)length, (int)from};
        first += length;
    }
    std::stable_sort(tiles, t,
                     [=](const struct attention_tile &x, const struct attention_tile &y) {
                         return work_of(a, &x, rows) > work_of(a, &y, rows);
                     });
    a->n_tiles = (int)n;
    a->tiles = (const struct attention_tile *)ol_cuda_put(cuda, tiles, bytes, err);
    free(tiles);
    return a->tiles != NULL ? 0 : -1;
}

int ol_cuda_attend(struct ol_cuda *cuda, const struct ol_sequences *sequences,
                   struct attention *a, enum ol_dtype dtype, struct ol_error *err)
{
    enum { THREADS = 256 };
    const int64_t n = (int64_t)a->n_rows * a->n_heads;
    if ((dtype == OL_DTYPE_BF16 ? ol_cuda_attention_bf16
                                : ol_cuda_attention_f32)(cuda, sequences, a, err) != 0)
        return -1;
    return a->log_sums == NULL
               ? 0
               : ol_launch(cuda, err, "attention", sink_shares,
                           dim3(ol_cuda_blocks(n, THREADS)), dim3(THREADS), 0,
                           a->log_sums, a->sinks, a->n_heads, n);
}

int ol_cuda_attention(struct ol_backend *b, const struct ol_attention_args *args,
                      struct ol_tensor q, struct ol_tensor k, struct ol_tensor v,
                      struct ol_tensor out, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0 || check(args, q.n_rows, err) != 0)
        return -1;
    const float *sinks = NULL;
    if (args->sinks.data != NULL) {
        sinks = ol_cuda_values(cuda, &args->sinks, b->dtype, err);
        if (sinks == NULL)
            return -1;
    }
    struct attention a = {.q = q.data,
                          .k = k.data,
                          .v = v.data,
                          .out = out.data,
                          .sinks = sinks,
                          .n_rows = (int)q.n_rows,
                          .tiles = NULL,
                          .n_tiles = 0,
                          .q_step = q.n_cols,
                          .k_step = k.n_cols,
                          .v_step = v.n_cols,
                          .out_step = out.n_cols,
                          .n_heads = args->n_heads,
                          .group = args->n_heads / args->n_kv_heads,
                          .head_dim = args->head_dim,
                          .value_dim = args->value_dim,
                          .kind = args->kind,
                          .window = args->window,
                          .scale = (float)args->scale,
                          .log_sums = (float *)args->to_sink.data,
                          .received = (float *)args->received.data,
                          .chosen = (const unsigned *)args->chosen.data,
                          .chosen_step = args->chosen.n_cols,
                          .second_alone = false};
    return ol_cuda_attend(cuda, &args->sequences, &a, q.dtype, err);
}
