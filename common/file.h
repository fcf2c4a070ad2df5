/* Files of known kind, whole reads and writes, and locks where the file system has them.
 */
#ifndef OL_FILE_H
#define OL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* Open a regular file, and nothing that could make us wait for ever (a FIFO, a device):
 * flags as of open(2), with O_CREAT made by 0666. A descriptor, or -1 and errno. */
int ol_file_open(const char *path, int flags, struct ol_error *err);

/* Whether there is anything of that name. That this cannot be told is a failure, and does
 * not mean that there is nothing. */
int ol_file_exists(const char *path, bool *there, struct ol_error *err);

/* Whether path names the file that is open (device and inode). */
bool ol_file_is(int fd, const char *path);

/* Whether an open file lies on a file system of this machine's own disks or memory, as
 * far as its kind is known: pages of others come to a process one by one, by requests to
 * a server or another process. */
bool ol_file_is_local(int fd);

enum ol_lock {
    OL_LOCK_SHARED,    /* by those who read */
    OL_LOCK_EXCLUSIVE, /* by the one who writes */
};
/* Lock an open file until it is closed, without waiting: -1 when another process holds
 * it. A file system without locks is said once, and gone on with. */
int ol_file_lock(int fd, const char *path, enum ol_lock lock, struct ol_error *err);

/* All of the bytes, at that offset. Thread-safe. */
int ol_file_write_at(int fd, const char *path, const void *data, size_t bytes,
                     uint64_t offset, struct ol_error *err);
int ol_file_read_at(int fd, const char *path, void *data, size_t bytes, uint64_t offset,
                    struct ol_error *err);

/* A hint: what was written there is on its way to the disk from now on, while more is
 * computed; else the kernel begins when a tenth of the memory waits, or with fdatasync.
 * Of small pieces it is none. */
void ol_file_write_out(int fd, size_t bytes, uint64_t offset);

#endif
