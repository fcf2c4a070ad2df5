/* What weight.cu and arrivals.cu share: rows of a weight as bytes. */
#ifndef OL_CUDA_TILE_H
#define OL_CUDA_TILE_H

#include "extract/cuda/cuda.h"

enum { OL_CUDA_PIECES = OL_WEIGHT_SPANS, OL_CUDA_ALIGNMENT = 256 };

/* What rows are made of. */
struct ol_cuda_pieces {
    struct ol_cuda_runs runs[OL_CUDA_PIECES]; /* data, scales, zeros, groups; n 0: none */
    struct ol_cuda_weight view;               /* without pointers */
};

/* Of rows [row, row + n). */
void ol_cuda_find_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                         struct ol_cuda_pieces *p);

static inline size_t ol_cuda_runs_bytes(const struct ol_cuda_runs *r)
{
    return (size_t)r->n * r->bytes;
}

/* Where a piece begins that follows what ends there. */
static inline size_t ol_cuda_place_after(size_t end)
{
    return (end + OL_CUDA_ALIGNMENT - 1) / OL_CUDA_ALIGNMENT * OL_CUDA_ALIGNMENT;
}

/* Bytes of device memory that surely hold them, a multiple of the alignment. */
size_t ol_cuda_room_for(const struct ol_cuda_pieces *p);

/* Send them there by that stream; view: where they are then. */
int ol_cuda_send_pieces(struct ol_cuda *cuda, cudaStream_t stream,
                        const struct ol_cuda_pieces *p, char *memory,
                        struct ol_cuda_weight *view, struct ol_error *err);

#endif
