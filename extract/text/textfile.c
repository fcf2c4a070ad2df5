#include "extract/text/textfile.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

enum { RAW_BYTES = 1 << 17 };

struct ol_textfile {
    FILE *file;
    char *path; /* for messages */
    enum { PLAIN, GZIP, ZSTD } kind;
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool inside; /* a compressed frame has begun and not ended */
    unsigned char raw[RAW_BYTES];
    size_t raw_at, raw_n;
    /* For lines: text read ahead. */
    char *text;
    size_t text_at, text_n, text_room;
};

static int fill(struct ol_textfile *f, struct ol_error *err)
{
    f->raw_at = 0;
    f->raw_n = fread(f->raw, 1, sizeof f->raw, f->file);
    return ferror(f->file) ? ol_fail_errno(err, "%s: cannot be read", f->path) : 0;
}

struct ol_textfile *ol_textfile_open(const char *path, struct ol_error *err)
{
    struct ol_textfile *f = ol_xcalloc(1, sizeof *f);
    const bool from_stdin = strcmp(path, "-") == 0;
    f->file = from_stdin ? stdin : fopen(path, "rb");
    f->path = ol_xstrdup(from_stdin ? "standard input" : path);
    if (f->file == NULL) {
        ol_fail_errno(err, "%s: cannot open", path);
        ol_textfile_close(f);
        return NULL;
    }
    if (fill(f, err) != 0) {
        ol_textfile_close(f);
        return NULL;
    }
    if (f->raw_n >= 2 && f->raw[0] == 0x1f && f->raw[1] == 0x8b) {
        f->kind = GZIP;
        if (inflateInit2(&f->gzip, 16 + MAX_WBITS) != Z_OK)
            ol_fail(err, "%s: out of memory", f->path);
    } else if (f->raw_n >= 4 && memcmp(f->raw, "\x28\xb5\x2f\xfd", 4) == 0) {
        f->kind = ZSTD;
        f->zstd = ZSTD_createDStream();
        if (f->zstd == NULL)
            ol_fail(err, "%s: out of memory", f->path);
    }
    if (err->text[0] == '\0')
        return f;
    ol_textfile_close(f);
    return NULL;
}

void ol_textfile_close(struct ol_textfile *f)
{
    if (f == NULL)
        return;
    if (f->kind == GZIP)
        inflateEnd(&f->gzip);
    ZSTD_freeDStream(f->zstd);
    if (f->file != NULL && f->file != stdin)
        fclose(f->file);
    free(f->text);
    free(f->path);
    free(f);
}

static size_t read_plain(struct ol_textfile *f, char *data, size_t bytes)
{
    const size_t left = f->raw_n - f->raw_at, n = left < bytes ? left : bytes;
    memcpy(data, f->raw + f->raw_at, n);
    f->raw_at += n;
    return n;
}

/* Both: some bytes out of what is in `raw`; *made may be 0. */
static int read_gzip(struct ol_textfile *f, char *data, size_t bytes, size_t *made,
                     struct ol_error *err)
{
    const unsigned room = bytes < INT32_MAX ? (unsigned)bytes : INT32_MAX;
    f->gzip.next_in = f->raw + f->raw_at;
    f->gzip.avail_in = (unsigned)(f->raw_n - f->raw_at);
    f->gzip.next_out = (unsigned char *)data;
    f->gzip.avail_out = room;
    /* A file may be several members, one after another. */
    if (!f->inside)
        inflateReset(&f->gzip);
    f->inside = true;
    const int code = inflate(&f->gzip, Z_NO_FLUSH);
    f->raw_at = f->raw_n - f->gzip.avail_in;
    *made = room - f->gzip.avail_out;
    if (code == Z_STREAM_END)
        f->inside = false;
    else if (code != Z_OK && code != Z_BUF_ERROR)
        return ol_fail(err, "%s: damaged gzip data: %s", f->path,
                       f->gzip.msg != NULL ? f->gzip.msg : zError(code));
    return 0;
}

static int read_zstd(struct ol_textfile *f, char *data, size_t bytes, size_t *made,
                     struct ol_error *err)
{
    ZSTD_inBuffer in = {f->raw, f->raw_n, f->raw_at};
    ZSTD_outBuffer out = {data, bytes, 0};
    const size_t code = ZSTD_decompressStream(f->zstd, &out, &in);
    f->raw_at = in.pos;
    *made = out.pos;
    if (ZSTD_isError(code))
        return ol_fail(err, "%s: damaged zstd data: %s", f->path,
                       ZSTD_getErrorName(code));
    f->inside = code != 0;
    return 0;
}

int ol_textfile_read(struct ol_textfile *f, void *data, size_t bytes, size_t *got,
                     struct ol_error *err)
{
    char *to = data;
    *got = 0;
    while (*got < bytes) {
        if (f->raw_at == f->raw_n && fill(f, err) != 0)
            return -1;
        const bool at_end = f->raw_n == 0;
        size_t made = 0;
        int status = 0;
        if (f->kind == PLAIN)
            made = read_plain(f, to + *got, bytes - *got);
        else if (at_end && !f->inside)
            break;
        else if (f->kind == GZIP)
            status = read_gzip(f, to + *got, bytes - *got, &made, err);
        else
            status = read_zstd(f, to + *got, bytes - *got, &made, err);
        if (status != 0)
            return -1;
        *got += made;
        if (at_end && made == 0)
            return f->inside ? ol_fail(err, "%s: ends in the middle of its %s data",
                                       f->path, f->kind == GZIP ? "gzip" : "zstd")
                             : 0;
    }
    return 0;
}

/* More text behind what is there. *got is 0 at the end. */
static int read_ahead(struct ol_textfile *f, size_t *got, struct ol_error *err)
{
    const size_t kept = f->text_n - f->text_at;
    memmove(f->text, f->text + f->text_at, kept);
    f->text_at = 0;
    f->text_n = kept;
    if (f->text_room - kept < RAW_BYTES) {
        f->text_room = 2 * f->text_room + RAW_BYTES;
        f->text = ol_xrealloc_array(f->text, f->text_room + 1, 1);
    }
    if (ol_textfile_read(f, f->text + kept, f->text_room - kept, got, err) != 0)
        return -1;
    f->text_n += *got;
    return 0;
}

int ol_textfile_line(struct ol_textfile *f, char **line, size_t *bytes,
                     struct ol_error *err)
{
    size_t searched = 0;
    if (f->text == NULL) {
        f->text_room = RAW_BYTES;
        f->text = ol_xmalloc(f->text_room + 1);
    }
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

char *ol_textfile_all(struct ol_textfile *f, size_t *bytes, struct ol_error *err)
{
    size_t room = 1 << 20, got;
    char *text = ol_xmalloc(room + 1);
    *bytes = 0;
    for (;;) {
        if (ol_textfile_read(f, text + *bytes, room - *bytes, &got, err) != 0) {
            free(text);
            return NULL;
        }
        *bytes += got;
        if (*bytes < room)
            break;
        text = ol_xrealloc_array(text, 2 * room + 1, 1);
        room *= 2;
    }
    text[*bytes] = '\0';
    return text;
}
