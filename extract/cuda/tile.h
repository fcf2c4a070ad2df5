/* What weight.cu, arrivals.cu and feed.cu share: rows of a weight as bytes, and their way
 * to the device. */
#ifndef OL_CUDA_TILE_H
#define OL_CUDA_TILE_H

#include "extract/cuda/cuda.h"

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

/* Bytes of device memory that they take, a multiple of the alignment. */
size_t ol_cuda_room_for(const struct ol_cuda_pieces *p);

/* Where the pieces are in device memory that begins there; returns the bytes as far as
 * the end of the last. */
size_t ol_cuda_lay_out(const struct ol_cuda_pieces *p, void *memory,
                       struct ol_cuda_weight *view);

/* ---- feed.cu: threads that send tiles ---- */

/* A tile on its way: it stays where it is until it has been sent. */
struct ol_cuda_delivery {
    struct ol_cuda_runs runs[OL_CUDA_PIECES];
    char *to;            /* device memory, which they are laid out in */
    size_t bytes;        /* as far as the end of the last */
    cudaEvent_t arrived; /* recorded on cuda->copies behind all of it */
    /* Of feed.cu. */
    size_t slice;                  /* bytes that a feeder takes at a time */
    size_t taken, given, finished; /* bytes: by feeders, to the stream, in all */
    bool sent;                     /* the event is recorded, the host's bytes are read */
    struct ol_cuda_delivery *next;
};

/* Queue it behind those before. Never blocks. */
void ol_cuda_feed_send(struct ol_cuda *cuda, struct ol_cuda_delivery *d);

/* Wait until it has been sent, or let pass after a failure: then fails. */
int ol_cuda_feed_wait(struct ol_cuda *cuda, const struct ol_cuda_delivery *d,
                      struct ol_error *err);

/* Wait until no delivery reads these bytes any more. */
void ol_cuda_feed_leave(struct ol_cuda *cuda, const struct ol_span *span);

#endif
