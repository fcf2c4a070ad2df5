/* Reads weights ahead of the compute: a few threads pull queued tensors' pages into
 * memory, begun in the order given, so that the disk works while the processor does, on
 * several places at once; the compute gives pages back behind it. The mapping stays valid
 * throughout: this is only about when bytes move.
 *
 * Weights are told apart by their address and must lie in a read-only mapping of a file:
 * memory of any other kind would lose its contents in ol_stream_release. */
#ifndef OL_STREAM_H
#define OL_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "extract/weights/weights.h"

struct ol_stream;

/* Several users, each from a thread of its own, may queue, wait for and release the same
 * weights: the pages go when the last user that queued them has released them. */
enum { OL_STREAM_MOST_USERS = 32 };

/* by_mapping: weights are used where they are mapped. Else whoever uses them reads their
 * files (ol_mapping_copy): then the files are only asked for ahead, and no page is mapped
 * or given back. most_ahead: bytes that may be resident before they are waited for; what
 * the compute waits for is read whatever it is, and then one tensor at a time. */
struct ol_stream *ol_stream_new(int64_t most_ahead, bool by_mapping,
                                struct ol_error *err);
void ol_stream_free(struct ol_stream *s);

/* Queue a weight's spans to be read; those of no data are ignored. Never blocks. Weights
 * that share spans are released together. */
void ol_stream_prefetch(struct ol_stream *s, int user, const struct ol_weight *weight);

/* Wait until a queued weight is resident. Fails when its bytes could not be read (a file
 * that shrank, a bad disk). Weights that were never queued are read here. */
int ol_stream_wait(struct ol_stream *s, int user, const struct ol_weight *weight,
                   struct ol_error *err);

/* Whether a queued weight is resident: a wait for it would not be one. */
bool ol_stream_is_ready(struct ol_stream *s, const struct ol_weight *weight);

/* The user does not need the weight again: its pages may leave this process (the page
 * cache keeps them). May be queued again later. */
void ol_stream_release(struct ol_stream *s, int user, const struct ol_weight *weight);

struct ol_stream_stats {
    int64_t bytes_read;  /* bytes of weights made resident so far */
    double wait_seconds; /* time that users spent in ol_stream_wait, added up */
};
struct ol_stream_stats ol_stream_stats(const struct ol_stream *s);

#endif
