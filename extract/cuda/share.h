/* What devices know of each other's tiles (share.cu), for feed.cu and arrivals.cu. */
#ifndef OL_CUDA_SHARE_H
#define OL_CUDA_SHARE_H

#include "extract/cuda/tile.h"

#include <pthread.h>

enum { OL_CUDA_SHARE_BUCKETS = 1024 };

/* Devices of one run; one that is alone has a group of its own. */
struct ol_cuda_share {
    /* Of everything here, and of the members' queues. */
    pthread_mutex_t mutex;
    pthread_cond_t returned; /* a copy out of a member's memory is no longer under way */
    struct ol_cuda *members[OL_CUDA_MOST_SHARING]; /* NULL: has left */
    int n, n_here;
    int64_t owned[OL_CUDA_MOST_SHARING]; /* bytes of tiles, so far */
    struct ol_cuda_delivery *buckets[OL_CUDA_SHARE_BUCKETS];
};

struct ol_cuda_share *ol_cuda_share_new(void);
/* Its feeders do not run: cuda->share and cuda->member, which it had not. */
void ol_cuda_share_join(struct ol_cuda_share *share, struct ol_cuda *cuda);
/* Nothing of it is in the lists any more; the last to leave frees the group. */
void ol_cuda_share_leave(struct ol_cuda *cuda);

/* Nobody finds a tile of it any more; its feeders do not run. */
void ol_cuda_share_withdraw(struct ol_cuda *cuda);

/* ---- under the mutex ---- */

/* The tile is wanted here: it is in the lists, and has an owner. */
void ol_cuda_share_add(struct ol_cuda *cuda, struct ol_cuda_delivery *d);
/* Nobody finds it any more. */
void ol_cuda_share_remove(struct ol_cuda *cuda, struct ol_cuda_delivery *d);
/* The same tile on another device: one that is there, else one that will be; NULL. */
struct ol_cuda_delivery *ol_cuda_share_find(const struct ol_cuda *cuda,
                                            const struct ol_cuda_delivery *d);

/* ---- copies between devices ---- */

/* By cuda->peers, behind what brings the tile to the other device, which is kept there
 * meanwhile: from->lent->under_way was raised for it, and is lowered here. */
int ol_cuda_share_fetch(struct ol_cuda *cuda, struct ol_cuda_delivery *d,
                        const struct ol_cuda_delivery *from, struct ol_error *err);

/* A segment whose tiles nobody finds any more is to be filled again: cuda's streams of
 * copies wait for those who still read it. */
int ol_cuda_share_take_back(struct ol_cuda *cuda, struct ol_cuda_lent *lent,
                            struct ol_error *err);
/* The same for good: the host waits, and events are given back. */
void ol_cuda_share_end_lending(struct ol_cuda *cuda, struct ol_cuda_lent *lent);

#endif
