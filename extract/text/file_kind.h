/* Files that are no text, by their first bytes, and what to do with them. */
#ifndef OL_FILE_KIND_H
#define OL_FILE_KIND_H

#include <stddef.h>

#include "common/error.h"
#include "extract/text/unpack.h"

enum { OL_FILE_KIND_BYTES = 512 };

/* How a file begins; all borrowed. */
struct ol_file_head {
    const char *path; /* as one would type it, or NULL for standard input */
    const char *name; /* for messages */
    const char *bytes;
    size_t n; /* of bytes: all that the file has, or OL_FILE_KIND_BYTES at least */
    enum ol_packing packing; /* what these were compressed by */
};

/* Fail when what begins so is known to be no text in UTF-8: "NAME: is a Parquet file;
 * ...", with a command that can be typed where there is one. */
int ol_file_kind_check(const struct ol_file_head *head, struct ol_error *err);

#endif
