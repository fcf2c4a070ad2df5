#include "extract/text/textfile.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/infile.h"
#include "extract/text/file_kind.h"
#include "extract/text/unpack.h"

enum { RAW_BYTES = 1 << 17 };

struct ol_textfile {
    FILE *file;
    char *path; /* for messages */
    enum ol_packing packing;
    struct ol_unpacker *unpacker;
    unsigned char raw[RAW_BYTES];
    size_t raw_at, raw_n;
    char *text; /* read ahead */
    size_t text_at, text_n, text_room;
};

static int fill(struct ol_textfile *f, struct ol_error *err)
{
    f->raw_at = 0;
    f->raw_n = fread(f->raw, 1, sizeof f->raw, f->file);
    return ferror(f->file) ? ol_fail_errno(err, "%s: cannot be read", f->path) : 0;
}

/* What is no text is refused, and the mark of one in UTF-8 is no part of it. */
static int look_at_head(struct ol_textfile *f, struct ol_error *err)
{
    static const char mark[] = "\xef\xbb\xbf";
    struct ol_file_head head = {.path = f->file != stdin ? f->path : NULL,
                                .name = f->path,
                                .packing = f->packing};
    if (ol_textfile_peek(f, &head.bytes, &head.n, err) != 0 ||
        ol_file_kind_check(&head, err) != 0)
        return -1;
    if (head.n >= 3 && memcmp(head.bytes, mark, 3) == 0)
        f->text_at += 3;
    return 0;
}

struct ol_textfile *ol_textfile_open(const char *path, struct ol_error *err)
{
    struct ol_textfile *f = ol_xcalloc(1, sizeof *f);
    const bool from_stdin = strcmp(path, "-") == 0;
    f->file = ol_infile_open(path, OL_INFILE_STREAM, err);
    f->path = ol_xstrdup(from_stdin ? "standard input" : path);
    if (f->file != NULL && fill(f, err) == 0) {
        f->packing = ol_packing_of(f->raw, f->raw_n);
        f->unpacker = ol_unpacker_new(f->packing, f->path, err);
        if (f->unpacker != NULL && look_at_head(f, err) == 0)
            return f;
    }
    ol_textfile_close(f);
    return NULL;
}

void ol_textfile_close(struct ol_textfile *f)
{
    if (f == NULL)
        return;
    ol_unpacker_free(f->unpacker);
    ol_infile_close(f->file);
    free(f->text);
    free(f->path);
    free(f);
}

/* Behind what was read ahead. */
static int read_on(struct ol_textfile *f, char *to, size_t bytes, size_t *got,
                   struct ol_error *err)
{
    *got = 0;
    while (*got < bytes) {
        if (f->raw_at == f->raw_n && fill(f, err) != 0)
            return -1;
        const bool at_end = f->raw_n == 0, packed = f->packing != OL_PACKING_NONE;
        struct ol_unpacking b = {f->raw, f->raw_n, f->raw_at, to + *got, bytes - *got};
        size_t made = 0;
        if (at_end && packed && !ol_unpacker_is_inside(f->unpacker))
            break;
        if (ol_unpacker_step(f->unpacker, &b, &made, err) != 0)
            return -1;
        f->raw_at = b.at;
        *got += made;
        if (at_end && made == 0)
            return ol_unpacker_is_inside(f->unpacker)
                       ? ol_fail(err, "%s: ends in the middle of its %s data", f->path,
                                 f->packing == OL_PACKING_GZIP ? "gzip" : "zstd")
                       : 0;
    }
    return 0;
}

/* More text behind what is there. *got is 0 at the end. */
static int read_ahead(struct ol_textfile *f, size_t *got, struct ol_error *err)
{
    const size_t kept = f->text_n - f->text_at;
    if (kept > 0)
        memmove(f->text, f->text + f->text_at, kept);
    f->text_at = 0;
    f->text_n = kept;
    if (f->text_room - kept < RAW_BYTES) {
        f->text_room = 2 * f->text_room + RAW_BYTES;
        f->text = ol_xrealloc_array(f->text, f->text_room + 1, 1);
    }
    if (read_on(f, f->text + kept, f->text_room - kept, got, err) != 0)
        return -1;
    f->text_n += *got;
    return 0;
}

int ol_textfile_peek(struct ol_textfile *f, const char **text, size_t *bytes,
                     struct ol_error *err)
{
    size_t got = 1;
    while (got > 0 && f->text_n - f->text_at < OL_TEXTFILE_PEEK)
        if (read_ahead(f, &got, err) != 0)
            return -1;
    *text = f->text + f->text_at;
    *bytes = f->text_n - f->text_at;
    return 0;
}

int ol_textfile_read(struct ol_textfile *f, void *data, size_t bytes, size_t *got,
                     struct ol_error *err)
{
    const size_t ahead = f->text_n - f->text_at, n = ahead < bytes ? ahead : bytes;
    memcpy(data, f->text + f->text_at, n);
    f->text_at += n;
    *got = 0;
    if (n < bytes && read_on(f, (char *)data + n, bytes - n, got, err) != 0)
        return -1;
    *got += n;
    return 0;
}

int ol_textfile_line(struct ol_textfile *f, char **line, size_t *bytes,
                     struct ol_error *err)
{
    size_t searched = 0;
    for (;;) {
        char *first = f->text + f->text_at;
        const size_t n = f->text_n - f->text_at;
        char *end = memchr(first + searched, '\n', n - searched);
        size_t got = 1;
        if (end == NULL) {
            searched = n;
            if (read_ahead(f, &got, err) != 0)
                return -1;
            if (got > 0)
                continue;
            if (n == 0)
                return 0;
            first = f->text; /* the last line has no end of line */
            end = first + n;
        }
        *line = first;
        *bytes = (size_t)(end - first);
        f->text_at += *bytes + (got > 0 ? 1 : 0);
        *end = '\0';
        if (*bytes > 0 && first[*bytes - 1] == '\r')
            first[--*bytes] = '\0';
        return 1;
    }
}
