#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/activation_content.h"
#include "common/crc32.h"
#include "common/file.h"
#include "common/unbuffered.h"

struct ol_activation_writer {
    char *path, *partial;
    int fd;
    struct ol_unbuffered *unbuffered; /* for rows; NULL: they go by fd too */
    struct ol_activation_content content;
    int *index;            /* [n_layers of the model]: of the recorded layer, or -1 */
    pthread_mutex_t mutex; /* of the checksums: */
    int64_t first_new, end_of_new; /* those that are not in the file yet */
};

/* ---- opening ---- */

static void free_writer(struct ol_activation_writer *w)
{
    ol_unbuffered_close(w->unbuffered);
    if (w->fd >= 0)
        close(w->fd);
    pthread_mutex_destroy(&w->mutex);
    ol_activation_content_clear(&w->content);
    free(w->index);
    free(w->partial);
    free(w->path);
    free(w);
}

static struct ol_activation_writer *new_writer(const char *path)
{
    struct ol_activation_writer *w = ol_xcalloc(1, sizeof *w);
    w->path = ol_xstrdup(path);
    w->partial = ol_xasprintf("%s.partial", path);
    w->fd = -1;
    pthread_mutex_init(&w->mutex, NULL);
    return w;
}

/* What the unfinished file says of itself. */
static int read_partial(struct ol_activation_writer *w, struct ol_error *err)
{
    struct ol_activation_content *c = &w->content;
    if (ol_activation_content_read(w->partial, c, err) != 0)
        return -1;
    if (c->complete)
        ol_detail("%s: was complete, only not renamed yet", w->partial);
    w->index = ol_xcalloc((size_t)c->info.model.n_layers, sizeof *w->index);
    for (int64_t l = 0; l < c->info.model.n_layers; l++)
        w->index[l] = -1;
    for (int i = 0; i < c->layout.n_layers; i++)
        w->index[c->layout.layers[i].number] = i;
    return 0;
}

/* Take the disk's room now: a run of hours must not end for want of it. Behind the end of
 * the file lies what sealing will need. */
static int reserve(const struct ol_activation_writer *w, struct ol_error *err)
{
    struct stat file;
    struct statvfs disk;
    struct ol_activation_bytes bytes;
    if (ol_activation_room(w->fd, &w->content.layout, &bytes) != 0 ||
        fstat(w->fd, &file) != 0)
        return ol_fail_errno(err, "%s: cannot be read", w->partial);
    if (fallocate(w->fd, FALLOC_FL_KEEP_SIZE, 0, bytes.room) == 0 ||
        errno == EOPNOTSUPP || errno == ENOSYS)
        return 0;
    if (errno == ENOSPC && fstatvfs(w->fd, &disk) == 0)
        return ol_fail(err, "%s: the disk is too small: %lld bytes are needed, %lld free",
                       w->partial, (long long)bytes.room,
                       (long long)(disk.f_bavail * disk.f_frsize) +
                           (long long)file.st_blocks * 512);
    return ol_fail_errno(err, "%s: no room for %lld bytes", w->partial,
                         (long long)bytes.room);
}

/* Give back what was reserved behind the file's end, just before it is needed. */
static int release(const struct ol_activation_writer *w, struct ol_error *err)
{
    struct stat file;
    return fstat(w->fd, &file) == 0 && ftruncate(w->fd, file.st_size) == 0
               ? 0
               : ol_fail_errno(err, "%s: its reserved room cannot be given back",
                               w->partial);
}

/* Whoever held the file before may have given it its final name meanwhile. */
static int lock_partial(const struct ol_activation_writer *w, struct ol_error *err)
{
    if (ol_file_lock(w->fd, w->partial, OL_LOCK_EXCLUSIVE, err) != 0)
        return -1;
    return ol_file_is(w->fd, w->partial)
               ? 0
               : ol_fail(err, "%s: another process is at work on this run", w->partial);
}

/* A new file, which nobody else has begun at this moment; or, to begin anew, one that is
 * there and that nobody is at work on. */
static int begin_partial(struct ol_activation_writer *w, bool anew, struct ol_error *err)
{
    struct ol_error other = {0};
    w->fd = ol_file_open(w->partial, O_RDWR | O_CREAT | O_EXCL, &other);
    if (w->fd < 0 && errno == EEXIST)
        w->fd = anew ? ol_file_open(w->partial, O_RDWR, err)
                     : ol_fail(err, "%s: another process has begun this run", w->partial);
    else if (w->fd < 0)
        ol_fail(err, "%s", other.text);
    return w->fd >= 0 ? lock_partial(w, err) : -1;
}

/* Space between the end of a sequence and the longest reads as zeros: it was never
 * written. */
struct ol_activation_writer *
ol_activation_create(const char *path, bool anew, const struct ol_activation_info *info,
                     const struct ol_activation_layout *layout,
                     const struct ol_activation_input *input, struct ol_error *err)
{
    struct ol_activation_writer *w = new_writer(path);
    if (begin_partial(w, anew, err) != 0) {
        free_writer(w);
        return NULL;
    }
    ol_activation_undo_forget(w->partial);
    if (ol_activation_content_write(w->partial, info, layout, input, err) == 0 &&
        read_partial(w, err) == 0) {
        const char *what = ol_activation_run_difference(&w->content, info, layout, input);
        if (what != NULL)
            ol_fail(err, "%s: was not written as it should be: its %s differs",
                    w->partial, what);
        else if (reserve(w, err) == 0)
            return w;
    }
    unlink(w->partial);
    free_writer(w);
    return NULL;
}

/* ---- going on ---- */

struct ol_activation_writer *
ol_activation_reopen(const char *path, const struct ol_activation_info *info,
                     const struct ol_activation_layout *layout,
                     const struct ol_activation_input *input, struct ol_error *err)
{
    struct ol_activation_writer *w = new_writer(path);
    w->fd = ol_file_open(w->partial, O_RDWR, err);
    if (w->fd >= 0 && lock_partial(w, err) == 0 &&
        ol_activation_undo_put_back(w->partial, err) == 0 && read_partial(w, err) == 0) {
        const char *what = ol_activation_run_difference(&w->content, info, layout, input);
        if (w->content.version != OL_ACTIVATION_VERSION)
            what = "format_version";
        if (what == NULL)
            return w;
        ol_fail(err,
                "%s: belongs to another run, its %s differs; finish it with that "
                "command, or remove it",
                w->partial, what);
    }
    free_writer(w);
    return NULL;
}

int ol_activation_compare(const char *path, const struct ol_activation_info *info,
                          const struct ol_activation_layout *layout,
                          const struct ol_activation_input *input, const char **what,
                          struct ol_error *err)
{
    struct ol_activation_content content = {0};
    int status = ol_activation_content_read(path, &content, err);
    if (status == 0 && !content.complete)
        status = ol_fail(err, "%s: is an unfinished run, and not named .partial", path);
    if (status == 0)
        *what = ol_activation_run_difference(&content, info, layout, input);
    ol_activation_content_clear(&content);
    return status;
}

/* ---- rows ---- */

void ol_activation_fit(struct ol_activation_writer *w, int64_t memory)
{
    struct stat file;
    struct ol_error err = {0};
    if (fstat(w->fd, &file) != 0 || file.st_size <= memory)
        return;
    w->unbuffered = ol_unbuffered_open(w->fd, w->partial, &err);
    if (w->unbuffered != NULL)
        ol_detail("%s: written past the page cache, which cannot hold its %.2f GB too",
                  w->partial, (double)file.st_size * 1e-9);
    else
        ol_detail("%s: the file system takes no unbuffered writes (%s)", w->partial,
                  err.text);
}

/* Checksums [first, end) are other than those in the file. The mutex is held. */
static void note_new(struct ol_activation_writer *w, int64_t first, int64_t end)
{
    const bool none = w->first_new == w->end_of_new;
    w->first_new = none || first < w->first_new ? first : w->first_new;
    w->end_of_new = none || end > w->end_of_new ? end : w->end_of_new;
}

/* A piece of a chunk, which begins at `chunk` in the file and has that checksum. */
struct piece {
    uint64_t chunk, chunk_bytes, at, bytes;
    int64_t checksum;
};

static int write_bytes(const struct ol_activation_writer *w, const void *data,
                       size_t bytes, uint64_t offset, struct ol_error *err)
{
    if (w->unbuffered != NULL)
        return ol_unbuffered_write_at(w->unbuffered, data, bytes, offset, err);
    if (ol_file_write_at(w->fd, w->partial, data, bytes, offset, err) != 0)
        return -1;
    ol_file_write_out(w->fd, bytes, offset);
    return 0;
}

static int write_piece(struct ol_activation_writer *w, struct piece p, const void *data,
                       struct ol_error *err)
{
    if (write_bytes(w, data, (size_t)p.bytes, p.chunk + p.at, err) != 0)
        return -1;
    const uint32_t part =
        ol_crc32_part(data, (size_t)p.bytes, p.chunk_bytes - p.at - p.bytes);
    pthread_mutex_lock(&w->mutex);
    w->content.list.checksums[p.checksum] ^= part;
    note_new(w, p.checksum, p.checksum + 1);
    pthread_mutex_unlock(&w->mutex);
    return 0;
}

int ol_activation_put(struct ol_activation_writer *w, enum ol_table table, int layer,
                      const struct ol_activation_rows *rows, const void *data,
                      struct ol_error *err)
{
    const struct ol_activation_content *c = &w->content;
    const bool of_file = table < OL_N_FILE_TABLES;
    const int l = of_file ? 0 : w->index[layer];
    const int64_t i = ol_table_index(l, (int)table),
                  chunk = rows != NULL ? rows->sequence : 0;
    if (l < 0 || c->offsets[i] == NULL)
        return ol_fail(err, "%s: layer %d has no such table", w->partial, layer);
    const struct ol_activation_layer *at = of_file ? NULL : &c->layout.layers[l];
    const uint64_t bytes = ol_table_chunk_bytes(c, at, (int)table);
    struct piece p = {.chunk = c->offsets[i][chunk],
                      .chunk_bytes = bytes,
                      .bytes = bytes,
                      .checksum = c->list.at[i] + chunk};
    if (rows != NULL) {
        const uint64_t row = ol_table_row_bytes(c, at, (int)table);
        p.at = (uint64_t)rows->token * row;
        p.bytes = (uint64_t)rows->n * row;
    }
    return write_piece(w, p, data, err);
}

int ol_activation_put_summary(struct ol_activation_writer *w, int layer,
                              enum ol_summary_site site,
                              const struct ol_activation_summary *summary,
                              struct ol_error *err)
{
    enum { TABLES = 4 };
    const void *const data[TABLES] = {summary->histogram, summary->columns,
                                      summary->counts, summary->maxima};
    for (int t = 0; t < TABLES; t++)
        if (data[t] != NULL &&
            ol_activation_put(w, (enum ol_table)(ol_table_of_summary(site) + t), layer,
                              NULL, data[t], err) != 0)
            return -1;
    return 0;
}

/* The checksum of a table's chunks before anything is written into them. */
static void forget(struct ol_activation_writer *w, int64_t first, int64_t n,
                   uint64_t chunk_bytes)
{
    if (first < 0)
        return;
    pthread_mutex_lock(&w->mutex);
    for (int64_t i = first; i < first + n; i++)
        w->content.list.checksums[i] = ol_crc32_of_zeros(chunk_bytes);
    note_new(w, first, first + n);
    pthread_mutex_unlock(&w->mutex);
}

/* The room of chunks behind the end of a sequence is 0 then too: nobody writes there. */
void ol_activation_go_on_after(struct ol_activation_writer *w, int layer)
{
    const struct ol_activation_content *c = &w->content;
    for (struct ol_table_place p = {0}; ol_tables_next(c, &p);)
        if (c->offsets[p.index] != NULL && (p.layer == NULL || p.layer->number > layer))
            forget(w, c->list.at[p.index], ol_table_n_chunks(c, p.table),
                   ol_table_chunk_bytes(c, p.layer, p.table));
}

static int write_checksums(struct ol_activation_writer *w, struct ol_error *err)
{
    pthread_mutex_lock(&w->mutex);
    const int64_t first = w->first_new, n = w->end_of_new - first;
    uint32_t *copy = ol_xcalloc((size_t)n, sizeof *copy);
    for (int64_t i = 0; i < n; i++)
        copy[i] = w->content.list.checksums[first + i];
    w->first_new = w->end_of_new = 0;
    pthread_mutex_unlock(&w->mutex);
    const int status =
        ol_file_write_at(w->fd, w->partial, copy, (size_t)n * sizeof *copy,
                         w->content.checksums_at + (uint64_t)first * sizeof *copy, err);
    free(copy);
    return status;
}

int ol_activation_sync(struct ol_activation_writer *w, struct ol_error *err)
{
    if (write_checksums(w, err) != 0)
        return -1;
    return fdatasync(w->fd) == 0
               ? 0
               : ol_fail_errno(err, "%s: cannot be written", w->partial);
}

/* ---- the end ---- */

static int sync_directory(const char *path, struct ol_error *err)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash == NULL   ? ol_xstrdup(".")
                      : slash == path ? ol_xstrdup("/")
                                      : ol_xstrndup(path, (size_t)(slash - path));
    const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = 0;
    /* Some file systems cannot sync a directory; the rename has happened all the same. */
    if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL)
        status = ol_fail_errno(err, "%s: cannot be synchronised", directory);
    if (fd >= 0)
        close(fd);
    free(directory);
    return status;
}

/* What the file is to say when it is sealed; borrows from all of them. */
static struct ol_activation_content sealed(const struct ol_activation_writer *w,
                                           const struct ol_activation_outliers *outliers,
                                           const struct ol_activation_arms *arms,
                                           const struct ol_activation_receipt *receipt)
{
    struct ol_activation_content c = w->content;
    c.complete = true;
    if (receipt != NULL)
        c.receipt = *receipt;
    if (outliers != NULL)
        c.outliers = *outliers;
    if (arms != NULL)
        c.arms = *arms;
    return c;
}

static int mark_complete(const struct ol_activation_writer *w,
                         struct ol_activation_content *c, bool receipt,
                         struct ol_error *err)
{
    struct ol_h5 *h = ol_h5_open(w->partial, true, err);
    if (h == NULL)
        return -1;
    ol_activation_sum(c, OL_STORED_SEALED);
    if (ol_activation_write_tables(h, c, OL_STORED_SEALED, err) != 0 ||
        (receipt && ol_activation_receipt_write(h, &c->receipt, err) != 0) ||
        ol_h5_write(h, ol_activation_checksums_path(), OL_H5_U32,
                    (const void *)c->list.checksums, err) != 0 ||
        ol_h5_put_bool(h, "/", "complete", true, err) != 0) {
        ol_h5_free(h);
        return -1;
    }
    return ol_h5_close(h, err);
}

/* What HDF5 wrote it may have lost without a word: a sealed file was read again. */
static int read_back(const struct ol_activation_writer *w,
                     const struct ol_activation_content *expected, struct ol_error *err)
{
    struct ol_activation_content found = {0};
    int status = ol_activation_content_read(w->partial, &found, err);
    const char *what = status == 0 ? ol_activation_difference(&found, expected) : NULL;
    if (what != NULL)
        status = ol_fail(err, "%s: was not written as it should be: its %s differs",
                         w->partial, what);
    ol_activation_content_clear(&found);
    return status;
}

int ol_activation_seal(struct ol_activation_writer *w,
                       const struct ol_activation_outliers *outliers,
                       const struct ol_activation_arms *arms,
                       const struct ol_activation_receipt *receipt, struct ol_error *err)
{
    struct ol_activation_content c = sealed(w, outliers, arms, receipt);
    /* By an earlier process, which ended before the file had its name. */
    const bool was_sealed = w->content.complete;
    int status = -1;
    /* The mark must not reach the disk before what it vouches for. */
    if (ol_activation_sync(w, err) == 0 && release(w, err) == 0 &&
        (was_sealed || (ol_activation_undo_keep(w->partial, &w->content, err) == 0 &&
                        mark_complete(w, &c, receipt != NULL, err) == 0 &&
                        ol_activation_sync(w, err) == 0 && read_back(w, &c, err) == 0))) {
        ol_activation_undo_forget(w->partial);
        if (rename(w->partial, w->path) != 0)
            ol_fail_errno(err, "%s: cannot be renamed to %s", w->partial, w->path);
        else
            status = sync_directory(w->path, err);
    }
    free_writer(w);
    return status;
}

void ol_activation_abandon(struct ol_activation_writer *w)
{
    if (w != NULL)
        free_writer(w);
}
