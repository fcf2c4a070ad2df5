/* Where a dataset's chunks lie. The library answers that for one chunk by going through
 * all before it, which takes the square of their number; here the index is read once, as
 * the HDF5 File Format Specification (version 3) describes it:
 *
 *     object header  -- layout message (IV.A.2.i) --> B-tree, version 1 (III.A.1)
 *     node "TREE"    [type 1][level][entries][left][right] {key, child} * entries, key
 *     key            [bytes of the chunk][filter mask][first element, per dimension][0]
 *
 * Files of another layout are left to the library. Nothing is believed: an address leads
 * into the file, levels fall, and there are no more nodes than chunks ask for. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crash_guard.h"
#include "common/file.h"
#include "common/h5_private.h"

enum {
    HEADER_BYTES = 512, /* of an object header that is looked into */
    NODE_BYTES = 24,    /* of a node, before its entries */
    LAYOUT = 8,         /* a message's type */
    LAYOUT_VERSION = 3,
    LAYOUT_CHUNKED = 2,
    NODE_OF_CHUNKS = 1,
};

struct index {
    int fd;
    const char *path, *dataset;
    uint64_t file_bytes;
    int rank;
    int64_t n, nodes_left;
    uint64_t *offsets, *bytes; /* [n]; bytes 0: not found */
};

static uint64_t little(const unsigned char *bytes, int n)
{
    uint64_t value = 0;
    for (int i = n - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

/* ---- the layout message ---- */

/* The body of the first message of that type between two places of a header, or NULL.
 * prefix: bytes before a body. */
static const unsigned char *find_message(const unsigned char *at,
                                         const unsigned char *end, size_t prefix,
                                         int type_bytes, size_t *bytes)
{
    while ((size_t)(end - at) >= prefix) {
        const uint64_t type = little(at, type_bytes);
        *bytes = (size_t)little(at + type_bytes, 2);
        at += prefix;
        if (*bytes > (size_t)(end - at))
            return NULL;
        if (type == LAYOUT)
            return at;
        at += *bytes;
    }
    return NULL;
}

static const unsigned char *find_layout(const unsigned char *header, size_t n,
                                        size_t *bytes)
{
    if (n >= 16 && header[0] == 1) {
        const uint64_t length = little(header + 8, 4);
        return find_message(header + 16,
                            header + (length < n - 16 ? 16 + (size_t)length : n), 8, 2,
                            bytes);
    }
    if (n < 32 || memcmp(header, "OHDR\2", 5) != 0)
        return NULL;
    const unsigned flags = header[5];
    const int size_bytes = 1 << (flags & 3);
    const unsigned char *at =
        header + 6 + ((flags & 0x20) != 0 ? 16 : 0) + ((flags & 0x10) != 0 ? 4 : 0);
    const uint64_t length = little(at, size_bytes);
    at += size_bytes;
    const size_t left = n - (size_t)(at - header);
    return find_message(at, at + (length < left ? (size_t)length : left),
                        (flags & 4) != 0 ? 6 : 4, 1, bytes);
}

/* The address of the index's root; false when the header says something else. */
static bool find_root(const struct index *x, uint64_t header_at, uint64_t *root)
{
    unsigned char header[HEADER_BYTES];
    struct ol_error ignored = {0};
    size_t bytes = 0;
    if (header_at >= x->file_bytes)
        return false;
    const uint64_t left = x->file_bytes - header_at;
    const size_t n = left < sizeof header ? (size_t)left : sizeof header;
    if (ol_file_read_at(x->fd, x->path, header, n, header_at, &ignored) != 0)
        return false;
    const unsigned char *layout = find_layout(header, n, &bytes);
    if (layout == NULL || bytes < 11 || layout[0] != LAYOUT_VERSION ||
        layout[1] != LAYOUT_CHUNKED || layout[2] != x->rank + 1)
        return false;
    *root = little(layout + 3, 8);
    return true;
}

/* ---- the B-tree ---- */

static int damaged(const struct index *x, const char *what, struct ol_error *err)
{
    return ol_fail(err, "%s: %s: its index of chunks is damaged: %s", x->path, x->dataset,
                   what);
}

static int note_chunk(struct index *x, const unsigned char *key, uint64_t offset,
                      struct ol_error *err)
{
    const uint64_t i = little(key + 8, 8);
    if (i >= (uint64_t)x->n)
        return damaged(x, "a chunk lies outside the dataset", err);
    if (x->bytes[i] != 0)
        return damaged(x, "a chunk is there twice", err);
    x->bytes[i] = little(key, 4);
    x->offsets[i] = offset;
    return 0;
}

static int read_node(struct index *x, uint64_t at, int level, struct ol_error *err)
{
    unsigned char head[NODE_BYTES];
    const size_t key_bytes = 8 + 8 * ((size_t)x->rank + 1), entry_bytes = key_bytes + 8;
    if (x->nodes_left-- <= 0)
        return damaged(x, "it has no end", err);
    if (at > x->file_bytes || x->file_bytes - at < sizeof head)
        return damaged(x, "a node lies outside the file", err);
    if (ol_file_read_at(x->fd, x->path, head, sizeof head, at, err) != 0)
        return -1;
    const size_t n = (size_t)little(head + 6, 2);
    if (memcmp(head, "TREE", 4) != 0 || head[4] != NODE_OF_CHUNKS || n == 0 ||
        (level >= 0 && head[5] != level) ||
        x->file_bytes - at - sizeof head < n * entry_bytes)
        return damaged(x, "a node is none", err);
    unsigned char *entries = ol_xmalloc(n * entry_bytes);
    int status =
        ol_file_read_at(x->fd, x->path, entries, n * entry_bytes, at + sizeof head, err);
    for (size_t i = 0; i < n && status == 0; i++) {
        const unsigned char *key = entries + i * entry_bytes;
        const uint64_t child = little(key + key_bytes, 8);
        status = head[5] == 0 ? note_chunk(x, key, child, err)
                              : read_node(x, child, head[5] - 1, err);
    }
    free(entries);
    return status;
}

/* ---- the dataset ---- */

static int ask_library(const struct ol_h5 *h, const char *path, hid_t dataset, int64_t n,
                       uint64_t *offsets, uint64_t *bytes, struct ol_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        const hsize_t corner[OL_H5_MAX_RANK] = {(hsize_t)i, 0, 0};
        unsigned mask = 0;
        haddr_t offset = HADDR_UNDEF;
        hsize_t size = 0;
        ol_crash_guard_step(0);
        if (H5Dget_chunk_info_by_coord(dataset, corner, &mask, &offset, &size) < 0)
            return ol_h5_fail(err, h->path, path, "a chunk cannot be found");
        offsets[i] = offset;
        bytes[i] = offset == HADDR_UNDEF ? 0 : size;
    }
    return 0;
}

static int read_index(const struct ol_h5 *h, const char *path, hid_t dataset,
                      struct index *x, struct ol_error *err)
{
    enum { NODES_BESIDE = 16, SMALL = 8 };
    struct stat info;
    H5O_info_t object;
    uint64_t root;
    const hid_t space = H5Dget_space(dataset);
    x->rank = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    const bool good = ol_h5_closed(space, H5Sclose);
    if (!good || x->rank < 1 || x->rank > OL_H5_MAX_RANK ||
        H5Oget_info(dataset, &object) < 0)
        return ol_h5_fail(err, h->path, path, "its chunks cannot be looked for");
    x->fd = x->n > SMALL ? ol_file_open(h->path, O_RDONLY, err) : -1;
    if (x->fd < 0)
        return x->n > SMALL
                   ? -1
                   : ask_library(h, path, dataset, x->n, x->offsets, x->bytes, err);
    x->nodes_left = 2 * x->n + NODES_BESIDE;
    int status = 0;
    if (fstat(x->fd, &info) != 0)
        status = ol_fail_errno(err, "%s: cannot be read", h->path);
    else
        x->file_bytes = (uint64_t)info.st_size;
    if (status == 0)
        status = find_root(x, object.addr, &root)
                     ? read_node(x, root, -1, err)
                     : ask_library(h, path, dataset, x->n, x->offsets, x->bytes, err);
    close(x->fd);
    return status;
}

int ol_h5_chunks(const struct ol_h5 *h, const char *path, int64_t n, uint64_t *offsets,
                 uint64_t *bytes, struct ol_error *err)
{
    struct index x = {
        .path = h->path, .dataset = path, .n = n, .offsets = offsets, .bytes = bytes};
    const hid_t dataset = ol_h5_find_dataset(h, path, err);
    if (dataset < 0)
        return -1;
    memset(bytes, 0, (size_t)n * sizeof *bytes);
    int status = read_index(h, path, dataset, &x, err);
    for (int64_t i = 0; i < n && status == 0; i++)
        if (bytes[i] == 0)
            status = ol_fail(err, "%s: %s: chunk %lld has no place in the file", h->path,
                             path, (long long)i);
    return status;
}
