/* What the CUDA backend takes of a device's memory beside tensors, and what it pins of
 * the host's. Plain arithmetic: the backend takes it from here, and so does a plan of a
 * device that is not there. */
#ifndef OL_CUDA_SIZES_H
#define OL_CUDA_SIZES_H

#include <stdint.h>

#include "extract/digest.h"
#include "extract/ops.h"

enum {
    OL_CUDA_LEAST_LANES = 4, /* lanes.cu: products beside each other */
    OL_CUDA_MOST_LANES = 8,
    OL_CUDA_LANES_SHARE = 8,      /* of the memory of the run, where that is more */
    OL_CUDA_WORKSPACE = 32 << 20, /* what cuBLAS asks for on the newest devices */

    OL_CUDA_TOGETHER = 2, /* gemm.cu: products that may be one */

    OL_CUDA_PIECES = OL_WEIGHT_RUNS, /* of rows of a weight */
    OL_CUDA_ALIGNMENT = OL_RESULT_ALIGNMENT,

    OL_CUDA_MOST_UNIT = 64 << 20,
    OL_CUDA_LEAST_UNIT = 1 << 20,
    OL_CUDA_UNITS = 64, /* of the device's memory */

    /* arrivals.cu: the ring in which weights arrive */
    OL_CUDA_LEAST_SEGMENTS = 4,
    OL_CUDA_MOST_SEGMENTS = 16,
    OL_CUDA_RING_SHARE = 16, /* of the memory of the run */

    /* feed.cu: pinned memory of the threads that send weights */
    OL_CUDA_MOST_SHARING = 32, /* devices that bring weights to each other */
    OL_CUDA_MOST_FEEDERS = 6,
    OL_CUDA_FEEDER_SLOTS = 4,
    OL_CUDA_MOST_FEEDER_SLOT = 4 << 20,
    /* A tile is at least so many slices when it is as large as can be. */
    OL_CUDA_SLICES = 4,

    /* stage.cu: likewise of small things on their way */
    OL_CUDA_PUTS = 8,
    OL_CUDA_PUT_BYTES = 1 << 20,
    OL_CUDA_GETS = 2,
    OL_CUDA_GET_BYTES = 4 << 20,

    /* digests.cu */
    OL_CUDA_HISTOGRAMS = 2,
    OL_CUDA_HISTOGRAM_BYTES = OL_N_CODES * sizeof(uint64_t),
};

struct ol_cuda_sizes {
    int64_t unit; /* bytes of a tile of a weight */
    int n_lanes;
    int64_t workspace; /* of each lane's */
    int64_t segment;   /* of the ring of arrivals, */
    int n_segments;    /* and how many */
    int64_t feeder_slot;
};

static inline int64_t ol_cuda_clamp(int64_t x, int64_t least, int64_t most)
{
    return x < least ? least : x > most ? most : x;
}

/* Of a device with so much memory, of which a run may have `budget` bytes; 0: all. Tiles
 * depend on the device alone: where one ends may show in the last bits of a product, and
 * a budget is not to. */
static inline struct ol_cuda_sizes ol_cuda_sizes_of(int64_t memory, int64_t budget)
{
    struct ol_cuda_sizes s;
    const int64_t run = budget > 0 && budget < memory ? budget : memory;
    s.unit = OL_CUDA_LEAST_UNIT;
    while (s.unit < OL_CUDA_MOST_UNIT && s.unit * 2 * OL_CUDA_UNITS <= memory)
        s.unit *= 2;
    s.workspace = ol_cuda_clamp(s.unit, 0, OL_CUDA_WORKSPACE);
    s.n_lanes = (int)ol_cuda_clamp(run / OL_CUDA_LANES_SHARE / s.workspace,
                                   OL_CUDA_LEAST_LANES, OL_CUDA_MOST_LANES);
    /* A tile, and the room that the alignment of its pieces takes. */
    s.segment = s.unit + OL_CUDA_PIECES * OL_CUDA_ALIGNMENT;
    s.n_segments = (int)ol_cuda_clamp(run / OL_CUDA_RING_SHARE / s.unit,
                                      OL_CUDA_LEAST_SEGMENTS, OL_CUDA_MOST_SEGMENTS);
    s.feeder_slot = ol_cuda_clamp(s.unit / OL_CUDA_SLICES, 0, OL_CUDA_MOST_FEEDER_SLOT);
    return s;
}

/* Bytes of the device's memory that are taken from open to close. */
static inline int64_t ol_cuda_reserved_bytes(const struct ol_cuda_sizes *s)
{
    return s->n_lanes * s->workspace + s->n_segments * s->segment +
           OL_CUDA_HISTOGRAMS * (int64_t)OL_CUDA_HISTOGRAM_BYTES;
}

/* What is reserved; a tile decoded, logits of a tile of the vocabulary, and small things.
 * The contract is that of the operation scratch_bytes. */
static inline struct ol_scratch_bytes
ol_cuda_scratch_bytes(const struct ol_cuda_sizes *s, enum ol_dtype dtype,
                      struct ol_product_sizes products)
{
    const int64_t small = 32 << 20, size = (int64_t)ol_dtype_size(dtype);
    const int64_t words =
        ol_cuda_clamp(s->unit / (size * products.head_depth), 0, products.head_rows);
    struct ol_scratch_bytes b;
    b.tensors =
        ol_cuda_reserved_bytes(s) + s->unit + words * OL_PRODUCT_ROWS * size + small;
    b.pinned = OL_CUDA_PUTS * OL_CUDA_PUT_BYTES + OL_CUDA_GETS * OL_CUDA_GET_BYTES +
               OL_CUDA_MOST_FEEDERS * OL_CUDA_FEEDER_SLOTS * s->feeder_slot;
    return b;
}

/* What of a device's free memory a run may have: the rest is for what the driver and
 * cuBLAS load when they are first used. */
static inline int64_t ol_cuda_usable_bytes(int64_t free)
{
    return free - free / 16;
}

#endif
