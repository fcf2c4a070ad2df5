/* How much memory a run takes, and how its buffers are cut to a budget. Mapped weights
 * are not counted: they are pages of the checkpoint's files that the system may take back
 * at any time; how many of them are held ahead of their use is part of the plan. */
#ifndef OL_MEMORY_H
#define OL_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/dtype.h"
#include "common/error.h"
#include "extract/forward/forward.h"
#include "extract/observe/observer.h"
#include "extract/weights/weights.h"

struct ol_memory_need {
    struct ol_observed what; /* the model, and what is recorded of all sequences */
    int64_t n_rows;          /* with those of arms */
    int64_t longest;         /* tokens of the longest sequence */
    enum ol_dtype dtype;     /* of activations */
    struct ol_scratch_bytes scratch; /* of a backend: its scratch_bytes operation */
    int64_t device_bytes;            /* likewise; 0: tensors are in the host's memory */
    int64_t other_bytes;             /* of the process before the run */
    int64_t streamed_bytes;          /* of weights in its memory, at least; 0: mapped */
    bool elsewhere;                  /* on a host whose free memory nobody knows */
    int n_parts;                     /* on devices of their own, */
    int64_t part_rows;               /* the largest one's tokens */
};

struct ol_memory_plan {
    struct ol_forward_buffers buffers;
    int64_t writer_bytes; /* rows that wait to be written */
    int64_t total;        /* what the run takes of the host, without weights ahead */
    int64_t device;       /* and of each device */
};

/* Rows of the mixers' buffers, whatever the budget. */
int64_t ol_memory_block_rows(int64_t n_rows, int64_t longest);

/* The largest buffers that fit into the budget; 0: into what is free, less a reserve. The
 * budget is of the memory that tensors are in. Fails, saying the least that would do,
 * when none fit. */
int ol_memory_choose(const struct ol_memory_need *need, int64_t budget,
                     struct ol_memory_plan *plan, struct ol_error *err);

/* The least budget that would do, in bytes; and the least of the host's memory, which is
 * another one where tensors are on devices. */
int64_t ol_memory_least(const struct ol_memory_need *need);
int64_t ol_memory_least_of_host(const struct ol_memory_need *need);

/* Weights that are streamed are memory of this process: what is held of them at a time,
 * and for the whole run the rows of the embedding that are looked up, a page or more
 * each. head: likelihoods are computed. */
void ol_memory_count_streamed(struct ol_memory_need *need, const struct ol_weights *w,
                              bool head);

/* What the machine and the control groups of this process have left, in bytes; INT64_MAX
 * where neither says. */
int64_t ol_memory_available(void);

/* Anonymous memory of this process that is resident now, in bytes; 0 where the system
 * does not say. */
int64_t ol_memory_resident(void);

#endif
