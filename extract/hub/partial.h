/* A blob of the cache on its way: its bytes in BLOB.ol.incomplete, and in BLOB.ol.ranges
 * which of them are there, by pieces of a mebibyte, so that another process, or machine,
 * can go on where one was killed. Pieces are written in any order.
 *
 * Of two processes that work on one blob against all locks (there are file systems whose
 * locks do not lock), both write the same bytes to the same places; a file that turns out
 * wrong is removed, never written over. */
#ifndef OL_HUB_PARTIAL_H
#define OL_HUB_PARTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum { OL_PARTIAL_PIECE_BYTES = 1 << 20 };

struct ol_partial;

/* Open it, or begin it, with its whole room on the disk. NULL on failure. */
struct ol_partial *ol_partial_open(const char *blob, int64_t size, struct ol_error *err);
/* Leave it as it is, for another time. NULL is fine. */
void ol_partial_close(struct ol_partial *p);

int64_t ol_partial_n_pieces(const struct ol_partial *p);
bool ol_partial_has(const struct ol_partial *p, int64_t piece);
int64_t ol_partial_bytes(const struct ol_partial *p); /* that are there */

/* Bytes at an offset; from any thread, each with pieces of its own. */
int ol_partial_write(struct ol_partial *p, const void *bytes, size_t n, int64_t offset,
                     struct ol_error *err);
int ol_partial_read(struct ol_partial *p, void *bytes, size_t n, int64_t offset,
                    struct ol_error *err);
/* Write down that a piece is there. Threads take turns. */
int ol_partial_set(struct ol_partial *p, int64_t piece, struct ol_error *err);

/* It is whole, and right: give it its name, durably. Or it is wrong: remove it. Both
 * close it. */
int ol_partial_commit(struct ol_partial *p, struct ol_error *err);
void ol_partial_discard(struct ol_partial *p);

/* What is there of a blob on its way: bytes that need not be fetched, and the room that
 * it takes on the disk already. */
struct ol_partial_state {
    int64_t bytes, allocated;
};
struct ol_partial_state ol_partial_look(const char *blob, int64_t size);

#endif
