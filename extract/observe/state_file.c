#include "extract/observe/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/sha256.h"

enum { PAGE_BYTES = 4096, N_SLOTS = 2 };

static const char magic[] = "ol-state 2";

struct ol_state_file {
    char *path;
    int fd;
    size_t bytes; /* of the rows */
    int next;     /* slot that is written: never the one with the latest states */
    char header[PAGE_BYTES];
};

static int write_at(const struct ol_state_file *s, const void *data, size_t bytes,
                    int64_t at, struct ol_error *err)
{
    return ol_file_write_at(s->fd, s->path, data, bytes, (uint64_t)at, err);
}

static int read_at(const struct ol_state_file *s, void *data, size_t bytes, int64_t at,
                   struct ol_error *err)
{
    return ol_file_read_at(s->fd, s->path, data, bytes, (uint64_t)at, err);
}

static int64_t slot_at(const struct ol_state_file *s, int slot)
{
    return PAGE_BYTES + slot * (PAGE_BYTES + (int64_t)s->bytes);
}

static size_t rows_bytes(const struct ol_state_identity *id)
{
    return (size_t)id->n_rows * (size_t)id->d_model * ol_dtype_size(id->dtype);
}

static struct ol_state_file *new_file(const char *path,
                                      const struct ol_state_identity *id, int flags,
                                      struct ol_error *err)
{
    struct ol_state_file *s = ol_xcalloc(1, sizeof *s);
    s->path = ol_xstrdup(path);
    s->bytes = rows_bytes(id);
    snprintf(s->header, sizeof s->header,
             "%s run %s dtype %s rows %" PRId64 " d_model %" PRId64 "\n", magic, id->run,
             ol_dtype_name(id->dtype), id->n_rows, id->d_model);
    s->fd = ol_file_open(path, flags, err);
    /* Two processes that resume one run would spoil it for each other. */
    if (s->fd >= 0 && ol_file_lock(s->fd, path, OL_LOCK_EXCLUSIVE, err) == 0)
        return s;
    ol_state_close(s);
    return NULL;
}

int64_t ol_state_disk_bytes(const struct ol_state_identity *id, size_t extra)
{
    const struct ol_state_file s = {.bytes = rows_bytes(id)};
    return slot_at(&s, N_SLOTS) + N_SLOTS * (int64_t)extra;
}

/* Its whole room, and last the header. */
static int lay_out(const struct ol_state_file *s, struct ol_error *err)
{
    const int64_t bytes = slot_at(s, N_SLOTS);
    const int code =
        ftruncate(s->fd, 0) != 0 ? errno : posix_fallocate(s->fd, 0, (off_t)bytes);
    if (code != 0) {
        errno = code;
        return ol_fail_errno(err, "%s: no room for %" PRId64 " bytes", s->path, bytes);
    }
    return write_at(s, s->header, sizeof s->header, 0, err);
}

/* In room of the caller's: this is also asked for when nothing can be allocated. */
static const char *extra_path(const char *path, int slot, char room[PATH_MAX])
{
    const int n = snprintf(room, PATH_MAX, "%s.%d", path, slot);
    return n > 0 && n < PATH_MAX ? room : "";
}

static int reserve_extra(const struct ol_state_file *s, int slot, size_t n,
                         struct ol_error *err)
{
    char room[PATH_MAX];
    const char *path = extra_path(s->path, slot, room);
    const int fd = ol_file_open(path, O_WRONLY | O_CREAT, err);
    if (fd < 0)
        return -1;
    const int code = posix_fallocate(fd, 0, (off_t)n);
    close(fd);
    errno = code;
    return code == 0 ? 0 : ol_fail_errno(err, "%s: no room for %zu bytes", path, n);
}

struct ol_state_file *ol_state_create(const char *path,
                                      const struct ol_state_identity *id, size_t extra,
                                      struct ol_error *err)
{
    struct ol_state_file *s = new_file(path, id, O_RDWR | O_CREAT, err);
    if (s == NULL)
        return NULL;
    int status = lay_out(s, err);
    for (int i = 0; i < N_SLOTS && extra > 0 && status == 0; i++)
        status = reserve_extra(s, i, extra, err);
    if (status == 0)
        return s;
    ol_state_close(s);
    ol_state_remove(path);
    return NULL;
}

/* Whether the process that made the file ended before it had its header. */
static bool is_unwritten(const struct ol_state_file *s)
{
    struct ol_error ignored = {0};
    char found[PAGE_BYTES];
    struct stat info;
    if (fstat(s->fd, &info) == 0 && info.st_size < PAGE_BYTES)
        return true;
    return read_at(s, found, sizeof found, 0, &ignored) == 0 && found[0] == '\0' &&
           memcmp(found, found + 1, sizeof found - 1) == 0;
}

/* What stands there is not to be taken for text before it is known to be some. */
static int refuse_header(const struct ol_state_file *s, const char found[PAGE_BYTES],
                         struct ol_error *err)
{
    const char *end = memchr(found, '\n', PAGE_BYTES);
    if (end == NULL || strncmp(found, magic, sizeof magic - 1) != 0)
        return ol_fail(err,
                       "%s: does not begin with \"%s\": it is damaged, or no states that "
                       "this version can go on with; without it the run begins anew",
                       s->path, magic);
    return ol_fail(err, "%s: belongs to another run: found \"%.*s\", expected \"%.*s\"",
                   s->path, (int)(end - found), found, (int)strcspn(s->header, "\n"),
                   s->header);
}

struct ol_state_file *ol_state_open(const char *path, const struct ol_state_identity *id,
                                    struct ol_error *err)
{
    struct ol_state_file *s = new_file(path, id, O_RDWR, err);
    if (s == NULL)
        return NULL;
    char found[PAGE_BYTES];
    if (is_unwritten(s)) {
        if (lay_out(s, err) == 0)
            return s;
    } else if (read_at(s, found, sizeof found, 0, err) == 0) {
        if (memcmp(found, s->header, sizeof found) == 0)
            return s;
        refuse_header(s, found, err);
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

static int put_extra(const struct ol_state_file *s, int slot, const void *extra, size_t n,
                     struct ol_error *err)
{
    char room[PATH_MAX];
    const char *path = extra_path(s->path, slot, room);
    const int fd = ol_file_open(path, O_WRONLY | O_CREAT, err);
    int status = -1;
    if (fd >= 0 && ol_file_write_at(fd, path, extra, n, 0, err) == 0)
        status = fdatasync(fd) == 0 ? 0 : ol_fail_errno(err, "%s: cannot be kept", path);
    if (fd >= 0 && close(fd) != 0 && status == 0)
        status = ol_fail_errno(err, "%s: cannot be kept", path);
    return status;
}

/* 0 and allocated bytes, or -1: what is not there or cannot be read was not kept. */
static int get_extra(const struct ol_state_file *s, int slot, size_t n, void **extra)
{
    char room[PATH_MAX];
    const char *path = extra_path(s->path, slot, room);
    struct ol_error ignored = {0};
    const int fd = ol_file_open(path, O_RDONLY, &ignored);
    if (fd < 0)
        return -1;
    *extra = malloc(n > 0 ? n : 1);
    const bool whole =
        *extra != NULL && ol_file_read_at(fd, path, *extra, n, 0, &ignored) == 0;
    close(fd);
    if (whole)
        return 0;
    free(*extra);
    *extra = NULL;
    return -1;
}

int ol_state_put(struct ol_state_file *s, int layer, const void *rows, const void *extra,
                 size_t n, struct ol_error *err)
{
    const int slot = s->next;
    const int64_t at = slot_at(s, slot);
    char page[PAGE_BYTES] = "", hex[OL_SHA256_HEX_BYTES], extra_hex[OL_SHA256_HEX_BYTES];
    checksum(rows, s->bytes, hex);
    checksum(extra, n, extra_hex);
    /* What was half written, in whatever order the disk took it, has other checksums; the
     * other slot is whole then. */
    if (write_at(s, page, sizeof page, at, err) != 0 ||
        write_at(s, rows, s->bytes, at + PAGE_BYTES, err) != 0)
        return -1;
    if (n > 0 && put_extra(s, slot, extra, n, err) != 0)
        return -1;
    snprintf(page, sizeof page, "layer %d sha256 %s and %zu bytes, sha256 %s\n", layer,
             hex, n, extra_hex);
    if (write_at(s, page, sizeof page, at, err) != 0 || fdatasync(s->fd) != 0)
        return ol_fail_errno(err, "%s: cannot keep the states of layer %d", s->path,
                             layer);
    s->next = (slot + 1) % N_SLOTS;
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
        s->next = !order[i];
        *n = slot->extra_bytes;
    }
    return 0;
}

/* A slot's page names a layer only after its rows are written. */
bool ol_state_is_kept(const struct ol_state_file *s)
{
    struct ol_error ignored = {0};
    struct slot slot;
    for (int i = 0; i < N_SLOTS; i++)
        if (read_slot(s, i, &slot, &ignored) != 0 || slot.layer >= 0)
            return true;
    return false;
}

void ol_state_remove(const char *path)
{
    char room[PATH_MAX];
    unlink(path);
    for (int i = 0; i < N_SLOTS; i++)
        unlink(extra_path(path, i, room));
}
