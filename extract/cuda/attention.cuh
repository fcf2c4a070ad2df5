/* What the two kernels of attention share: the shape of a call and its mask. */
#ifndef OL_CUDA_ATTENTION_CUH
#define OL_CUDA_ATTENTION_CUH

#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

/* Queries, or keys, of a sequence that a block works on: as many as the kernel says, from
 * `from` on. */
struct attention_tile {
    int first, n_rows; /* the sequence's, in the call's rows */
    int from;
};

/* Of all sequences of a call, and for a block of its own alone (of_tile). Heads lie side
 * by side in the rows of q, k, v and out. */
struct attention {
    const void *q, *k, *v;
    void *out;
    const float *sinks; /* [n_heads] or NULL */
    int n_rows;
    const struct attention_tile *tiles; /* those of most work first */
    int n_tiles;
    int64_t q_step, k_step, v_step, out_step; /* values from row to row */
    int n_heads, group;                       /* heads that share a key head */
    int head_dim, value_dim;
    enum ol_attention_kind kind;
    int window;
    float scale;
    /* [n_rows, n_heads] each; NULL: not asked for. The logarithm of the sum of a query's
     * exponentials, its sink's among them; from it, in a second walk, what keys receive.
     */
    float *log_sums, *received;
    const unsigned *chosen; /* [n_rows, chosen_step] bits of keys, or NULL */
    int64_t chosen_step;
    bool second_alone; /* the first walk, of another kernel, has left its log_sums */
};

/* The call as the sequence of a tile sees it. */
template <typename T>
static __device__ __forceinline__ struct attention
of_tile(const struct attention &all, const struct attention_tile &tile)
{
    struct attention a = all;
    const int64_t first = tile.first;
    a.q = (const T *)all.q + first * all.q_step;
    a.k = (const T *)all.k + first * all.k_step;
    a.v = (const T *)all.v + first * all.v_step;
    a.out = (T *)all.out + first * all.out_step;
    a.n_rows = tile.n_rows;
    if (all.log_sums != NULL)
        a.log_sums = all.log_sums + first * all.n_heads;
    if (all.received != NULL)
        a.received = all.received + first * all.n_heads;
    if (all.chosen != NULL)
        a.chosen = all.chosen + first * all.chosen_step;
    return a;
}

/* In the call, of a row of the tile's sequence. */
static __device__ __forceinline__ int64_t row_of(const struct attention_tile &t, int row)
{
    return (int64_t)t.first + row;
}

static __device__ __forceinline__ int last_query(const struct attention_tile &t,
                                                 int queries)
{
    return (t.from + queries < t.n_rows ? t.from + queries : t.n_rows) - 1;
}

/* Whether a query sees a key that the mask leaves. */
static __device__ __forceinline__ bool is_chosen(const struct attention &a, int query,
                                                 int key)
{
    return a.chosen == NULL || query >= a.n_rows ||
           (a.chosen[query * a.chosen_step + key / 32] >> (key % 32) & 1) != 0;
}

/* The first key that a query sees; the last is its own. */
static __host__ __device__ __forceinline__ int lowest_key(const struct attention &a,
                                                          int query)
{
    if (a.kind == OL_ATTENTION_SLIDING)
        return query - a.window + 1 > 0 ? query - a.window + 1 : 0;
    return a.kind == OL_ATTENTION_CHUNKED ? query / a.window * a.window : 0;
}

/* The last query that sees a key; the first is its own. */
static __device__ __forceinline__ int highest_query(const struct attention &a, int key)
{
    int last = a.n_rows - 1;
    if (a.kind == OL_ATTENTION_SLIDING && a.window - 1 < last - key)
        last = key + a.window - 1;
    else if (a.kind == OL_ATTENTION_CHUNKED && a.window - key % a.window - 1 < last - key)
        last = key - key % a.window + a.window - 1;
    return last;
}

/* Cut the call's sequences into tiles of so many rows and put them on the device. */
int ol_cuda_attention_tiles(struct ol_cuda *cuda, const struct ol_sequences *sequences,
                            int rows, struct attention *a, struct ol_error *err);

/* A block for each tile and head; heads that share keys run beside each other. */
static inline dim3 ol_cuda_attention_grid(const struct attention *a)
{
    return dim3((unsigned)a->n_heads, (unsigned)a->n_tiles);
}

/* The kernels, which the second walk follows where it is asked for: attention_bf16.cu,
 * attention_f32.cu. */
int ol_cuda_attention_bf16(struct ol_cuda *cuda, const struct ol_sequences *sequences,
                           struct attention *a, struct ol_error *err);
int ol_cuda_attention_f32(struct ol_cuda *cuda, const struct ol_sequences *sequences,
                          struct attention *a, struct ol_error *err);

/* The walks that the call asks for; log_sums become the shares of sinks. */
int ol_cuda_attend(struct ol_cuda *cuda, const struct ol_sequences *sequences,
                   struct attention *a, enum ol_dtype dtype, struct ol_error *err);

#endif
