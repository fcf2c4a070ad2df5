/* What feeders take from a device's queue of tiles (queue.cu), and tell it; the thread
 * that queues the computing has its side in tile.h. */
#ifndef OL_CUDA_QUEUE_H
#define OL_CUDA_QUEUE_H

#include "extract/cuda/share.h"

/* What a feeder has in hand: bytes [first, first + n) of a tile. */
struct ol_cuda_slice {
    struct ol_cuda_delivery *of;
    size_t first, n;
    const struct ol_cuda_delivery
        *from;  /* another device's, all of it; NULL: the host's */
    bool void_; /* it is not to be copied any more */
};

/* cuda->queue, empty; cuda has joined a group (share.h). */
void ol_cuda_queue_new(struct ol_cuda *cuda, int n_feeders);
void ol_cuda_queue_free(struct ol_cuda *cuda);

/* Wait for the next slice, as feeder number `feeder`; false: there is to be no other. On
 * a simulated device the feeder whose clock is behind takes it. */
bool ol_cuda_queue_take(struct ol_cuda *cuda, int feeder, struct ol_cuda_slice *slice);
/* A slice is through, sent or not. */
void ol_cuda_queue_finish(struct ol_cuda *cuda, const struct ol_cuda_slice *slice);
/* A copy has failed: ol_cuda_queue_check tells it from now on. */
void ol_cuda_queue_fail(struct ol_cuda *cuda, const struct ol_error *err);
/* Who takes slices gets no more; when nobody does, what is left does not come. */
void ol_cuda_queue_stop(struct ol_cuda *cuda);
void ol_cuda_queue_clear(struct ol_cuda *cuda);

#endif
