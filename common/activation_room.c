/* The room on the disk that a file takes: asked of the code that lays it out. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/activation_content.h"
#include "common/process.h"

int64_t ol_activation_likely_values(const struct ol_activation_layout *layout)
{
    enum { VALUES_PER_DIMENSION = 64 }; /* few dimensions have many, most have none */
    const int64_t n_tokens = layout->n_sequences * layout->n_tokens;
    if (!layout->summary)
        return 0;
    return layout->d_model *
           (n_tokens < VALUES_PER_DIMENSION ? n_tokens : VALUES_PER_DIMENSION);
}

/* Of the outliers and of arms, which are compressed when they are written, and of what
 * HDF5 allocates when it opens the file once more: more than they come to. */
static int64_t sealed_bytes(const struct ol_activation_layout *layout)
{
    enum { VALUE_BYTES = 4 + 2 + 8, HEADERS = 1 << 16 };
    const int64_t chunk = layout->d_model * ol_activation_position_bytes(layout);
    const int64_t arm = chunk + layout->d_model * (ol_activation_site_bytes(layout) + 8) +
                        layout->n_tokens * 4 + 4 * OL_ACTIVATION_ALIGNMENT;
    const int64_t all = chunk + OL_ACTIVATION_ALIGNMENT + layout->n_arms * arm;
    if (!layout->summary)
        return 2 * OL_ACTIVATION_ALIGNMENT;
    /* Deflate never adds more than a 1000th and a few bytes (zlib's compressBound). */
    return layout->n_sequences * (all + all / 1000) +
           ol_activation_likely_values(layout) * VALUE_BYTES + HEADERS;
}

/* Unwritten chunks have no blocks: what has is what sealing may change and keeps, with a
 * few bytes for each page of it. */
int ol_activation_room(int fd, const struct ol_activation_layout *layout,
                       struct ol_activation_bytes *bytes)
{
    enum { BLOCK_BYTES = 512, PAGES = 64 };
    struct stat file;
    if (fstat(fd, &file) != 0)
        return -1;
    const int64_t kept = (int64_t)file.st_blocks * BLOCK_BYTES;
    bytes->file = (int64_t)file.st_size + sealed_bytes(layout);
    bytes->room = bytes->file + kept + kept / PAGES;
    return 0;
}

/* An empty file that is all holes, in memory where there is room for such: a disk's files
 * end at 16 TiB. The caller removes *path, closes the descriptor and frees. */
static int open_sketch(char **path, struct ol_error *err)
{
    const char *const places[] = {"/dev/shm", getenv("TMPDIR"), P_tmpdir};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (places[i] == NULL)
            continue;
        *path = ol_xasprintf("%s/ol-plan-XXXXXX", places[i]);
        const int fd = mkostemp(*path, O_CLOEXEC);
        if (fd >= 0) {
            ol_process_guard(*path);
            return fd;
        }
        free(*path);
    }
    *path = NULL;
    return ol_fail_errno(err, "a file cannot be laid out in /dev/shm or %s", P_tmpdir);
}

int ol_activation_disk_bytes(const struct ol_activation_info *info,
                             const struct ol_activation_layout *layout,
                             const struct ol_activation_input *input,
                             struct ol_activation_bytes *bytes, struct ol_error *err)
{
    int status = -1;
    char *path;
    const int fd = open_sketch(&path, err);
    if (fd < 0)
        return -1;
    if (ol_activation_content_write(path, info, layout, input, err) == 0) {
        status = ol_activation_room(fd, layout, bytes);
        if (status != 0)
            ol_fail_errno(err, "%s: cannot be read", path);
    }
    unlink(path);
    ol_process_release(path);
    free(path);
    close(fd);
    return status;
}
