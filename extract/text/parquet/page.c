#include "extract/text/parquet/page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum encoding {
    ENCODING_PLAIN = 0,
    ENCODING_PLAIN_DICTIONARY = 2,
    ENCODING_RLE = 3,
    ENCODING_RLE_DICTIONARY = 8,
};
static const char *const encoding_names[] = {
    "PLAIN",
    "GROUP_VAR_INT",
    "PLAIN_DICTIONARY",
    "RLE",
    "BIT_PACKED",
    "DELTA_BINARY_PACKED",
    "DELTA_LENGTH_BYTE_ARRAY",
    "DELTA_BYTE_ARRAY",
    "RLE_DICTIONARY",
    "BYTE_STREAM_SPLIT",
};

static const char *encoding_name(int64_t encoding)
{
    const int64_t n = sizeof encoding_names / sizeof *encoding_names;
    return encoding >= 0 && encoding < n ? encoding_names[encoding] : "unknown";
}

int ol_page_fail(const struct ol_page_place *place, struct ol_error *err,
                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *what = ol_xvasprintf(format, args);
    va_end(args);
    ol_fail(err, "%s: column '%s': the page at byte %" PRId64 " %s", place->file,
            place->column, place->offset, what);
    free(what);
    return -1;
}

/* ---- headers ---- */

/* DataPageHeader, DictionaryPageHeader: their first two fields are the same. */
static void read_data_header(struct ol_thrift *t, struct ol_page_header *h)
{
    struct ol_thrift_field f = {0};
    while (ol_thrift_next(t, &f)) {
        if (f.id == 1)
            h->n_values = ol_thrift_int(t, &f);
        else if (f.id == 2)
            h->encoding = ol_thrift_int(t, &f);
        else if (f.id == 3 && f.type == OL_THRIFT_I32)
            h->level_encoding = ol_thrift_int(t, &f);
        else
            ol_thrift_skip(t, &f);
    }
}

static void read_data_header_v2(struct ol_thrift *t, struct ol_page_header *h)
{
    struct ol_thrift_field f = {0};
    while (ol_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            h->n_values = ol_thrift_int(t, &f);
            break;
        case 4:
            h->encoding = ol_thrift_int(t, &f);
            break;
        case 5:
            h->definition_bytes = ol_thrift_int(t, &f);
            break;
        case 6:
            h->repetition_bytes = ol_thrift_int(t, &f);
            break;
        case 7:
            h->is_plain = !ol_thrift_bool(t, &f);
            break;
        default:
            ol_thrift_skip(t, &f);
        }
    }
}

struct ol_page_header ol_page_header_read(struct ol_thrift *t)
{
    struct ol_page_header h = {.type = -1, .size = -1, .packed = -1, .n_values = -1};
    struct ol_thrift_field f = {0};
    while (ol_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            h.type = ol_thrift_int(t, &f);
            break;
        case 2:
            h.size = ol_thrift_int(t, &f);
            break;
        case 3:
            h.packed = ol_thrift_int(t, &f);
            break;
        case 4:
            h.crc = (uint32_t)ol_thrift_int(t, &f);
            h.has_crc = true;
            break;
        case 5:
        case 7:
            if (ol_thrift_struct(t, &f))
                read_data_header(t, &h);
            break;
        case 8:
            if (ol_thrift_struct(t, &f))
                read_data_header_v2(t, &h);
            break;
        default:
            ol_thrift_skip(t, &f);
        }
    }
    return h;
}

static int check_encoding(const struct ol_page_header *h,
                          const struct ol_page_place *place, struct ol_error *err)
{
    switch (h->encoding) {
    case ENCODING_PLAIN:
    case ENCODING_PLAIN_DICTIONARY:
        return 0;
    case ENCODING_RLE_DICTIONARY:
        if (h->type != OL_PAGE_DICTIONARY)
            return 0;
        break;
    default:
        break;
    }
    return ol_page_fail(place, err,
                        "is encoded as %s; what can be read is PLAIN, or by a dictionary "
                        "(PLAIN_DICTIONARY, RLE_DICTIONARY)",
                        encoding_name(h->encoding));
}

int ol_page_header_check(const struct ol_page_header *h,
                         const struct ol_page_place *place, int64_t left, int64_t n_left,
                         struct ol_error *err)
{
    enum { LENGTH_BYTES = 4 /* in front of every value of a dictionary */ };
    if (h->packed < 0 || h->size < 0 || h->packed > left || h->size > OL_PAGE_MOST_BYTES)
        return ol_page_fail(place, err,
                            "is damaged: %" PRId64 " bytes of it, %" PRId64
                            " unpacked, where %" PRId64 " are left of the column and "
                            "%d are the most",
                            h->packed, h->size, left, OL_PAGE_MOST_BYTES);
    if (h->type == OL_PAGE_INDEX)
        return 0;
    if (h->type != OL_PAGE_DATA && h->type != OL_PAGE_DATA_V2 &&
        h->type != OL_PAGE_DICTIONARY)
        return ol_page_fail(place, err, "is of an unknown kind, %" PRId64, h->type);
    if (h->type == OL_PAGE_DICTIONARY)
        n_left = h->size / LENGTH_BYTES;
    if (h->n_values < 0 || h->n_values > n_left)
        return ol_page_fail(place, err,
                            "is damaged: %" PRId64 " values of it, where %" PRId64
                            " are the most",
                            h->n_values, n_left);
    if (h->definition_bytes < 0 || h->repetition_bytes < 0 ||
        h->definition_bytes > h->packed || h->repetition_bytes > h->packed ||
        h->definition_bytes + h->repetition_bytes > h->packed ||
        h->definition_bytes + h->repetition_bytes > h->size)
        return ol_page_fail(place, err,
                            "is damaged: %" PRId64 " and %" PRId64
                            " bytes of levels in %" PRId64,
                            h->definition_bytes, h->repetition_bytes, h->packed);
    return check_encoding(h, place, err);
}

/* ---- bodies ---- */

static uint32_t length_at(const char *bytes)
{
    uint32_t length = 0;
    for (int i = 3; i >= 0; i--)
        length = length << 8 | (uint8_t)bytes[i];
    return length;
}

/* The page's values out of n bytes: as they are, or unpacked. */
static int unpack(struct ol_page *page, const struct ol_page_place *place,
                  const unsigned char *body, size_t n, enum ol_packing packing,
                  size_t size, struct ol_error *err)
{
    const char *why;
    page->n = size;
    page->values = (const char *)body;
    if (packing == OL_PACKING_NONE && n != size)
        return ol_page_fail(place, err,
                            "is damaged: %zu bytes of it, %zu unpacked, and not packed",
                            n, size);
    if (packing == OL_PACKING_NONE || size == 0)
        return 0;
    page->bytes = ol_xmalloc(size);
    page->values = page->bytes;
    return ol_unpack_block(packing, body, n, page->bytes, size, &why) == 0
               ? 0
               : ol_page_fail(place, err, "cannot be unpacked: %s", why);
}

/* Version 1: the levels are packed with the values, their length in front. */
static int split_levels(struct ol_page *page, const struct ol_page_header *h,
                        const struct ol_page_place *place, struct ol_error *err)
{
    enum { LENGTH_BYTES = 4 };
    if (h->level_encoding != ENCODING_RLE)
        return ol_page_fail(place, err, "has levels encoded as %s, expected RLE",
                            encoding_name(h->level_encoding));
    const uint32_t n = page->n >= LENGTH_BYTES ? length_at(page->values) : UINT32_MAX;
    if (page->n < LENGTH_BYTES || n > page->n - LENGTH_BYTES)
        return ol_page_fail(place, err, "is damaged: its levels are not there");
    page->levels = (struct ol_hybrid){
        .bytes = (const unsigned char *)page->values + LENGTH_BYTES, .n = n, .width = 1};
    page->values += LENGTH_BYTES + n;
    page->n -= LENGTH_BYTES + n;
    return 0;
}

int ol_page_open(struct ol_page *page, const struct ol_page_header *h,
                 const struct ol_page_place *place, const unsigned char *body,
                 enum ol_packing packing, bool optional, struct ol_error *err)
{
    const size_t n = (size_t)h->packed, size = (size_t)h->size;
    if (h->has_crc && ol_unpack_crc32(body, n) != h->crc)
        return ol_page_fail(place, err, "is damaged: its CRC-32 is another");
    if (h->type == OL_PAGE_DATA_V2) {
        const size_t repetition = (size_t)h->repetition_bytes,
                     levels = repetition + (size_t)h->definition_bytes;
        page->levels = (struct ol_hybrid){
            .bytes = body + repetition, .n = levels - repetition, .width = 1};
        return unpack(page, place, body + levels, n - levels,
                      h->is_plain ? OL_PACKING_NONE : packing, size - levels, err);
    }
    if (unpack(page, place, body, n, packing, size, err) != 0)
        return -1;
    return h->type == OL_PAGE_DATA && optional ? split_levels(page, h, place, err) : 0;
}

void ol_page_close(struct ol_page *page)
{
    free(page->bytes);
    *page = (struct ol_page){0};
}
