/* What the two kernels of attention share: the shape of a call and its mask. */
#ifndef OL_CUDA_ATTENTION_CUH
#define OL_CUDA_ATTENTION_CUH

#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

/* Of one sequence. Heads lie side by side in the rows of q, k, v and out. */
struct attention {
    const void *q, *k, *v;
    void *out;
    const float *sinks; /* [n_heads] or NULL */
    int n_rows;
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
};

/* Whether a query sees a key that the mask leaves. */
static __device__ __forceinline__ bool is_chosen(const struct attention &a, int query,
                                                 int key)
{
    return a.chosen == NULL || query >= a.n_rows ||
           (a.chosen[query * a.chosen_step + key / 32] >> (key % 32) & 1) != 0;
}

/* The first key that a query sees; the last is its own. */
static __device__ __forceinline__ int lowest_key(const struct attention &a, int query)
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

/* The kernels, which the second walk follows where it is asked for: attention_bf16.cu,
 * attention_f32.cu. */
int ol_cuda_attention_bf16(struct ol_cuda *cuda, const struct attention *a,
                           struct ol_error *err);
int ol_cuda_attention_f32(struct ol_cuda *cuda, const struct attention *a,
                          struct ol_error *err);

#endif
