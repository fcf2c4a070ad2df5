/* Text output that appears under its name only when it is whole. */
#ifndef OL_ATOMIC_FILE_H
#define OL_ATOMIC_FILE_H

#include <stdio.h>

#include "common/error.h"

struct ol_atomic_file;

/* Open path for writing by a temporary name beside it; path NULL or "-" is standard
 * output. A path that exists and is no regular file (/dev/null, a pipe) is written
 * directly. */
struct ol_atomic_file *ol_atomic_open(const char *path, struct ol_error *err);
FILE *ol_atomic_stream(struct ol_atomic_file *file);

/* Flush, sync and rename into place; frees file. On failure the temporary file is
 * removed. */
int ol_atomic_commit(struct ol_atomic_file *file, struct ol_error *err);
/* Remove the temporary file and free. NULL is fine. */
void ol_atomic_discard(struct ol_atomic_file *file);

#endif
