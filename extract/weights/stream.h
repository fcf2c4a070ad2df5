/* Has weights brought ahead of the compute: a few threads take what was queued, begun in
 * the order given, so that its source (source.h: a disk, a line) works while the
 * processor does, on several places at once; the compute gives weights back behind it.
 * Their addresses stay valid throughout: this is only about when bytes move. */
#ifndef OL_STREAM_H
#define OL_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "extract/weights/source.h"
#include "extract/weights/weights.h"

struct ol_stream;

/* Several users, each from a thread of its own, may queue, wait for and release the same
 * weights: the pages go when the last user that queued them has released them. */
enum { OL_STREAM_MOST_USERS = 32 };

/* source: borrowed, of this stream alone. most_ahead: bytes that may be resident before
 * they are waited for; what the compute waits for is read whatever it is, and then one
 * tensor at a time. */
struct ol_stream *ol_stream_new(int64_t most_ahead, struct ol_source *source,
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

/* The user does not need the weight again: its bytes may leave this process. May be
 * queued again later. */
void ol_stream_release(struct ol_stream *s, int user, const struct ol_weight *weight);

/* Whether nothing is to be queued that may turn out not to be used. */
bool ol_stream_spares(const struct ol_stream *s);

/* What a lookup of n ids needs of a table, [n_rows, n_cols], one row for each id: queue
 * it, before what is queued afterwards; then make it resident, and keep it. Where the
 * table is mapped there is nothing to do. */
void ol_stream_expect_rows(struct ol_stream *s, const struct ol_weight *table,
                           const int32_t *ids, int64_t n);
int ol_stream_look_up(struct ol_stream *s, const struct ol_weight *table,
                      const int32_t *ids, int64_t n, struct ol_error *err);

struct ol_stream_stats {
    int64_t bytes_read;  /* bytes of weights made resident so far */
    double wait_seconds; /* time that users spent in ol_stream_wait, added up */
    struct ol_source_stats source;
};
struct ol_stream_stats ol_stream_stats(const struct ol_stream *s);

#endif
