/* What texts are compressed by: streams (a .gz or .zst file) and blocks whose size is
 * known before (pages of a Parquet file). The only file that knows the compression
 * libraries. */
#ifndef OL_UNPACK_H
#define OL_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum ol_packing {
    OL_PACKING_NONE,
    OL_PACKING_GZIP,
    OL_PACKING_ZSTD,
    OL_PACKING_SNAPPY, /* of blocks alone */
};

/* What a file that begins with these bytes is compressed by. */
enum ol_packing ol_packing_of(const unsigned char *head, size_t bytes);

/* ---- streams ---- */

struct ol_unpacker;

/* path is borrowed, for messages. NULL on failure. */
struct ol_unpacker *ol_unpacker_new(enum ol_packing packing, const char *path,
                                    struct ol_error *err);
void ol_unpacker_free(struct ol_unpacker *u); /* NULL is fine */

/* Packed bytes, from *at on; and room for plain ones. */
struct ol_unpacking {
    const unsigned char *in;
    size_t n, at;
    char *out;
    size_t room;
};
/* Some bytes out of what is there: *made of them, which may be 0. */
int ol_unpacker_step(struct ol_unpacker *u, struct ol_unpacking *b, size_t *made,
                     struct ol_error *err);

/* Whether it is in the middle of its data: a file must not end there. */
bool ol_unpacker_is_inside(const struct ol_unpacker *u);

/* ---- blocks ---- */

/* All of a block, which must become exactly `size` bytes: 0, or -1 with why not in *why
 * (static). gzip: also with the header of zlib, and several members. */
int ol_unpack_block(enum ol_packing packing, const void *block, size_t bytes, void *out,
                    size_t size, const char **why);

/* The CRC-32 of zip and gzip. */
uint32_t ol_unpack_crc32(const void *data, size_t bytes);

#endif
