/* Where the bytes of weights come from. A stream (stream.h) asks a source for them and
 * gives them back; nothing above it knows which source it is. Bytes are told by the place
 * where they are mapped, whichever way they come there. */
#ifndef OL_SOURCE_H
#define OL_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "extract/weights/weight.h"

struct ol_source;

struct ol_source_stats {
    int64_t bytes_fetched; /* from another machine; 0: the bytes are here */
    int64_t n_requests;
};

struct ol_source_operations {
    /* Bytes cost so much that none are asked for that may turn out not to be needed, and
     * of a table the rows alone that are looked up. */
    bool spares;
    /* These bytes will be read soon, in the order of these calls. Never blocks. */
    void (*prefetch)(struct ol_source *s, const struct ol_span *span);
    /* Returns when they are there, from any thread. */
    int (*read)(struct ol_source *s, const struct ol_span *span, struct ol_error *err);
    /* They are not needed any more, and may have to be read again afterwards. */
    void (*release)(struct ol_source *s, const struct ol_span *span);
    /* Whatever is being read fails soon, and so does what is read from now on. */
    void (*stop)(struct ol_source *s);
    struct ol_source_stats (*stats)(struct ol_source *s);
    void (*free)(struct ol_source *s);
};

/* The head of every source. */
struct ol_source {
    const struct ol_source_operations *op;
};

void ol_source_free(struct ol_source *s); /* NULL is fine */

/* Files that are mapped (source_files.c). by_mapping: weights are used where they are
 * mapped. Else whoever uses them reads their files (ol_mapping_copy): then the files are
 * only asked for ahead, and no page is mapped or given back. */
struct ol_source *ol_source_files_new(bool by_mapping);

#endif
