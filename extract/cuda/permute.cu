/* permute: counting sort of (token, slot) pairs by expert, stable, without an order that
 * varies. Pairs are cut into tiles, one warp to each:
 *
 *     count   counts[tile][e] = pairs of expert e in the tile
 *     scan    counts[tile][e] = pairs of e in the tiles before, offsets = running sum
 *     place   every pair at offsets[e] + counts[tile][e] + those of e before it in the
 *             tile
 *
 * A warp counts 32 pairs at once: lanes of the same expert find each other by votes, and
 * the first of them adds. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"
#include "extract/cuda/unroll.h"

/* A thread of the scan has one expert. */
enum { MAX_EXPERTS = 1024, EXPERT_BITS = 10, TILE = 1024, AT_ONCE = 16 };

/* Lanes with the same expert as this one; all lanes of the warp call it. */
static __device__ __forceinline__ unsigned same_expert(unsigned expert)
{
    unsigned same = OL_FULL_WARP;
    for (int bit = 0; bit <= EXPERT_BITS; bit++) {
        const bool set = (expert >> bit & 1) != 0;
        const unsigned with = __ballot_sync(OL_FULL_WARP, set);
        same &= set ? with : ~with;
    }
    return same;
}

/* The pair's expert; for pairs past the end, a number that is no expert's. */
static __device__ __forceinline__ unsigned expert_of(const uint16_t *ids, int64_t pair,
                                                     int64_t n_pairs)
{
    return pair < n_pairs ? ids[pair] : (unsigned)MAX_EXPERTS;
}

static __global__ void count_kernel(const uint16_t *ids, int64_t n_pairs, int n_experts,
                                    int32_t *counts)
{
    OL_SHARED(int32_t, count, MAX_EXPERTS);
    const int lane = (int)threadIdx.x;
    for (int e = lane; e < n_experts; e += OL_WARP)
        count[e] = 0;
    __syncwarp();
    const int64_t first = (int64_t)blockIdx.x * TILE;
    for (int64_t at = first; at < first + TILE; at += OL_WARP) {
        const unsigned e = expert_of(ids, at + lane, n_pairs);
        const unsigned same = same_expert(e);
        if (e != MAX_EXPERTS && __ffs((int)same) - 1 == lane)
            count[e] += __popc(same);
        __syncwarp();
    }
    for (int e = lane; e < n_experts; e += OL_WARP)
        counts[(int64_t)blockIdx.x * n_experts + e] = count[e];
}

/* One block, a thread to an expert. */
static __global__ void __launch_bounds__(MAX_EXPERTS)
    scan_kernel(int32_t *counts, int64_t n_tiles, int n_experts, int64_t *offsets)
{
    OL_SHARED(int32_t, sums, MAX_EXPERTS);
    const int e = (int)threadIdx.x;
    int32_t total = 0;
    /* Many loads under way at once: their waiting is all that this kernel does. */
    for (int64_t tile = 0; e < n_experts && tile < n_tiles; tile += AT_ONCE) {
        int32_t *column = counts + tile * n_experts + e;
        const int n = n_tiles - tile < AT_ONCE ? (int)(n_tiles - tile) : AT_ONCE;
        int32_t found[AT_ONCE];
        OL_UNROLL
        for (int i = 0; i < AT_ONCE; i++)
            found[i] = i < n ? column[(int64_t)i * n_experts] : 0;
        OL_UNROLL
        for (int i = 0; i < AT_ONCE; i++) {
            if (i < n)
                column[(int64_t)i * n_experts] = total;
            total += found[i];
        }
    }
    sums[e] = total;
    __syncthreads();
    for (int apart = 1; apart < MAX_EXPERTS; apart *= 2) {
        const int32_t before = e >= apart ? sums[e - apart] : 0;
        __syncthreads();
        sums[e] += before;
        __syncthreads();
    }
    if (e < n_experts)
        offsets[e + 1] = sums[e];
    if (e == 0)
        offsets[0] = 0;
}

static __global__ void place_kernel(const uint16_t *ids, int64_t n_pairs, int n_experts,
                                    int top_k, const int32_t *counts,
                                    const int64_t *offsets, int32_t *rows, int32_t *slots)
{
    OL_SHARED(int32_t, next, MAX_EXPERTS);
    const int lane = (int)threadIdx.x;
    for (int e = lane; e < n_experts; e += OL_WARP)
        next[e] = (int32_t)offsets[e] + counts[(int64_t)blockIdx.x * n_experts + e];
    __syncwarp();
    const int64_t first = (int64_t)blockIdx.x * TILE;
    for (int64_t at = first; at < first + TILE; at += OL_WARP) {
        const int pair = (int)at + lane;
        const unsigned e = expert_of(ids, at + lane, n_pairs);
        const unsigned same = same_expert(e);
        const int32_t begin = e != MAX_EXPERTS ? next[e] : 0;
        __syncwarp();
        if (e != MAX_EXPERTS) {
            const int32_t to = begin + __popc(same & ((1u << lane) - 1));
            rows[to] = pair / top_k;
            slots[to] = pair % top_k;
            if (__ffs((int)same) - 1 == lane)
                next[e] = begin + __popc(same);
        }
        __syncwarp();
    }
}

static int check_sizes(int64_t n_pairs, int n_experts, struct ol_error *err)
{
    if (n_experts > MAX_EXPERTS)
        return ol_fail(err, "cuda: permute: %d experts, expected at most %d", n_experts,
                       MAX_EXPERTS);
    if (n_pairs > INT32_MAX - TILE)
        return ol_fail(err, "cuda: permute: %lld pairs, expected at most %d",
                       (long long)n_pairs, INT32_MAX - TILE);
    return 0;
}

static int check(const uint16_t *ids, int64_t n_pairs, int n_experts,
                 struct ol_error *err)
{
    if (check_sizes(n_pairs, n_experts, err) != 0)
        return -1;
    for (int64_t i = 0; i < n_pairs; i++)
        if (ids[i] >= n_experts)
            return ol_fail(err, "cuda: permute: expert %d of %d", ids[i], n_experts);
    return 0;
}

int ol_cuda_sort_pairs(struct ol_cuda *cuda, const uint16_t *pairs, int64_t n_pairs,
                       int n_experts, int top_k, int64_t *offsets, int32_t *rows,
                       int32_t *slots, struct ol_error *err)
{
    const int64_t n_tiles = (n_pairs + TILE - 1) / TILE;
    if (check_sizes(n_pairs, n_experts, err) != 0)
        return -1;
    int32_t *counts = (int32_t *)ol_cuda_scratch(
        cuda, (size_t)n_tiles * (size_t)n_experts * sizeof *counts, err);
    if (counts == NULL)
        return -1;
    const unsigned tiles = (unsigned)n_tiles;
    if (ol_launch(cuda, err, "permute", count_kernel, tiles, OL_WARP, 0, pairs, n_pairs,
                  n_experts, counts) != 0 ||
        ol_launch<MAX_EXPERTS>(cuda, err, "permute", scan_kernel, 1, MAX_EXPERTS, 0,
                               counts, n_tiles, n_experts, offsets) != 0)
        return -1;
    return ol_launch(cuda, err, "permute", place_kernel, tiles, OL_WARP, 0, pairs,
                     n_pairs, n_experts, top_k, counts, offsets, rows, slots);
}

int ol_cuda_permute(struct ol_backend *b, const uint16_t *ids, int64_t n_tokens,
                    int top_k, struct ol_permutation *p, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const int64_t n_pairs = n_tokens * top_k;
    const size_t bytes = (size_t)n_pairs * sizeof *p->rows;
    const size_t offset_bytes = ((size_t)p->n_experts + 1) * sizeof *p->offsets;
    if (ol_cuda_enter(cuda, err) != 0 || check(ids, n_pairs, p->n_experts, err) != 0)
        return -1;
    if (n_pairs == 0) {
        memset(p->offsets, 0, offset_bytes);
        return 0;
    }
    const uint16_t *pairs =
        (const uint16_t *)ol_cuda_put(cuda, ids, (size_t)n_pairs * sizeof *ids, err);
    /* One behind the other: the host waits once. */
    int64_t *offsets = (int64_t *)ol_cuda_scratch(cuda, offset_bytes + 2 * bytes, err);
    int32_t *rows = (int32_t *)(offsets + p->n_experts + 1), *slots = rows + n_pairs;
    const struct ol_cuda_part parts[] = {
        {p->offsets, offset_bytes}, {p->rows, bytes}, {p->slots, bytes}};
    if (pairs == NULL || offsets == NULL ||
        ol_cuda_sort_pairs(cuda, pairs, n_pairs, p->n_experts, top_k, offsets, rows,
                           slots, err) != 0)
        return -1;
    return ol_cuda_get_parts(cuda, offsets, parts, 3, err);
}
