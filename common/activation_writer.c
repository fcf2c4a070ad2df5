#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/activation_content.h"

struct ol_activation_writer {
    char *path, *partial;
    int fd;
    struct ol_activation_content content;
    int *index; /* [n_layers of the model]: of the recorded layer, or -1 */
};

/* ---- opening ---- */

static void free_writer(struct ol_activation_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
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
    return w;
}

static int open_partial(struct ol_activation_writer *w, struct ol_error *err)
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
    w->fd = open(w->partial, O_RDWR | O_CLOEXEC);
    return w->fd >= 0 ? 0 : ol_fail_errno(err, "%s: cannot open for writing", w->partial);
}

/* Take the disk's room now: a run of hours must not end for want of it. */
static int reserve(const struct ol_activation_writer *w, struct ol_error *err)
{
    struct stat file;
    struct statvfs disk;
    if (fstat(w->fd, &file) != 0)
        return ol_fail_errno(err, "%s: cannot be read", w->partial);
    if (fallocate(w->fd, 0, 0, file.st_size) == 0 || errno == EOPNOTSUPP ||
        errno == ENOSYS)
        return 0;
    if (errno == ENOSPC && fstatvfs(w->fd, &disk) == 0)
        return ol_fail(err, "%s: the disk is too small: %lld bytes are needed, %lld free",
                       w->partial, (long long)file.st_size,
                       (long long)(disk.f_bavail * disk.f_frsize) +
                           (long long)file.st_blocks * 512);
    return ol_fail_errno(err, "%s: no room for %lld bytes", w->partial,
                         (long long)file.st_size);
}

/* Space between the end of a sequence and the longest reads as zeros: it was never
 * written. */
struct ol_activation_writer *
ol_activation_create(const char *path, const struct ol_activation_info *info,
                     const struct ol_activation_layout *layout,
                     const struct ol_activation_input *input, struct ol_error *err)
{
    struct ol_activation_writer *w = new_writer(path);
    /* Asked first, because HDF5's own message is a long one. */
    const int fd = open(w->partial, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        ol_fail_errno(err, "%s: cannot create", w->partial);
        free_writer(w);
        return NULL;
    }
    close(fd);
    ol_activation_undo_forget(w->partial);
    if (ol_activation_content_write(w->partial, info, layout, input, err) == 0 &&
        open_partial(w, err) == 0 && reserve(w, err) == 0)
        return w;
    unlink(w->partial);
    free_writer(w);
    return NULL;
}

/* ---- going on ---- */

static bool stores_tensors(const struct ol_activation_layout *a)
{
    for (int l = 0; l < a->n_layers; l++)
        for (int site = 0; site < OL_N_SITES; site++)
            if (a->layers[l].sites[site])
                return true;
    return false;
}

static const char *difference(const struct ol_activation_content *c,
                              const struct ol_activation_info *info,
                              const struct ol_activation_layout *layout,
                              const struct ol_activation_input *input)
{
    const struct ol_activation_layout *have = &c->layout;
    const char *attribute = ol_activation_info_difference(&c->info, info);
    if (attribute != NULL)
        return attribute;
    if (have->n_sequences != layout->n_sequences || have->n_tokens != layout->n_tokens)
        return "number of tokens";
    if (have->nll != layout->nll)
        return "choice of --perplexity";
    if (stores_tensors(have) && have->dtype != layout->dtype)
        return "type of the tensors (--store)";
    if (have->summary != layout->summary || have->threshold != layout->threshold)
        return "choice of summaries or their threshold";
    if (!ol_activation_same_layers(have, layout))
        return "choice of layers or sites";
    const size_t n = (size_t)(layout->n_sequences * layout->n_tokens);
    if (memcmp(c->input.token_ids, input->token_ids, n * sizeof(int32_t)) != 0)
        return "tokens";
    return NULL;
}

struct ol_activation_writer *
ol_activation_reopen(const char *path, const struct ol_activation_info *info,
                     const struct ol_activation_layout *layout,
                     const struct ol_activation_input *input, struct ol_error *err)
{
    struct ol_activation_writer *w = new_writer(path);
    if (open_partial(w, err) == 0) {
        const char *what = difference(&w->content, info, layout, input);
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
        *what = difference(&content, info, layout, input);
    ol_activation_content_clear(&content);
    return status;
}

/* ---- rows ---- */

static int write_at(const struct ol_activation_writer *w, uint64_t offset,
                    const void *data, size_t bytes, struct ol_error *err)
{
    const char *from = data;
    while (bytes > 0) {
        const ssize_t n = pwrite(w->fd, from, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ol_fail_errno(err, "%s: cannot be written", w->partial);
        from += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int write_rows(const struct ol_activation_writer *w, int number, int table,
                      int64_t sequence, int64_t token, int64_t n, const void *rows,
                      struct ol_error *err)
{
    const struct ol_activation_layout *layout = &w->content.layout;
    const int l = w->index[number];
    const uint64_t *offsets = l >= 0 ? w->content.offsets[l * OL_N_TABLES + table] : NULL;
    if (offsets == NULL)
        return ol_fail(err, "%s: layer %d has no such table", w->partial, number);
    const size_t row = ol_activation_row_bytes(&w->content, &layout->layers[l], table);
    return write_at(w, offsets[sequence] + (uint64_t)token * row, rows, (size_t)n * row,
                    err);
}

int ol_activation_write_site(struct ol_activation_writer *w, int layer, enum ol_site site,
                             int64_t sequence, int64_t token, int64_t n, const void *rows,
                             struct ol_error *err)
{
    return write_rows(w, layer, OL_TABLE_SITES + (int)site, sequence, token, n, rows,
                      err);
}

int ol_activation_write_router(struct ol_activation_writer *w, int layer,
                               int64_t sequence, int64_t token, int64_t n,
                               const uint16_t *ids, const float *weights,
                               struct ol_error *err)
{
    if (write_rows(w, layer, OL_TABLE_ROUTER_IDS, sequence, token, n, ids, err) != 0)
        return -1;
    return write_rows(w, layer, OL_TABLE_ROUTER_WEIGHTS, sequence, token, n, weights,
                      err);
}

static int write_whole(const struct ol_activation_writer *w, int number, int table,
                       const void *data, struct ol_error *err)
{
    const int l = w->index[number];
    const uint64_t *offsets = l >= 0 ? w->content.offsets[l * OL_N_TABLES + table] : NULL;
    if (offsets == NULL)
        return ol_fail(err, "%s: layer %d has no such table", w->partial, number);
    return write_at(
        w, offsets[0], data,
        ol_activation_chunk_bytes(&w->content, &w->content.layout.layers[l], table), err);
}

int ol_activation_write_summary(struct ol_activation_writer *w, int layer,
                                enum ol_summary_site site,
                                const struct ol_activation_summary *summary,
                                struct ol_error *err)
{
    const void *const data[OL_N_SUMMARY_TABLES] = {
        [OL_SUMMARY_HISTOGRAM] = summary->histogram,
        [OL_SUMMARY_COLUMNS] = summary->columns,
        [OL_SUMMARY_COUNTS] = summary->counts,
        [OL_SUMMARY_MAXIMA] = summary->maxima,
    };
    for (int t = 0; t < OL_N_SUMMARY_TABLES; t++)
        if (data[t] != NULL &&
            write_whole(w, layer,
                        OL_TABLE_SUMMARIES + OL_N_SUMMARY_TABLES * (int)site + t, data[t],
                        err) != 0)
            return -1;
    return 0;
}

int ol_activation_write_writes(struct ol_activation_writer *w, int layer,
                               int64_t sequence, int64_t token, int64_t n,
                               const uint16_t *features, const float *writes,
                               struct ol_error *err)
{
    if (write_rows(w, layer, OL_TABLE_TOP_FEATURES, sequence, token, n, features, err) !=
        0)
        return -1;
    return write_rows(w, layer, OL_TABLE_WRITES, sequence, token, n, writes, err);
}

int ol_activation_write_units(struct ol_activation_writer *w, int layer,
                              const double *units, struct ol_error *err)
{
    return write_whole(w, layer, OL_TABLE_UNITS, units, err);
}

int ol_activation_write_squares(struct ol_activation_writer *w, int layer,
                                enum ol_input input, const double *squares,
                                struct ol_error *err)
{
    return write_whole(w, layer, OL_TABLE_INPUTS + (int)input, squares, err);
}

int ol_activation_write_nll(struct ol_activation_writer *w, int64_t sequence,
                            const float *nll, struct ol_error *err)
{
    return write_at(w, w->content.nll_offsets[sequence], nll,
                    (size_t)w->content.layout.n_tokens * sizeof *nll, err);
}

int ol_activation_sync(struct ol_activation_writer *w, struct ol_error *err)
{
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

static int mark_complete(const struct ol_activation_writer *w,
                         const struct ol_activation_outliers *outliers,
                         const struct ol_activation_receipt *receipt,
                         struct ol_error *err)
{
    struct ol_h5 *h = ol_h5_open(w->partial, true, err);
    if (h == NULL)
        return -1;
    if ((outliers != NULL &&
         ol_activation_outliers_write(h, &w->content.layout, outliers, err) != 0) ||
        (receipt != NULL && ol_activation_receipt_write(h, receipt, err) != 0) ||
        ol_h5_put_bool(h, "/", "complete", true, err) != 0) {
        ol_h5_free(h);
        return -1;
    }
    return ol_h5_close(h, err);
}

int ol_activation_seal(struct ol_activation_writer *w,
                       const struct ol_activation_outliers *outliers,
                       const struct ol_activation_receipt *receipt, struct ol_error *err)
{
    int status = -1;
    /* The mark must not reach the disk before what it vouches for. */
    if (ol_activation_sync(w, err) == 0 &&
        ol_activation_undo_keep(w->partial, &w->content, err) == 0 &&
        mark_complete(w, outliers, receipt, err) == 0 &&
        ol_activation_sync(w, err) == 0) {
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
