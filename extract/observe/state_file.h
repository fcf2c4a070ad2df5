/* The hidden states after a layer, kept beside an unfinished activation file
 * (FILE.partial.state) so that --resume can go on from there.
 *
 *     [header page][slot 0: page, rows][slot 1: page, rows]
 *
 * Layers take the two slots in turn: while one is being written, the other is whole. A
 * slot counts only when its page names a layer and the checksum of its rows and of what
 * else is kept with them, in a file of its own (FILE.partial.state.0 and .1). */
#ifndef OL_STATE_FILE_H
#define OL_STATE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"
#include "common/error.h"

struct ol_state_file;

/* What the states belong to; a file of anything else is not resumed. */
struct ol_state_identity {
    const char *run; /* hexadecimal digits: whatever decides the values */
    enum ol_dtype dtype;
    int64_t n_rows, d_model;
};

/* Bytes on the disk of such a file and those beside it, with that many bytes of `extra`
 * after each layer. */
int64_t ol_state_disk_bytes(const struct ol_state_identity *id, size_t extra);

/* Create path (replacing what is there) with its whole room on the disk, `extra` as
 * above, or open it and check that it is of this run. NULL on failure. */
struct ol_state_file *ol_state_create(const char *path,
                                      const struct ol_state_identity *id, size_t extra,
                                      struct ol_error *err);
struct ol_state_file *ol_state_open(const char *path, const struct ol_state_identity *id,
                                    struct ol_error *err);
void ol_state_close(struct ol_state_file *s);

/* Keep rows [n_rows, d_model] as the states after that layer, and n bytes of extra;
 * durable on return. */
int ol_state_put(struct ol_state_file *s, int layer, const void *rows, const void *extra,
                 size_t n, struct ol_error *err);

/* Read the states of the last layer that is whole into rows and what was kept with them
 * (the caller frees it); *layer is -1 when none is. */
int ol_state_get(struct ol_state_file *s, void *rows, int *layer, void **extra, size_t *n,
                 struct ol_error *err);

/* Whether the states of any layer are kept; what cannot be read may be. */
bool ol_state_is_kept(const struct ol_state_file *s);

/* Remove the files. */
void ol_state_remove(const char *path);

#endif
