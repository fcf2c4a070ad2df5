#include "extract/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/sha256.h"

enum { PAGE_BYTES = 4096, N_SLOTS = 2 };

static const char magic[] = "ol-state 1";

struct ol_state_file {
    char *path;
    int fd;
    size_t bytes; /* of the rows */
    char header[PAGE_BYTES];
};

static int write_at(const struct ol_state_file *s, const void *data, size_t bytes,
                    int64_t at, struct ol_error *err)
{
    const char *from = data;
    while (bytes > 0) {
        const ssize_t n = pwrite(s->fd, from, bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ol_fail_errno(err, "%s: cannot write %zu bytes", s->path, bytes);
        from += n;
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int read_at(const struct ol_state_file *s, void *data, size_t bytes, int64_t at,
                   struct ol_error *err)
{
    char *to = data;
    while (bytes > 0) {
        const ssize_t n = pread(s->fd, to, bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ol_fail_errno(err, "%s: cannot read %zu bytes", s->path, bytes);
        if (n == 0)
            return ol_fail(err, "%s: ends at byte %" PRId64 ", expected %zu more",
                           s->path, at, bytes);
        to += n;
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int64_t slot_at(const struct ol_state_file *s, int slot)
{
    return PAGE_BYTES + slot * (PAGE_BYTES + (int64_t)s->bytes);
}

static struct ol_state_file *new_file(const char *path,
                                      const struct ol_state_identity *id, int flags,
                                      struct ol_error *err)
{
    struct ol_state_file *s = ol_xcalloc(1, sizeof *s);
    s->path = ol_xstrdup(path);
    s->bytes = (size_t)id->n_rows * (size_t)id->d_model * ol_dtype_size(id->dtype);
    snprintf(s->header, sizeof s->header,
             "%s run %s dtype %s rows %" PRId64 " d_model %" PRId64 "\n", magic, id->run,
             ol_dtype_name(id->dtype), id->n_rows, id->d_model);
    s->fd = open(path, flags | O_CLOEXEC, 0666);
    /* Two processes that resume one run would spoil it for each other. */
    if (s->fd >= 0 && flock(s->fd, LOCK_EX | LOCK_NB) == 0)
        return s;
    if (s->fd >= 0 && errno == EWOULDBLOCK)
        ol_fail(err, "%s: another process is at work on this run", path);
    else
        ol_fail_errno(err, "%s: cannot open", path);
    ol_state_close(s);
    return NULL;
}

struct ol_state_file *ol_state_create(const char *path,
                                      const struct ol_state_identity *id,
                                      struct ol_error *err)
{
    struct ol_state_file *s = new_file(path, id, O_RDWR | O_CREAT, err);
    if (s == NULL)
        return NULL;
    const int64_t bytes = slot_at(s, N_SLOTS);
    const int code =
        ftruncate(s->fd, 0) != 0 ? errno : posix_fallocate(s->fd, 0, (off_t)bytes);
    if (code != 0) {
        errno = code;
        ol_fail_errno(err, "%s: no room for %" PRId64 " bytes", path, bytes);
    } else if (write_at(s, s->header, sizeof s->header, 0, err) == 0) {
        return s;
    }
    ol_state_close(s);
    unlink(path);
    return NULL;
}

struct ol_state_file *ol_state_open(const char *path, const struct ol_state_identity *id,
                                    struct ol_error *err)
{
    struct ol_state_file *s = new_file(path, id, O_RDWR, err);
    if (s == NULL)
        return NULL;
    char found[PAGE_BYTES];
    if (read_at(s, found, sizeof found, 0, err) == 0) {
        if (memcmp(found, s->header, sizeof found) == 0)
            return s;
        ol_fail(err, "%s: belongs to another run: found \"%.*s\", expected \"%.*s\"",
                path, (int)strcspn(found, "\n"), found, (int)strcspn(s->header, "\n"),
                s->header);
    }
    ol_state_close(s);
    return NULL;
}

void ol_state_close(struct ol_state_file *s)
{
    if (s == NULL)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s->path);
    free(s);
}

static void checksum(const void *rows, size_t bytes, char hex[OL_SHA256_HEX_BYTES])
{
    struct ol_sha256 *sha = ol_sha256_new();
    ol_sha256_update(sha, rows, bytes);
    ol_sha256_finish(sha, hex);
}

int ol_state_put(struct ol_state_file *s, int layer, const void *rows,
                 struct ol_error *err)
{
    const int64_t at = slot_at(s, layer % N_SLOTS);
    char page[PAGE_BYTES] = "", hex[OL_SHA256_HEX_BYTES];
    checksum(rows, s->bytes, hex);
    /* The page's old words must not outlive the rows they speak of. */
    if (write_at(s, page, sizeof page, at, err) != 0 || fdatasync(s->fd) != 0 ||
        write_at(s, rows, s->bytes, at + PAGE_BYTES, err) != 0 || fdatasync(s->fd) != 0)
        return ol_fail_errno(err, "%s: cannot keep the states of layer %d", s->path,
                             layer);
    snprintf(page, sizeof page, "layer %d sha256 %s\n", layer, hex);
    if (write_at(s, page, sizeof page, at, err) != 0 || fdatasync(s->fd) != 0)
        return ol_fail_errno(err, "%s: cannot keep the states of layer %d", s->path,
                             layer);
    return 0;
}

static int slot_layer(const struct ol_state_file *s, int slot,
                      char hex[OL_SHA256_HEX_BYTES], int *layer, struct ol_error *err)
{
    char page[PAGE_BYTES + 1] = "";
    *layer = -1;
    if (read_at(s, page, PAGE_BYTES, slot_at(s, slot), err) != 0)
        return -1;
    if (sscanf(page, "layer %d sha256 %64[0-9a-f]", layer, hex) != 2 || *layer < 0)
        *layer = -1;
    return 0;
}

int ol_state_get(struct ol_state_file *s, void *rows, int *layer, struct ol_error *err)
{
    struct {
        int layer;
        char hex[OL_SHA256_HEX_BYTES];
    } slots[N_SLOTS];
    for (int i = 0; i < N_SLOTS; i++)
        if (slot_layer(s, i, slots[i].hex, &slots[i].layer, err) != 0)
            return -1;
    const int later = slots[1].layer > slots[0].layer;
    const int order[N_SLOTS] = {later, !later};
    for (int i = 0; i < N_SLOTS; i++) {
        const int slot = order[i];
        char hex[OL_SHA256_HEX_BYTES];
        if (slots[slot].layer < 0)
            continue;
        if (read_at(s, rows, s->bytes, slot_at(s, slot) + PAGE_BYTES, err) != 0)
            return -1;
        checksum(rows, s->bytes, hex);
        if (strcmp(hex, slots[slot].hex) == 0) {
            *layer = slots[slot].layer;
            return 0;
        }
    }
    *layer = -1;
    return 0;
}
