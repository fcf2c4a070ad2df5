/* Of the bytes of one write
 *
 *     file   |  block  |  block  |  block  |  block  |
 *     bytes        [ fd |    unbuffered    | fd ]
 *
 * so that in a run no block is written both ways, unless it is written again: the kernel
 * then writes the page that it has of it, and forgets it, before the block. */
#include "common/unbuffered.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"

enum {
    /* Of a page, and no less than those of a disk; what needs larger ones refuses. */
    BLOCK = 4096,
    /* A write takes a disk about 0.1 ms however little it is. */
    LEAST = 256 << 10,
};

struct ol_unbuffered {
    int buffered;     /* borrowed */
    const char *path; /* borrowed */
    int fd;
    atomic_bool refused;
    pthread_mutex_t mutex; /* of the copy: */
    char *copy;            /* [OL_UNBUFFERED_BYTES], aligned */
};

void ol_unbuffered_close(struct ol_unbuffered *u)
{
    if (u == NULL)
        return;
    if (u->fd >= 0)
        close(u->fd);
    pthread_mutex_destroy(&u->mutex);
    free(u->copy);
    free(u);
}

struct ol_unbuffered *ol_unbuffered_open(int fd, const char *path, struct ol_error *err)
{
    struct ol_unbuffered *u = ol_xcalloc(1, sizeof *u);
    u->buffered = fd;
    u->path = path;
    pthread_mutex_init(&u->mutex, NULL);
    u->fd = ol_file_open(path, O_WRONLY | O_DIRECT, err);
    if (u->fd >= 0 && !ol_file_is(fd, path))
        ol_fail(err, "%s: is another file now", path);
    else if (u->fd >= 0 && (u->copy = aligned_alloc(BLOCK, OL_UNBUFFERED_BYTES)) == NULL)
        ol_fail(err, "%s: out of memory", path);
    else if (u->fd >= 0)
        return u;
    ol_unbuffered_close(u);
    return NULL;
}

/* As many of those blocks as one call takes, or -1 and errno. */
static ssize_t write_blocks(struct ol_unbuffered *u, const char *from, size_t bytes,
                            uint64_t offset)
{
    if ((uintptr_t)from % BLOCK == 0)
        return pwrite(u->fd, from, bytes, (off_t)offset);
    const size_t n = bytes < OL_UNBUFFERED_BYTES ? bytes : OL_UNBUFFERED_BYTES;
    pthread_mutex_lock(&u->mutex);
    memcpy(u->copy, from, n);
    const ssize_t written = pwrite(u->fd, u->copy, n, (off_t)offset);
    const int code = errno;
    pthread_mutex_unlock(&u->mutex);
    errno = code;
    return written;
}

static void refuse(struct ol_unbuffered *u)
{
    const char *why = strerror(errno);
    if (!atomic_exchange(&u->refused, true))
        ol_detail("%s: the file system takes no unbuffered writes (%s)", u->path, why);
}

/* Blocks from `at` on: *written of them, fewer where the rest is to go by the page cache.
 */
static int write_unbuffered(struct ol_unbuffered *u, const char *from, size_t bytes,
                            uint64_t at, size_t *written, struct ol_error *err)
{
    *written = 0;
    while (*written < bytes && !atomic_load(&u->refused)) {
        const size_t left = bytes - *written;
        const ssize_t n = write_blocks(u, from + *written, left, at + *written);
        if (n >= 0) {
            *written += (size_t)n;
            /* Cut off within a block, as at the end of the disk's room. */
            if (n == 0 || n % BLOCK != 0)
                break;
        } else if (errno == EINVAL || errno == EOPNOTSUPP) {
            refuse(u);
        } else if (errno != EINTR) {
            return ol_fail_errno(err, "%s: cannot write %zu bytes", u->path, left);
        }
    }
    return 0;
}

int ol_unbuffered_write_at(struct ol_unbuffered *u, const void *data, size_t bytes,
                           uint64_t offset, struct ol_error *err)
{
    const char *from = data;
    const size_t head = (size_t)(-offset % BLOCK);
    size_t written = 0;
    if (bytes >= LEAST + head &&
        write_unbuffered(u, from + head, (bytes - head) / BLOCK * BLOCK, offset + head,
                         &written, err) != 0)
        return -1;
    if (written == 0)
        return ol_file_write_at(u->buffered, u->path, from, bytes, offset, err);
    const size_t done = head + written;
    return ol_file_write_at(u->buffered, u->path, from, head, offset, err) == 0
               ? ol_file_write_at(u->buffered, u->path, from + done, bytes - done,
                                  offset + done, err)
               : -1;
}
