#include "extract/text/textfile.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "common/infile.h"
#include "extract/text/file_kind.h"

enum { RAW_BYTES = 1 << 17, WINDOW_LOG = 31 /* the widest that zstd writes */ };

struct ol_textfile {
    FILE *file;
    char *path; /* for messages */
    enum { PLAIN, GZIP, ZSTD } kind;
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool inside; /* a compressed frame has begun and not ended */
    bool begun;  /* there has been one */
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

static bool begins_with(const struct ol_textfile *f, const char *magic, size_t n)
{
    return f->raw_n >= n && memcmp(f->raw, magic, n) == 0;
}

/* zstd: a frame, or one of the sixteen kinds that are skipped, as parallel compressors
 * write them. */
static bool is_zstd(const struct ol_textfile *f)
{
    return begins_with(f, "\x28\xb5\x2f\xfd", 4) ||
           (f->raw_n >= 4 && (f->raw[0] & 0xf0) == 0x50 &&
            memcmp(f->raw + 1, "\x2a\x4d\x18", 3) == 0);
}

static int start_decoder(struct ol_textfile *f, struct ol_error *err)
{
    bool good = true;
    if (begins_with(f, "\x1f\x8b", 2)) {
        f->kind = GZIP;
        good = inflateInit2(&f->gzip, 16 + MAX_WBITS) == Z_OK;
    } else if (is_zstd(f)) {
        f->kind = ZSTD;
        f->zstd = ZSTD_createDStream();
        good = f->zstd != NULL && !ZSTD_isError(ZSTD_DCtx_setParameter(
                                      f->zstd, ZSTD_d_windowLogMax, WINDOW_LOG));
    }
    return good ? 0 : ol_fail(err, "%s: out of memory", f->path);
}

/* What is no text is refused, and the mark of one in UTF-8 is no part of it. */
static int look_at_head(struct ol_textfile *f, struct ol_error *err)
{
    static const char mark[] = "\xef\xbb\xbf";
    const char *head;
    size_t bytes;
    if (ol_textfile_peek(f, &head, &bytes, err) != 0 ||
        ol_file_kind_check(f->file != stdin ? f->path : NULL, f->path, head, bytes,
                           err) != 0)
        return -1;
    if (bytes >= 3 && memcmp(head, mark, 3) == 0)
        f->text_at += 3;
    return 0;
}

struct ol_textfile *ol_textfile_open(const char *path, struct ol_error *err)
{
    struct ol_textfile *f = ol_xcalloc(1, sizeof *f);
    const bool from_stdin = strcmp(path, "-") == 0;
    f->file = ol_infile_open(path, OL_INFILE_STREAM, err);
    f->path = ol_xstrdup(from_stdin ? "standard input" : path);
    int status = -1;
    if (f->file != NULL && fill(f, err) == 0 && start_decoder(f, err) == 0)
        status = look_at_head(f, err);
    if (status == 0)
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
    ol_infile_close(f->file);
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
    /* A file may be several members, one after another, with NULs between and behind them
     * where it was written in blocks. */
    while (!f->inside && f->begun && f->raw_at < f->raw_n && f->raw[f->raw_at] == 0)
        f->raw_at++;
    *made = 0;
    if (!f->inside && f->raw_at == f->raw_n)
        return 0;
    if (!f->inside && f->raw[f->raw_at] != 0x1f)
        return ol_fail(err, "%s: there is something behind the gzip data that is none",
                       f->path);
    f->gzip.next_in = f->raw + f->raw_at;
    f->gzip.avail_in = (unsigned)(f->raw_n - f->raw_at);
    f->gzip.next_out = (unsigned char *)data;
    f->gzip.avail_out = room;
    if (!f->inside)
        inflateReset(&f->gzip);
    f->inside = f->begun = true;
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

/* Behind what was read ahead. */
static int read_on(struct ol_textfile *f, char *to, size_t bytes, size_t *got,
                   struct ol_error *err)
{
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
