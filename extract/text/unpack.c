#include "extract/text/unpack.h"

#include <stdlib.h>
#include <string.h>

#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

enum { WINDOW_LOG = 31 /* the widest that zstd writes */ };

static bool begins_with(const unsigned char *head, size_t bytes, const char *magic,
                        size_t n)
{
    return bytes >= n && memcmp(head, magic, n) == 0;
}

/* zstd: a frame, or one of the sixteen kinds that are skipped, as parallel compressors
 * write them. */
static bool is_zstd(const unsigned char *head, size_t bytes)
{
    return begins_with(head, bytes, "\x28\xb5\x2f\xfd", 4) ||
           (bytes >= 4 && (head[0] & 0xf0) == 0x50 &&
            memcmp(head + 1, "\x2a\x4d\x18", 3) == 0);
}

enum ol_packing ol_packing_of(const unsigned char *head, size_t bytes)
{
    return begins_with(head, bytes, "\x1f\x8b", 2) ? OL_PACKING_GZIP
           : is_zstd(head, bytes)                  ? OL_PACKING_ZSTD
                                                   : OL_PACKING_NONE;
}

/* ---- streams ---- */

struct ol_unpacker {
    enum ol_packing packing;
    const char *path;
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool inside; /* a compressed frame has begun and not ended */
    bool begun;  /* there has been one */
};

struct ol_unpacker *ol_unpacker_new(enum ol_packing packing, const char *path,
                                    struct ol_error *err)
{
    struct ol_unpacker *u = ol_xcalloc(1, sizeof *u);
    bool good = true;
    u->packing = packing;
    u->path = path;
    switch (packing) {
    case OL_PACKING_GZIP:
        good = inflateInit2(&u->gzip, 16 + MAX_WBITS) == Z_OK;
        break;
    case OL_PACKING_ZSTD:
        u->zstd = ZSTD_createDStream();
        good = u->zstd != NULL && !ZSTD_isError(ZSTD_DCtx_setParameter(
                                      u->zstd, ZSTD_d_windowLogMax, WINDOW_LOG));
        break;
    case OL_PACKING_NONE:
    case OL_PACKING_SNAPPY:
        break;
    }
    if (good)
        return u;
    ol_fail(err, "%s: out of memory", path);
    ol_unpacker_free(u);
    return NULL;
}

void ol_unpacker_free(struct ol_unpacker *u)
{
    if (u == NULL)
        return;
    if (u->packing == OL_PACKING_GZIP)
        inflateEnd(&u->gzip);
    ZSTD_freeDStream(u->zstd);
    free(u);
}

bool ol_unpacker_is_inside(const struct ol_unpacker *u)
{
    return u->inside;
}

static size_t take_plain(struct ol_unpacking *b)
{
    const size_t left = b->n - b->at, n = left < b->room ? left : b->room;
    memcpy(b->out, b->in + b->at, n);
    b->at += n;
    return n;
}

static int take_gzip(struct ol_unpacker *u, struct ol_unpacking *b, size_t *made,
                     struct ol_error *err)
{
    const unsigned room = b->room < INT32_MAX ? (unsigned)b->room : INT32_MAX;
    /* A file may be several members, one after another, with NULs between and behind them
     * where it was written in blocks. */
    while (!u->inside && u->begun && b->at < b->n && b->in[b->at] == 0)
        b->at++;
    if (!u->inside && b->at == b->n)
        return 0;
    if (!u->inside && b->in[b->at] != 0x1f)
        return ol_fail(err, "%s: there is something behind the gzip data that is none",
                       u->path);
    u->gzip.next_in = (unsigned char *)(uintptr_t)(b->in + b->at);
    u->gzip.avail_in = (unsigned)(b->n - b->at);
    u->gzip.next_out = (unsigned char *)b->out;
    u->gzip.avail_out = room;
    if (!u->inside)
        inflateReset(&u->gzip);
    u->inside = u->begun = true;
    const int code = inflate(&u->gzip, Z_NO_FLUSH);
    b->at = b->n - u->gzip.avail_in;
    *made = room - u->gzip.avail_out;
    if (code == Z_STREAM_END)
        u->inside = false;
    else if (code != Z_OK && code != Z_BUF_ERROR)
        return ol_fail(err, "%s: damaged gzip data: %s", u->path,
                       u->gzip.msg != NULL ? u->gzip.msg : zError(code));
    return 0;
}

static int take_zstd(struct ol_unpacker *u, struct ol_unpacking *b, size_t *made,
                     struct ol_error *err)
{
    ZSTD_inBuffer in = {b->in, b->n, b->at};
    ZSTD_outBuffer out = {b->out, b->room, 0};
    const size_t code = ZSTD_decompressStream(u->zstd, &out, &in);
    b->at = in.pos;
    *made = out.pos;
    if (ZSTD_isError(code))
        return ol_fail(err, "%s: damaged zstd data: %s", u->path,
                       ZSTD_getErrorName(code));
    u->inside = code != 0;
    return 0;
}

int ol_unpacker_step(struct ol_unpacker *u, struct ol_unpacking *b, size_t *made,
                     struct ol_error *err)
{
    *made = 0;
    switch (u->packing) {
    case OL_PACKING_GZIP:
        return take_gzip(u, b, made, err);
    case OL_PACKING_ZSTD:
        return take_zstd(u, b, made, err);
    case OL_PACKING_NONE:
    case OL_PACKING_SNAPPY:
        break;
    }
    *made = take_plain(b);
    return 0;
}

/* ---- blocks ---- */

static const char *const wrong_size = "it becomes another number of bytes than is said";

static int unpack_gzip(const void *block, size_t bytes, void *out, size_t size,
                       const char **why)
{
    z_stream z = {0};
    int code = inflateInit2(&z, 32 + MAX_WBITS);
    if (code != Z_OK) {
        *why = zError(code);
        return -1;
    }
    z.next_in = (unsigned char *)(uintptr_t)block;
    z.avail_in = (unsigned)bytes;
    z.next_out = out;
    z.avail_out = (unsigned)size;
    while ((code = inflate(&z, Z_FINISH)) == Z_STREAM_END && z.avail_in > 0)
        inflateReset(&z);
    const bool full = z.avail_out == 0;
    inflateEnd(&z);
    *why = code != Z_STREAM_END && code != Z_BUF_ERROR && code != Z_OK ? zError(code)
                                                                       : wrong_size;
    return code == Z_STREAM_END && full ? 0 : -1;
}

static int unpack_snappy(const void *block, size_t bytes, void *out, size_t size,
                         const char **why)
{
    size_t n = 0;
    *why = "it is damaged";
    if (snappy_uncompressed_length(block, bytes, &n) != SNAPPY_OK)
        return -1;
    if (n != size) {
        *why = wrong_size;
        return -1;
    }
    return snappy_uncompress(block, bytes, out, &n) == SNAPPY_OK && n == size ? 0 : -1;
}

static int unpack_zstd(const void *block, size_t bytes, void *out, size_t size,
                       const char **why)
{
    const size_t n = ZSTD_decompress(out, size, block, bytes);
    *why = ZSTD_isError(n) ? ZSTD_getErrorName(n) : wrong_size;
    return !ZSTD_isError(n) && n == size ? 0 : -1;
}

int ol_unpack_block(enum ol_packing packing, const void *block, size_t bytes, void *out,
                    size_t size, const char **why)
{
    *why = wrong_size;
    if (bytes > INT32_MAX || size > INT32_MAX)
        return -1;
    switch (packing) {
    case OL_PACKING_GZIP:
        return unpack_gzip(block, bytes, out, size, why);
    case OL_PACKING_SNAPPY:
        return unpack_snappy(block, bytes, out, size, why);
    case OL_PACKING_ZSTD:
        return unpack_zstd(block, bytes, out, size, why);
    case OL_PACKING_NONE:
        break;
    }
    if (bytes != size)
        return -1;
    if (size > 0)
        memcpy(out, block, size);
    return 0;
}

uint32_t ol_unpack_crc32(const void *data, size_t bytes)
{
    uint32_t crc = 0;
    const unsigned char *at = data;
    for (size_t n; bytes > 0; bytes -= n, at += n) {
        n = bytes < INT32_MAX ? bytes : INT32_MAX;
        crc = (uint32_t)crc32(crc, at, (unsigned)n);
    }
    return crc;
}
