#include "extract/run/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/sha256.h"

enum { PAGE_BYTES = 4096, N_SLOTS = 2 };

static const char magic[] = "ol-state 2";

struct ol_state_file {
    char *path;
    int fd;
    size_t bytes; /* of the rows */
    char header[PAGE_BYTES];
};

static int write_to(int fd, const char *path, const void *data, size_t bytes, int64_t at,
                    struct ol_error *err)
{
    const char *from = data;
    while (bytes > 0) {
        const ssize_t n = pwrite(fd, from, bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ol_fail_errno(err, "%s: cannot write %zu bytes", path, bytes);
        from += n;
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int write_at(const struct ol_state_file *s, const void *data, size_t bytes,
                    int64_t at, struct ol_error *err)
{
    return write_to(s->fd, s->path, data, bytes, at, err);
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

static char *extra_path(const char *path, int slot)
{
    return ol_xasprintf("%s.%d", path, slot);
}

static int put_extra(const struct ol_state_file *s, int slot, const void *extra, size_t n,
                     struct ol_error *err)
{
    char *path = extra_path(s->path, slot);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int status = -1;
    if (fd < 0)
        ol_fail_errno(err, "%s: cannot create", path);
    else if (write_to(fd, path, extra, n, 0, err) == 0)
        status = fdatasync(fd) == 0 ? 0 : ol_fail_errno(err, "%s: cannot be kept", path);
    if (fd >= 0)
        close(fd);
    free(path);
    return status;
}

/* 0 and allocated bytes, or -1: what is not there or cannot be read was not kept. */
static int get_extra(const struct ol_state_file *s, int slot, size_t n, void **extra)
{
    char *path = extra_path(s->path, slot);
    FILE *file = fopen(path, "rb");
    free(path);
    if (file == NULL)
        return -1;
    *extra = malloc(n > 0 ? n : 1);
    const bool whole = *extra != NULL && fread(*extra, 1, n, file) == n;
    fclose(file);
    if (whole)
        return 0;
    free(*extra);
    *extra = NULL;
    return -1;
}

int ol_state_put(struct ol_state_file *s, int layer, const void *rows, const void *extra,
                 size_t n, struct ol_error *err)
{
    const int64_t at = slot_at(s, layer % N_SLOTS);
    char page[PAGE_BYTES] = "", hex[OL_SHA256_HEX_BYTES], extra_hex[OL_SHA256_HEX_BYTES];
    checksum(rows, s->bytes, hex);
    checksum(extra, n, extra_hex);
    /* The page's old words must not outlive the rows they speak of. */
    if (write_at(s, page, sizeof page, at, err) != 0 || fdatasync(s->fd) != 0 ||
        write_at(s, rows, s->bytes, at + PAGE_BYTES, err) != 0 || fdatasync(s->fd) != 0)
        return ol_fail_errno(err, "%s: cannot keep the states of layer %d", s->path,
                             layer);
    if (n > 0 && put_extra(s, layer % N_SLOTS, extra, n, err) != 0)
        return -1;
    snprintf(page, sizeof page, "layer %d sha256 %s and %zu bytes, sha256 %s\n", layer,
             hex, n, extra_hex);
    if (write_at(s, page, sizeof page, at, err) != 0 || fdatasync(s->fd) != 0)
        return ol_fail_errno(err, "%s: cannot keep the states of layer %d", s->path,
                             layer);
    return 0;
}

/* What a slot's page says. */
struct slot {
    int layer; /* -1: nothing */
    char hex[OL_SHA256_HEX_BYTES], extra_hex[OL_SHA256_HEX_BYTES];
    size_t extra_bytes;
};

static int read_slot(const struct ol_state_file *s, int i, struct slot *slot,
                     struct ol_error *err)
{
    char page[PAGE_BYTES + 1] = "";
    if (read_at(s, page, PAGE_BYTES, slot_at(s, i), err) != 0)
        return -1;
    if (sscanf(page, "layer %d sha256 %64[0-9a-f] and %zu bytes, sha256 %64[0-9a-f]",
               &slot->layer, slot->hex, &slot->extra_bytes, slot->extra_hex) != 4 ||
        slot->layer < 0)
        slot->layer = -1;
    return 0;
}

/* Whether the slot is whole; then rows and *extra are what it holds. */
static bool load_slot(const struct ol_state_file *s, int i, const struct slot *slot,
                      void *rows, void **extra)
{
    struct ol_error ignored = {0};
    char hex[OL_SHA256_HEX_BYTES];
    if (read_at(s, rows, s->bytes, slot_at(s, i) + PAGE_BYTES, &ignored) != 0)
        return false;
    checksum(rows, s->bytes, hex);
    if (strcmp(hex, slot->hex) != 0)
        return false;
    *extra = NULL;
    if (slot->extra_bytes == 0)
        return true;
    if (get_extra(s, i, slot->extra_bytes, extra) != 0)
        return false;
    checksum(*extra, slot->extra_bytes, hex);
    if (strcmp(hex, slot->extra_hex) == 0)
        return true;
    free(*extra);
    *extra = NULL;
    return false;
}

int ol_state_get(struct ol_state_file *s, void *rows, int *layer, void **extra, size_t *n,
                 struct ol_error *err)
{
    struct slot slots[N_SLOTS];
    for (int i = 0; i < N_SLOTS; i++)
        if (read_slot(s, i, &slots[i], err) != 0)
            return -1;
    const int later = slots[1].layer > slots[0].layer;
    const int order[N_SLOTS] = {later, !later};
    *layer = -1;
    *extra = NULL;
    *n = 0;
    for (int i = 0; i < N_SLOTS && *layer < 0; i++) {
        const struct slot *slot = &slots[order[i]];
        if (slot->layer < 0 || !load_slot(s, order[i], slot, rows, extra))
            continue;
        *layer = slot->layer;
        *n = slot->extra_bytes;
    }
    return 0;
}

void ol_state_remove(const char *path)
{
    unlink(path);
    for (int i = 0; i < N_SLOTS; i++) {
        char *extra = extra_path(path, i);
        unlink(extra);
        free(extra);
    }
}
