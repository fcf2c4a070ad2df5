/* Thrift's compact protocol, in which Parquet writes its footer and page headers: a
 * cursor over bytes that somebody else wrote. What is wrong, or not all there, is
 * remembered; reading then gives zeros and ends all loops, so that it is asked for once,
 * at the end. */
#ifndef OL_PARQUET_THRIFT_H
#define OL_PARQUET_THRIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ol_thrift_type {
    OL_THRIFT_STOP = 0,
    OL_THRIFT_TRUE = 1,
    OL_THRIFT_FALSE = 2,
    OL_THRIFT_BYTE = 3,
    OL_THRIFT_I16 = 4,
    OL_THRIFT_I32 = 5,
    OL_THRIFT_I64 = 6,
    OL_THRIFT_DOUBLE = 7,
    OL_THRIFT_BINARY = 8,
    OL_THRIFT_LIST = 9,
    OL_THRIFT_SET = 10,
    OL_THRIFT_MAP = 11,
    OL_THRIFT_STRUCT = 12,
};

enum ol_thrift_state {
    OL_THRIFT_GOOD,
    OL_THRIFT_SHORT, /* it goes on behind these bytes */
    OL_THRIFT_BAD,
};

/* Start from {.bytes, .n}. */
struct ol_thrift {
    const unsigned char *bytes;
    size_t n, at;
    enum ol_thrift_state state;
};

/* A field of a struct. Start from {0}. */
struct ol_thrift_field {
    int id;
    enum ol_thrift_type type;
};

/* The next field of a struct: false at its end. What is not read of a field is to be
 * skipped. */
bool ol_thrift_next(struct ol_thrift *t, struct ol_thrift_field *field);
void ol_thrift_skip(struct ol_thrift *t, const struct ol_thrift_field *field);

/* Values of a field; of another type they are bad. */
int64_t ol_thrift_int(struct ol_thrift *t, const struct ol_thrift_field *field);
bool ol_thrift_bool(struct ol_thrift *t, const struct ol_thrift_field *field);
/* Bytes that are borrowed from the cursor's. */
const char *ol_thrift_binary(struct ol_thrift *t, const struct ol_thrift_field *field,
                             size_t *n);
/* A list of structs or of something else: how many follow, each of which is to be read.
 * No more than there are bytes. */
size_t ol_thrift_list(struct ol_thrift *t, const struct ol_thrift_field *field,
                      enum ol_thrift_type type);
/* Whether a struct begins here, as a field. */
bool ol_thrift_struct(struct ol_thrift *t, const struct ol_thrift_field *field);
/* An element of a list of binaries. */
const char *ol_thrift_element(struct ol_thrift *t, size_t *n);

#endif
