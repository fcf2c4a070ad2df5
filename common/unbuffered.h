/* Writes past the page cache (O_DIRECT): what others have read stays in memory, whatever
 * the size of what is written, and nothing is copied into pages first. */
#ifndef OL_UNBUFFERED_H
#define OL_UNBUFFERED_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct ol_unbuffered;

/* Memory that one holds, for bytes that do not lie as a disk takes them. */
enum { OL_UNBUFFERED_BYTES = 1 << 20 };

/* Of a regular file that is open as fd; both are borrowed. NULL where the file system
 * takes no such writes, and err says why. */
struct ol_unbuffered *ol_unbuffered_open(int fd, const char *path, struct ol_error *err);
void ol_unbuffered_close(struct ol_unbuffered *u); /* NULL is fine */

/* As ol_file_write_at. What is no whole block of the file, what is too little to be worth
 * it, and everything once the file system has refused a write, goes by fd; it is found
 * there by whoever reads the file, as the rest is. Thread-safe for bytes that do not
 * share a block. */
int ol_unbuffered_write_at(struct ol_unbuffered *u, const void *data, size_t bytes,
                           uint64_t offset, struct ol_error *err);

#endif
