/* Files that are no text, by their first bytes, and what to do with them. */
#ifndef OL_FILE_KIND_H
#define OL_FILE_KIND_H

#include <stddef.h>

#include "common/error.h"

enum { OL_FILE_KIND_BYTES = 512 };

/* path: as one would type it, or NULL for standard input; name: for the message. Fail
 * when a file that begins with these bytes (all of it, or OL_FILE_KIND_BYTES at least) is
 * known to be no text in UTF-8: "NAME: is a Parquet file; ..." */
int ol_file_kind_check(const char *path, const char *name, const char *head, size_t bytes,
                       struct ol_error *err);

#endif
