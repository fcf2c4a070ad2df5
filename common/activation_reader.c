#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/activation_content.h"
#include "common/crc32.h"
#include "common/file.h"
#include "common/infile.h"
#include "common/mapping.h"

/* What was read of a chunk so far, if its checksum is known. */
struct seen {
    _Atomic uint32_t sum; /* of the rows that were read, and zeros for the others */
    _Atomic int64_t rows;
    _Atomic bool whole; /* all of it was looked at, and is as it was written */
};

struct ol_activation_file {
    char *path;
    struct ol_activation_content content;
    int fd;
    bool local;
    const char *bytes; /* all of it, mapped */
    size_t n_bytes;
    struct seen *seen; /* [content.list.n_checksums], NULL: an old file */
    pthread_mutex_t mutex;
    struct ol_error damage; /* the first that was found */
};

static int map(struct ol_activation_file *f, struct ol_error *err)
{
    struct stat info;
    f->fd = ol_infile_descriptor(f->path, err);
    if (f->fd < 0 || ol_file_lock(f->fd, f->path, OL_LOCK_SHARED, err) != 0)
        return -1;
    if (fstat(f->fd, &info) != 0)
        return ol_fail_errno(err, "%s: cannot be read", f->path);
    f->local = ol_file_is_local(f->fd);
    f->n_bytes = (size_t)info.st_size;
    f->bytes = ol_mapping_new(f->fd, f->path, f->n_bytes, err);
    return f->bytes != NULL ? 0 : -1;
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
    pthread_mutex_init(&f->mutex, NULL);
    if (ol_activation_content_read(path, &f->content, err) == 0 &&
        check_sealed(f, err) == 0 && map(f, err) == 0) {
        if (f->content.list.n_tables > 0)
            f->seen = ol_xcalloc((size_t)f->content.list.n_checksums, sizeof *f->seen);
        return f;
    }
    ol_activation_close(f);
    return NULL;
}

void ol_activation_close(struct ol_activation_file *f)
{
    if (f == NULL)
        return;
    ol_mapping_free(f->bytes, f->n_bytes);
    if (f->fd >= 0)
        close(f->fd);
    ol_activation_content_clear(&f->content);
    pthread_mutex_destroy(&f->mutex);
    free(f->seen);
    free(f->path);
    free(f);
}

const char *ol_activation_path(const struct ol_activation_file *f)
{
    return f->path;
}

bool ol_activation_is(const struct ol_activation_file *f, const char *path)
{
    return ol_file_is(f->fd, path);
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

/* ---- that what is read is what was written ---- */

struct chunk {
    int i_layer, table;
    int64_t sequence, checksum;
    uint64_t offset;
};

static const struct ol_activation_layer *layer_of(const struct ol_activation_file *f,
                                                  int i_layer, int table)
{
    return table < OL_N_FILE_TABLES ? NULL : &f->content.layout.layers[i_layer];
}

static struct chunk find_chunk(const struct ol_activation_file *f, int i_layer, int table,
                               int64_t sequence)
{
    const struct ol_activation_content *c = &f->content;
    const int64_t i = ol_table_index(i_layer, table);
    return (struct chunk){.i_layer = i_layer,
                          .table = table,
                          .sequence = sequence,
                          .checksum = f->seen != NULL ? c->list.at[i] + sequence : -1,
                          .offset = c->offsets[i][sequence]};
}

static uint64_t bytes_of(const struct ol_activation_file *f, const struct chunk *k)
{
    return ol_table_chunk_bytes(&f->content, layer_of(f, k->i_layer, k->table), k->table);
}

/* The file's user asks for it in the end (ol_activation_intact). */
static void note_damage(const struct ol_activation_file *f, const struct chunk *k)
{
    struct ol_activation_file *file = (struct ol_activation_file *)(uintptr_t)f;
    const struct ol_activation_layer *layer = layer_of(f, k->i_layer, k->table);
    char path[OL_TABLE_PATH];
    ol_table_path(path, layer != NULL ? layer->number : 0, k->table);
    pthread_mutex_lock(&file->mutex);
    if (ol_table_storage(k->table) == OL_STORED_WHOLE)
        ol_fail(&file->damage, "%s: %s is damaged: it is not what its checksum says",
                f->path, path);
    else
        ol_fail(&file->damage,
                "%s: %s, sequence %lld is damaged: it is not what its checksum says",
                f->path, path, (long long)k->sequence);
    pthread_mutex_unlock(&file->mutex);
}

/* Of what rows were read once and all of them, as a scan reads them, the sum is known;
 * other chunks are looked at as a whole. */
static uint32_t sum_of(const struct ol_activation_file *f, const struct chunk *k)
{
    struct seen *seen = &f->seen[k->checksum];
    const int64_t rows = atomic_load(&seen->rows);
    const uint64_t bytes = bytes_of(f, k);
    return rows > 0 && rows == f->content.input.lengths[k->sequence]
               ? atomic_load(&seen->sum) ^ ol_crc32_of_zeros(bytes)
               : ol_crc32(f->bytes + k->offset, (size_t)bytes);
}

/* When it is looked at for the first time, or all of it has been read. */
static void check(const struct ol_activation_file *f, const struct chunk *k)
{
    if (k->checksum < 0 || atomic_load(&f->seen[k->checksum].whole))
        return;
    if (sum_of(f, k) != f->content.list.checksums[k->checksum])
        note_damage(f, k);
    atomic_store(&f->seen[k->checksum].whole, true);
}

const void *ol_activation_get(const struct ol_activation_file *f, int table, int i_layer,
                              int64_t sequence)
{
    const struct chunk k = find_chunk(f, i_layer, table, sequence);
    check(f, &k);
    return f->bytes + k.offset;
}

void ol_activation_copy(const struct ol_activation_file *f, int table, int i_layer,
                        void *to)
{
    if (to != NULL)
        memcpy(to, ol_activation_get(f, table, i_layer, 0),
               ol_table_chunk_bytes(&f->content, layer_of(f, i_layer, table), table));
}

int ol_activation_intact(const struct ol_activation_file *f, struct ol_error *err)
{
    const struct ol_activation_layout *layout = &f->content.layout;
    for (int l = 0; l < layout->n_layers && f->seen != NULL; l++)
        for (int site = 0; site < OL_N_SITES; site++)
            for (int64_t s = 0; layout->layers[l].sites[site] && s < layout->n_sequences;
                 s++) {
                const struct chunk k =
                    find_chunk(f, l, ol_table_of_site((enum ol_site)site), s);
                if (k.checksum >= 0 && atomic_load(&f->seen[k.checksum].rows) > 0)
                    check(f, &k);
            }
    return f->damage.text[0] == '\0' ? 0 : ol_fail(err, "%s", f->damage.text);
}

int64_t ol_activation_verify(const struct ol_activation_file *f, struct ol_error *err)
{
    if (f->seen == NULL)
        return 0;
    for (struct ol_table_place p = {0}; ol_tables_next(&f->content, &p);)
        for (int64_t s = 0; f->content.offsets[p.index] != NULL &&
                            s < ol_table_n_chunks(&f->content, p.table);
             s++)
            ol_activation_get(f, p.table, p.i_layer, s);
    return ol_activation_intact(f, err) == 0 ? f->content.list.n_checksums : -1;
}

/* ---- tables ---- */

static size_t row_bytes(const struct ol_activation_file *f)
{
    const struct ol_activation_layout *layout = &f->content.layout;
    return (size_t)layout->d_model * ol_dtype_size(layout->dtype);
}

bool ol_activation_rows_mapped(const struct ol_activation_file *f)
{
    return f->local;
}

const void *ol_activation_rows_at(const struct ol_activation_file *f, int i_layer,
                                  enum ol_site site,
                                  const struct ol_activation_rows *rows, void *room,
                                  struct ol_error *err)
{
    const struct chunk k = find_chunk(f, i_layer, ol_table_of_site(site), rows->sequence);
    const uint64_t at = k.offset + (uint64_t)rows->token * row_bytes(f);
    if (f->local)
        return f->bytes + at;
    return ol_file_read_at(f->fd, f->path, room, (size_t)rows->n * row_bytes(f), at,
                           err) == 0
               ? room
               : NULL;
}

void ol_activation_rows_soon(const struct ol_activation_file *f, int i_layer,
                             enum ol_site site, const struct ol_activation_rows *rows)
{
    const struct chunk k = find_chunk(f, i_layer, ol_table_of_site(site), rows->sequence);
    const uint64_t first = k.offset + (uint64_t)rows->token * row_bytes(f),
                   end = first + (uint64_t)rows->n * row_bytes(f),
                   page = first / OL_ACTIVATION_ALIGNMENT * OL_ACTIVATION_ALIGNMENT;
    if (f->local)
        madvise((void *)(uintptr_t)(f->bytes + page), (size_t)(end - page),
                MADV_WILLNEED);
}

void ol_activation_rows_seen(const struct ol_activation_file *f, int i_layer,
                             enum ol_site site, const struct ol_activation_rows *rows,
                             const struct ol_crc32_run *sum)
{
    const struct chunk k = find_chunk(f, i_layer, ol_table_of_site(site), rows->sequence);
    const uint64_t end = (uint64_t)(rows->token + rows->n) * row_bytes(f);
    if (k.checksum < 0)
        return;
    struct seen *seen = &f->seen[k.checksum];
    atomic_fetch_xor(&seen->sum, ol_crc32_run_part(sum, bytes_of(f, &k) - end));
    atomic_fetch_add(&seen->rows, rows->n);
}

void ol_activation_read_summary(const struct ol_activation_file *f, int i_layer,
                                enum ol_summary_site site,
                                const struct ol_activation_summary *summary)
{
    const int first = ol_table_of_summary(site);
    ol_activation_copy(f, first, i_layer, summary->histogram);
    ol_activation_copy(f, first + 1, i_layer, summary->columns);
    if (site == OL_SUMMARY_OUTPUT)
        return;
    ol_activation_copy(f, first + 2, i_layer, summary->counts);
    ol_activation_copy(f, first + 3, i_layer, summary->maxima);
}

void ol_activation_read_occurrences(const struct ol_activation_file *f, int i_layer,
                                    enum ol_summary_site site, int64_t sequence,
                                    int32_t *counts, float *maxima)
{
    const int first = ol_table_of_summary(site);
    const size_t bytes = (size_t)f->content.layout.d_model * 4;
    const char *rows = ol_activation_get(f, first + 2, i_layer, 0);
    memcpy(counts, rows + (size_t)sequence * bytes, bytes);
    rows = ol_activation_get(f, first + 3, i_layer, 0);
    memcpy(maxima, rows + (size_t)sequence * bytes, bytes);
}

const struct ol_activation_outliers *
ol_activation_outliers(const struct ol_activation_file *f)
{
    return &f->content.outliers;
}

const struct ol_activation_arms *ol_activation_arms(const struct ol_activation_file *f)
{
    return &f->content.arms;
}
