/* What the bytes of a run's weights were, when they cannot be held against the file that
 * they come from: a SHA-256 of each stretch that was read, in a file beside the
 * unfinished run, so that a run that goes on is held to what it began with. */
#ifndef OL_DIGESTS_H
#define OL_DIGESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/sha256.h"

struct ol_digests;

/* A line "DIGEST OFFSET BYTES FILE" for each. go_on: what path holds counts; else it is
 * begun anew. NULL on failure. */
struct ol_digests *ol_digests_open(const char *path, bool go_on, struct ol_error *err);
void ol_digests_close(struct ol_digests *d); /* NULL is fine */

/* Bytes of a file: noted, or held to what was noted before the run was resumed. From any
 * thread. */
int ol_digests_note(struct ol_digests *d, const char *file, uint64_t offset,
                    uint64_t bytes, const char hex[OL_SHA256_HEX_BYTES],
                    struct ol_error *err);

#endif
