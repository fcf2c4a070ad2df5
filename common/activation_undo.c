/* While a file is sealed HDF5 changes what stands between its chunks, in several writes.
 * So that a run can go on when they were not all done, that is kept beside it before:
 *
 *     FILE.partial.undo   length of the file, then of each stretch: offset, bytes, data
 *
 * and is put back when the file is opened to go on. Private to common/activation_*.c. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/activation_content.h"
#include "common/file.h"

struct stretch {
    uint64_t offset, bytes;
};

static int by_offset(const void *a, const void *b)
{
    const struct stretch *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* All chunks, and after them an empty one at the end of the file. */
static struct stretch *list_chunks(const struct ol_activation_content *c, uint64_t end,
                                   size_t *n)
{
    const size_t most =
        (size_t)ol_tables_n(&c->layout) * (size_t)c->layout.n_sequences + 1;
    struct stretch *chunks = ol_xcalloc(most, sizeof *chunks);
    *n = 0;
    for (struct ol_table_place p = {0}; ol_tables_next(c, &p);) {
        const uint64_t *offsets = c->offsets[p.index];
        for (int64_t i = 0; offsets != NULL && i < ol_table_n_chunks(c, p.table); i++)
            chunks[(*n)++] =
                (struct stretch){offsets[i], ol_table_chunk_bytes(c, p.layer, p.table)};
    }
    qsort(chunks, *n, sizeof *chunks, by_offset);
    chunks[(*n)++].offset = end;
    return chunks;
}

/* Most of what stands between chunks is room that nothing fills: it is kept as a length.
 */
struct page {
    uint64_t offset;
    uint32_t bytes, zero;
    char data[4096];
};

enum { PAGE_HEADER = offsetof(struct page, data) };

static bool is_zero(const char *data, size_t n)
{
    return data[0] == 0 && memcmp(data, data + 1, n - 1) == 0;
}

static bool keep_stretch(FILE *file, FILE *undo, uint64_t at, uint64_t end)
{
    struct page p = {.offset = at};
    bool good = fseeko(file, (off_t)at, SEEK_SET) == 0;
    for (; good && p.offset < end; p.offset += p.bytes) {
        const uint64_t left = end - p.offset;
        p.bytes = left < sizeof p.data ? (uint32_t)left : (uint32_t)sizeof p.data;
        good = fread(p.data, 1, p.bytes, file) == p.bytes;
        p.zero = good && is_zero(p.data, p.bytes);
        good = good && fwrite(&p, PAGE_HEADER, 1, undo) == 1 &&
               (p.zero || fwrite(p.data, 1, p.bytes, undo) == p.bytes);
    }
    return good;
}

static bool keep(FILE *file, FILE *undo, const struct ol_activation_content *c)
{
    struct stat info;
    if (fstat(fileno(file), &info) != 0)
        return false;
    uint64_t at = 0, end = (uint64_t)info.st_size;
    size_t n;
    struct stretch *chunks = list_chunks(c, end, &n);
    bool good = fwrite(&end, sizeof end, 1, undo) == 1;
    for (size_t i = 0; good && i < n; i++) {
        good = keep_stretch(file, undo, at, chunks[i].offset);
        at = chunks[i].offset + chunks[i].bytes;
    }
    free(chunks);
    return good && fflush(undo) == 0 && fsync(fileno(undo)) == 0;
}

static FILE *open_stream(const char *path, int flags, struct ol_error *err)
{
    const int fd = ol_file_open(path, flags, err);
    FILE *stream = fd >= 0 ? fdopen(fd, flags == O_RDONLY ? "rb" : "r+b") : NULL;
    if (stream == NULL && fd >= 0) {
        ol_fail_errno(err, "%s: cannot open", path);
        close(fd);
    }
    return stream;
}

int ol_activation_undo_keep(const char *partial, const struct ol_activation_content *c,
                            struct ol_error *err)
{
    char *path = ol_xasprintf("%s.undo", partial), *new = ol_xasprintf("%s.new", path);
    FILE *file = open_stream(partial, O_RDONLY, err),
         *undo = file != NULL ? open_stream(new, O_RDWR | O_CREAT | O_TRUNC, err) : NULL;
    bool good = undo != NULL && keep(file, undo, c);
    if (undo != NULL && !good)
        ol_fail_errno(err, "%s: cannot be written", path);
    if (undo != NULL && fclose(undo) != 0 && good) {
        good = false;
        ol_fail_errno(err, "%s: cannot be written", path);
    }
    if (file != NULL)
        fclose(file);
    if (good && rename(new, path) != 0) {
        good = false;
        ol_fail_errno(err, "%s: cannot be renamed to %s", new, path);
    }
    if (!good)
        unlink(new);
    free(new);
    free(path);
    return good ? 0 : -1;
}

static bool put_back(FILE *undo, FILE *file)
{
    uint64_t end;
    struct page p = {0};
    if (fread(&end, sizeof end, 1, undo) != 1)
        return false;
    while (fread(&p, PAGE_HEADER, 1, undo) == 1) {
        if (p.bytes > sizeof p.data)
            return false;
        memset(p.data, 0, sizeof p.data);
        if ((p.zero == 0 && fread(p.data, 1, p.bytes, undo) != p.bytes) ||
            fseeko(file, (off_t)p.offset, SEEK_SET) != 0 ||
            fwrite(p.data, 1, p.bytes, file) != p.bytes)
            return false;
    }
    return !ferror(undo) && fflush(file) == 0 &&
           ftruncate(fileno(file), (off_t)end) == 0 && fsync(fileno(file)) == 0;
}

int ol_activation_undo_put_back(const char *partial, struct ol_error *err)
{
    char *kept = ol_xasprintf("%s.undo", partial);
    FILE *undo = NULL, *file = NULL;
    int status = 0;
    if (access(kept, F_OK) != 0 && errno == ENOENT)
        goto out;
    status = -1;
    undo = open_stream(kept, O_RDONLY, err);
    file = undo != NULL ? open_stream(partial, O_RDWR, err) : NULL;
    if (file == NULL)
        goto out;
    errno = 0;
    if (put_back(undo, file))
        status = 0;
    else if (errno != 0)
        ol_fail_errno(err, "%s: cannot be put back into %s", kept, partial);
    else
        ol_fail(err, "%s: it is not whole, and %s was half sealed", kept, partial);
    if (status == 0 && unlink(kept) != 0)
        status = ol_fail_errno(err, "%s: cannot be removed", kept);
out:
    if (file != NULL && fclose(file) != 0 && status == 0)
        status = ol_fail_errno(err, "%s: cannot be written", partial);
    if (undo != NULL)
        fclose(undo);
    free(kept);
    return status;
}

void ol_activation_undo_forget(const char *partial)
{
    char *path = ol_xasprintf("%s.undo", partial);
    unlink(path);
    free(path);
}
