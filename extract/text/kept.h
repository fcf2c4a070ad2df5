/* What was used of a text at the Hub, kept in the local cache as lines of JSON, so that
 * the next run needs no network:
 *
 *     FOLDER/ol-texts/COMMIT/PATH#COLUMN/first-N.SHA256.ROW-OFFSET.jsonl
 *                                                the first N documents, or
 *                                        all-N.SHA256.jsonl   all that there are
 *
 * ROW and OFFSET say where the text goes on; early files have them not.
 * A file has its name since it is whole, and is what its name says or is not used. */
#ifndef OL_KEPT_H
#define OL_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "extract/text/parquet/parquet.h"

struct ol_kept {
    char *path;
    int64_t n; /* documents */
    bool all;
    struct ol_parquet_place next; /* row -1: nobody knows */
};

/* Where the texts of a column are kept. The caller frees. */
char *ol_kept_folder(const char *folder, const char *commit, const char *path,
                     const char *column);

/* The most that is kept: false, with nothing to clear, when there is nothing. What does
 * not have the SHA-256 of its name is told and passed over. */
bool ol_kept_find(const char *folder, struct ol_kept *kept);
void ol_kept_clear(struct ol_kept *kept);

struct ol_kept_writer;

/* before: what it begins with, borrowed; NULL: nothing. NULL on failure. */
struct ol_kept_writer *ol_kept_begin(const char *folder, const struct ol_kept *before,
                                     struct ol_error *err);
/* A document, valid UTF-8. */
int ol_kept_add(struct ol_kept_writer *w, const char *text, size_t bytes,
                struct ol_error *err);
/* Give it its name, in place of what is shorter; frees w. next: where the text goes on,
 * NULL: it is all. *path: its name, to be freed. */
int ol_kept_end(struct ol_kept_writer *w, const struct ol_parquet_place *next,
                char **path, struct ol_error *err);
void ol_kept_discard(struct ol_kept_writer *w); /* NULL is fine */

#endif
