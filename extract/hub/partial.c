#include "extract/hub/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"

/* BLOB.ol.ranges: this header, and a byte for each piece, 1 when it is there. */
struct header {
    char magic[16];
    int64_t size, piece_bytes;
};
static const char magic[16] = "ol-hub-ranges 1";

struct ol_partial {
    char *blob, *path, *ranges_path;
    int64_t size, n_pieces;
    int fd, ranges_fd;
    unsigned char *has; /* [n_pieces] */
};

static int64_t count_pieces(int64_t size)
{
    return (size + OL_PARTIAL_PIECE_BYTES - 1) / OL_PARTIAL_PIECE_BYTES;
}

static int64_t piece_bytes(int64_t size, int64_t piece)
{
    const int64_t from = piece * OL_PARTIAL_PIECE_BYTES;
    return size - from < OL_PARTIAL_PIECE_BYTES ? size - from : OL_PARTIAL_PIECE_BYTES;
}

/* ---- what is there ---- */

/* Which pieces are there, as far as the two files agree; else none. */
static void read_ranges(int ranges_fd, int fd, int64_t size, unsigned char *has)
{
    const size_t n = (size_t)count_pieces(size);
    struct header found = {0};
    struct stat data, ranges;
    struct ol_error ignored = {0};
    memset(has, 0, n);
    if (fstat(fd, &data) != 0 || data.st_size != size || fstat(ranges_fd, &ranges) != 0 ||
        ranges.st_size != (off_t)(sizeof found + n))
        return;
    if (ol_file_read_at(ranges_fd, "", &found, sizeof found, 0, &ignored) != 0 ||
        memcmp(found.magic, magic, sizeof magic) != 0 || found.size != size ||
        found.piece_bytes != OL_PARTIAL_PIECE_BYTES ||
        ol_file_read_at(ranges_fd, "", has, n, sizeof found, &ignored) != 0)
        memset(has, 0, n);
}

static int64_t count_bytes(const unsigned char *has, int64_t size)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < count_pieces(size); i++)
        bytes += has[i] == 1 ? piece_bytes(size, i) : 0;
    return bytes;
}

struct ol_partial_state ol_partial_look(const char *blob, int64_t size)
{
    struct ol_partial_state state = {0};
    struct stat data;
    char *path = ol_xasprintf("%s.ol.incomplete", blob),
         *ranges = ol_xasprintf("%s.ol.ranges", blob);
    const int fd = open(path, O_RDONLY | O_CLOEXEC),
              ranges_fd = open(ranges, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &data) == 0) {
        enum { BLOCK_BYTES = 512 }; /* of st_blocks, wherever it is */
        const int64_t allocated = (int64_t)data.st_blocks * BLOCK_BYTES;
        state.allocated = allocated < size ? allocated : size;
    }
    if (fd >= 0 && ranges_fd >= 0) {
        unsigned char *has = ol_xmalloc((size_t)count_pieces(size));
        read_ranges(ranges_fd, fd, size, has);
        state.bytes = count_bytes(has, size);
        free(has);
    }
    if (fd >= 0)
        close(fd);
    if (ranges_fd >= 0)
        close(ranges_fd);
    free(ranges);
    free(path);
    return state;
}

/* ---- */

/* Its whole room now, so that a full disk is met before and not after hours. Where the
 * file system cannot, it is met while writing. */
static int make_room(struct ol_partial *p, struct ol_error *err)
{
    if (ftruncate(p->fd, (off_t)p->size) != 0)
        return ol_fail_errno(err, "%s: cannot be made %lld bytes long", p->path,
                             (long long)p->size);
    if (p->size > 0 && fallocate(p->fd, 0, 0, (off_t)p->size) != 0 &&
        (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
        return ol_fail_errno(err, "%s: there is no room for %.2f GB", p->path,
                             (double)p->size * 1e-9);
    return 0;
}

static int begin_ranges(struct ol_partial *p, struct ol_error *err)
{
    struct header header = {.size = p->size, .piece_bytes = OL_PARTIAL_PIECE_BYTES};
    memcpy(header.magic, magic, sizeof magic);
    if (ol_file_write_at(p->ranges_fd, p->ranges_path, &header, sizeof header, 0, err) !=
        0)
        return -1;
    return ol_file_write_at(p->ranges_fd, p->ranges_path, p->has, (size_t)p->n_pieces,
                            sizeof header, err);
}

struct ol_partial *ol_partial_open(const char *blob, int64_t size, struct ol_error *err)
{
    struct ol_partial *p = ol_xcalloc(1, sizeof *p);
    p->blob = ol_xstrdup(blob);
    p->path = ol_xasprintf("%s.ol.incomplete", blob);
    p->ranges_path = ol_xasprintf("%s.ol.ranges", blob);
    p->size = size;
    p->n_pieces = count_pieces(size);
    p->has = ol_xcalloc((size_t)p->n_pieces + 1, 1);
    p->ranges_fd = -1;
    p->fd = ol_file_open(p->path, O_RDWR | O_CREAT, err);
    if (p->fd >= 0)
        p->ranges_fd = ol_file_open(p->ranges_path, O_RDWR | O_CREAT, err);
    if (p->ranges_fd >= 0) {
        read_ranges(p->ranges_fd, p->fd, size, p->has);
        /* A file without room may be given up: it holds nothing. */
        const bool fresh = count_bytes(p->has, size) == 0;
        if (make_room(p, err) == 0 && begin_ranges(p, err) == 0)
            return p;
        if (fresh) {
            ol_partial_discard(p);
            return NULL;
        }
    }
    ol_partial_close(p);
    return NULL;
}

void ol_partial_close(struct ol_partial *p)
{
    if (p == NULL)
        return;
    if (p->fd >= 0)
        close(p->fd);
    if (p->ranges_fd >= 0)
        close(p->ranges_fd);
    free(p->has);
    free(p->ranges_path);
    free(p->path);
    free(p->blob);
    free(p);
}

int64_t ol_partial_n_pieces(const struct ol_partial *p)
{
    return p->n_pieces;
}

bool ol_partial_has(const struct ol_partial *p, int64_t piece)
{
    return p->has[piece] == 1;
}

int64_t ol_partial_bytes(const struct ol_partial *p)
{
    return count_bytes(p->has, p->size);
}

int ol_partial_write(struct ol_partial *p, const void *bytes, size_t n, int64_t offset,
                     struct ol_error *err)
{
    return ol_file_write_at(p->fd, p->path, bytes, n, (uint64_t)offset, err);
}

int ol_partial_read(struct ol_partial *p, void *bytes, size_t n, int64_t offset,
                    struct ol_error *err)
{
    return ol_file_read_at(p->fd, p->path, bytes, n, (uint64_t)offset, err);
}

int ol_partial_set(struct ol_partial *p, int64_t piece, struct ol_error *err)
{
    p->has[piece] = 1;
    return ol_file_write_at(p->ranges_fd, p->ranges_path, &p->has[piece], 1,
                            sizeof(struct header) + (uint64_t)piece, err);
}

int ol_partial_commit(struct ol_partial *p, struct ol_error *err)
{
    int result = 0;
    if (fsync(p->fd) != 0) {
        result = ol_fail_errno(err, "%s: cannot be written", p->path);
    } else if (rename(p->path, p->blob) != 0) {
        const int code = errno;
        /* Where locks do not lock, another process may have been first. */
        if (!ol_file_is(p->fd, p->blob))
            result = ol_fail(err, "%s: cannot be renamed to %s: %s", p->path, p->blob,
                             strerror(code));
    }
    if (result == 0)
        unlink(p->ranges_path);
    ol_partial_close(p);
    return result;
}

void ol_partial_discard(struct ol_partial *p)
{
    unlink(p->path);
    unlink(p->ranges_path);
    ol_partial_close(p);
}
