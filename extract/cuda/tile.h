/* What weight.cu, arrivals.cu and feed.cu share: rows of a weight as bytes, and their way
 * to the device. */
#ifndef OL_CUDA_TILE_H
#define OL_CUDA_TILE_H

#include "extract/cuda/cuda.h"

extern "C" {
#include "common/mapping.h"
}

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

/* ---- names ---- */

/* Rows [row, row + n) of a weight, by where its parts are in their files: addresses come
 * again. */
struct ol_cuda_tile_name {
    struct ol_place parts[OL_CUDA_PIECES];
    enum ol_encoding encoding;
    enum ol_dtype dtype;
    int64_t n_cols, row_step, col_step;
    int64_t row, n;
};

struct ol_cuda_tile_name ol_cuda_name_of(const struct ol_weight *w, int64_t row,
                                         int64_t n);
bool ol_cuda_is_same(const struct ol_cuda_tile_name *a,
                     const struct ol_cuda_tile_name *b);
/* One of 1 << bits buckets. */
unsigned ol_cuda_bucket_of(const struct ol_cuda_tile_name *name, int bits);

/* ---- moments ---- */

/* Of a simulated device's clock: what one thread tells another is known to that one from
 * then on. On a real device time passes by itself. */
static inline double ol_cuda_moment(void)
{
#ifdef __CUDACC__
    return 0;
#else
    return cudasim_host_now();
#endif
}

static inline void ol_cuda_not_before(double moment)
{
#ifdef __CUDACC__
    (void)moment;
#else
    cudasim_host_not_before(moment);
#endif
}

/* ---- queue.cu and feed.cu: threads that send tiles ---- */

/* Device memory that other devices copy tiles out of. */
struct ol_cuda_lent {
    cudaEvent_t
        read[OL_CUDA_MOST_SHARING];   /* by each member, for the last time; or NULL */
    bool waits[OL_CUDA_MOST_SHARING]; /* the event stands for it */
    int under_way;                    /* are being queued right now */
};

enum ol_cuda_state {
    OL_CUDA_LEFT,    /* in nobody's list */
    OL_CUDA_WAITS,   /* not begun: another device may bring it to its own memory first */
    OL_CUDA_CLAIMED, /* goes over this device's link, whatever others do */
    OL_CUDA_THERE,   /* `arrived` is recorded */
};

/* A tile on its way: it stays where it is until it has been sent. */
struct ol_cuda_delivery {
    struct ol_cuda_tile_name name;
    struct ol_cuda_runs runs[OL_CUDA_PIECES];
    char *to;                  /* device memory, which they are laid out in */
    size_t bytes;              /* as far as the end of the last */
    cudaEvent_t arrived;       /* recorded behind all of it */
    struct ol_cuda_lent *lent; /* the memory's */
    bool dropped;              /* nothing came: to be sent anew where it is needed */
    double asked, told;        /* moments: it was queued; the last of it was given */
    /* Of queue.cu and feed.cu. */
    size_t slice;                  /* bytes that a feeder takes at a time */
    size_t taken, given, finished; /* bytes: by feeders, to the stream, in all */
    bool recorded;                 /* the event is */
    bool awaited;                  /* by the thread that queues the computing */
    bool sent;                     /* the event is recorded, the host's bytes are read */
    struct ol_cuda_delivery *next;
    /* Of share.cu. */
    enum ol_cuda_state state;
    struct ol_cuda *cuda;
    int owner; /* the member who is to bring it over its link */
    struct ol_cuda_delivery *next_in_bucket;
};

/* Queue it behind those before. Never blocks. */
void ol_cuda_queue_add(struct ol_cuda *cuda, struct ol_cuda_delivery *d);

/* Wait until it has been sent, or let pass after a failure: then fails. */
int ol_cuda_queue_wait(struct ol_cuda *cuda, struct ol_cuda_delivery *d,
                       struct ol_error *err);

/* Nobody waits for it: drop it, or wait likewise where it has begun. */
int ol_cuda_queue_end(struct ol_cuda *cuda, struct ol_cuda_delivery *d,
                      struct ol_error *err);

/* Wait until no delivery reads these bytes any more. */
void ol_cuda_queue_leave(struct ol_cuda *cuda, const struct ol_span *span);

/* feed.cu: the threads; both fine where they run, or do not, already. */
int ol_cuda_feed_start(struct ol_cuda *cuda, struct ol_error *err);
void ol_cuda_feed_stop(struct ol_cuda *cuda);

#endif
