/* A page of a Parquet file: its header, and what its bytes become. */
#ifndef OL_PARQUET_PAGE_H
#define OL_PARQUET_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "extract/text/parquet/hybrid.h"
#include "extract/text/parquet/thrift.h"
#include "extract/text/unpack.h"

enum ol_page_type {
    OL_PAGE_DATA = 0,
    OL_PAGE_INDEX = 1,
    OL_PAGE_DICTIONARY = 2,
    OL_PAGE_DATA_V2 = 3,
};

enum {
    OL_PAGE_MOST_BYTES = 1 << 30, /* of a page, unpacked */
};

struct ol_page_header {
    int64_t type, size, packed; /* bytes unpacked, and in the file */
    bool has_crc;
    uint32_t crc; /* of the bytes in the file */
    int64_t n_values, encoding;
    int64_t level_encoding;                     /* version 1 */
    int64_t definition_bytes, repetition_bytes; /* version 2 */
    bool is_plain;                              /* version 2: the values are not
                                                   packed, whatever the column is */
};

/* t: at its beginning; its state says whether it is all there. */
struct ol_page_header ol_page_header_read(struct ol_thrift *t);

/* Where a page is, for messages. */
struct ol_page_place {
    const char *file, *column;
    int64_t offset;
};
int ol_page_fail(const struct ol_page_place *place, struct ol_error *err,
                 const char *format, ...) __attribute__((format(printf, 3, 4)));
/* See that it is a page that can be read, with numbers that can be: all of its `left`
 * bytes, which are those of the file behind the header, as many values as `n_left`. */
int ol_page_header_check(const struct ol_page_header *h,
                         const struct ol_page_place *place, int64_t left, int64_t n_left,
                         struct ol_error *err);

/* A page unpacked: its levels, and behind them its values. Start from {0}. */
struct ol_page {
    char *bytes; /* its own, or */
    const char *values;
    size_t n; /* bytes of values */
    struct ol_hybrid levels;
};

/* body: h->packed bytes, borrowed as long as the page is used. */
int ol_page_open(struct ol_page *page, const struct ol_page_header *h,
                 const struct ol_page_place *place, const unsigned char *body,
                 enum ol_packing packing, bool optional, struct ol_error *err);
void ol_page_close(struct ol_page *page);

#endif
