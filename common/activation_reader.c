#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/activation_content.h"
#include "common/infile.h"

struct ol_activation_file {
    char *path;
    struct ol_activation_content content;
    int fd;
    const char *bytes; /* all of it, mapped */
    size_t n_bytes;
};

static int map(struct ol_activation_file *f, struct ol_error *err)
{
    struct stat info;
    void *bytes = MAP_FAILED;
    f->fd = ol_infile_descriptor(f->path, err);
    if (f->fd < 0)
        return -1;
    if (fstat(f->fd, &info) == 0)
        bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, f->fd, 0);
    if (bytes == MAP_FAILED)
        return ol_fail_errno(err, "%s: cannot be mapped", f->path);
    f->bytes = bytes;
    f->n_bytes = (size_t)info.st_size;
    return 0;
}

static int check_sealed(const struct ol_activation_file *f, struct ol_error *err)
{
    const char *suffix = ".partial";
    const size_t n = strlen(f->path), m = strlen(suffix);
    const bool partial = n > m && strcmp(f->path + n - m, suffix) == 0;
    if (f->content.complete && !partial)
        return 0;
    return ol_fail(err,
                   "%s: the run was not finished; ol-extract --resume goes on with it",
                   f->path);
}

struct ol_activation_file *ol_activation_open(const char *path, struct ol_error *err)
{
    struct ol_activation_file *f = ol_xcalloc(1, sizeof *f);
    f->path = ol_xstrdup(path);
    f->fd = -1;
    if (ol_activation_content_read(path, &f->content, err) == 0 &&
        check_sealed(f, err) == 0 && map(f, err) == 0)
        return f;
    ol_activation_close(f);
    return NULL;
}

void ol_activation_close(struct ol_activation_file *f)
{
    if (f == NULL)
        return;
    if (f->bytes != NULL)
        munmap((void *)(uintptr_t)f->bytes, f->n_bytes);
    if (f->fd >= 0)
        close(f->fd);
    ol_activation_content_clear(&f->content);
    free(f->path);
    free(f);
}

const char *ol_activation_path(const struct ol_activation_file *f)
{
    return f->path;
}

const struct ol_activation_info *ol_activation_info(const struct ol_activation_file *f)
{
    return &f->content.info;
}

const struct ol_activation_layout *
ol_activation_layout(const struct ol_activation_file *f)
{
    return &f->content.layout;
}

const struct ol_activation_input *ol_activation_input(const struct ol_activation_file *f)
{
    return &f->content.input;
}

const struct ol_activation_receipt *
ol_activation_receipt(const struct ol_activation_file *f)
{
    return &f->content.receipt;
}

static const void *chunk(const struct ol_activation_file *f, int i_layer, int table,
                         int64_t sequence)
{
    return f->bytes + f->content.offsets[i_layer * OL_N_TABLES + table][sequence];
}

const void *ol_activation_site(const struct ol_activation_file *f, int i_layer,
                               enum ol_site site, int64_t sequence)
{
    return chunk(f, i_layer, OL_TABLE_SITES + (int)site, sequence);
}

int ol_activation_read_rows(const struct ol_activation_file *f, int i_layer,
                            enum ol_site site, int64_t sequence, int64_t first, int64_t n,
                            void *rows, struct ol_error *err)
{
    const struct ol_activation_layout *layout = &f->content.layout;
    const size_t row_bytes = (size_t)layout->d_model * ol_dtype_size(layout->dtype);
    const char *from = ol_activation_site(f, i_layer, site, sequence);
    const off_t at = (off_t)(from - f->bytes) + first * (off_t)row_bytes;
    size_t done = 0;
    while (done < (size_t)n * row_bytes) {
        const ssize_t got = pread(f->fd, (char *)rows + done,
                                  (size_t)n * row_bytes - done, at + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ol_fail_errno(err, "%s: cannot be read", f->path);
        if (got == 0)
            return ol_fail(err, "%s: it became shorter while it was read", f->path);
        done += (size_t)got;
    }
    return 0;
}

const uint16_t *ol_activation_router_ids(const struct ol_activation_file *f, int i_layer,
                                         int64_t sequence)
{
    return chunk(f, i_layer, OL_TABLE_ROUTER_IDS, sequence);
}

const float *ol_activation_router_weights(const struct ol_activation_file *f, int i_layer,
                                          int64_t sequence)
{
    return chunk(f, i_layer, OL_TABLE_ROUTER_WEIGHTS, sequence);
}

const uint16_t *ol_activation_top_features(const struct ol_activation_file *f,
                                           int i_layer, int64_t sequence)
{
    return chunk(f, i_layer, OL_TABLE_TOP_FEATURES, sequence);
}

const float *ol_activation_writes(const struct ol_activation_file *f, int i_layer,
                                  int64_t sequence)
{
    return chunk(f, i_layer, OL_TABLE_WRITES, sequence);
}

/* Such a table need not be aligned for its type. */
static void copy_whole(const struct ol_activation_file *f, int i_layer, int table,
                       void *to)
{
    if (to != NULL)
        memcpy(to, chunk(f, i_layer, table, 0),
               ol_activation_chunk_bytes(&f->content, &f->content.layout.layers[i_layer],
                                         table));
}

void ol_activation_read_summary(const struct ol_activation_file *f, int i_layer,
                                enum ol_summary_site site,
                                const struct ol_activation_summary *summary)
{
    const int first = OL_TABLE_SUMMARIES + OL_N_SUMMARY_TABLES * (int)site;
    copy_whole(f, i_layer, first + OL_SUMMARY_HISTOGRAM, summary->histogram);
    copy_whole(f, i_layer, first + OL_SUMMARY_COLUMNS, summary->columns);
    copy_whole(f, i_layer, first + OL_SUMMARY_COUNTS, summary->counts);
    copy_whole(f, i_layer, first + OL_SUMMARY_MAXIMA, summary->maxima);
}

void ol_activation_read_occurrences(const struct ol_activation_file *f, int i_layer,
                                    enum ol_summary_site site, int64_t sequence,
                                    int32_t *counts, float *maxima)
{
    const int first = OL_TABLE_SUMMARIES + OL_N_SUMMARY_TABLES * (int)site;
    const size_t bytes = (size_t)f->content.layout.d_model * 4;
    const char *rows = chunk(f, i_layer, first + OL_SUMMARY_COUNTS, 0);
    memcpy(counts, rows + (size_t)sequence * bytes, bytes);
    rows = chunk(f, i_layer, first + OL_SUMMARY_MAXIMA, 0);
    memcpy(maxima, rows + (size_t)sequence * bytes, bytes);
}

void ol_activation_read_units(const struct ol_activation_file *f, int i_layer,
                              double *units)
{
    copy_whole(f, i_layer, OL_TABLE_UNITS, units);
}

void ol_activation_read_squares(const struct ol_activation_file *f, int i_layer,
                                enum ol_input input, double *squares)
{
    copy_whole(f, i_layer, OL_TABLE_INPUTS + (int)input, squares);
}

const struct ol_activation_outliers *
ol_activation_outliers(const struct ol_activation_file *f)
{
    return &f->content.outliers;
}

const float *ol_activation_nll(const struct ol_activation_file *f, int64_t sequence)
{
    return (const void *)(f->bytes + f->content.nll_offsets[sequence]);
}
