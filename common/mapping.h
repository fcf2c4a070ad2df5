/* Files that are mapped, and what is said when they fail while they are read: the kernel
 * answers a byte that is not there any more, or a disk that fails, by a signal. */
#ifndef OL_MAPPING_H
#define OL_MAPPING_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* Map n bytes of an open file, for reading; NULL on failure. While they are mapped,
 * SIGBUS at any of them ends the process with one line that names the file, its temporary
 * files removed, and status 1. */
const void *ol_mapping_new(int fd, const char *path, size_t n, struct ol_error *err);
/* n bytes of zeros that take no memory, in place of a file whose bytes are elsewhere:
 * whoever gets them from there may write to them. NULL on failure. Freed like the other.
 */
const void *ol_mapping_zeros(const char *path, size_t n, struct ol_error *err);
void ol_mapping_free(const void *bytes, size_t n); /* NULL is fine */

/* Where a byte is: in which mapping of the process's, counted from 1, and how far from
 * its beginning. Addresses come again when a file is no longer mapped, this does not; of
 * other memory file is 0 and the offset its address. */
struct ol_place {
    uint64_t file, offset;
};
struct ol_place ol_mapping_place(const void *byte);

/* Copy n bytes that are in a mapping. Where the file can be read instead it is: no page
 * of it is mapped for bytes that are wanted once, and what fails is an error, not a
 * signal. */
int ol_mapping_copy(void *to, const void *from, size_t n, struct ol_error *err);

#endif
