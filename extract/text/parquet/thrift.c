#include "extract/text/parquet/thrift.h"

enum {
    MOST_DEPTH = 32, /* of what is skipped */
    LONG_LIST = 15,  /* its length stands in bytes of their own */
};

static uint8_t take_byte(struct ol_thrift *t)
{
    if (t->state == OL_THRIFT_GOOD && t->at == t->n)
        t->state = OL_THRIFT_SHORT;
    return t->state == OL_THRIFT_GOOD ? t->bytes[t->at++] : 0;
}

static void set_bad(struct ol_thrift *t)
{
    if (t->state == OL_THRIFT_GOOD)
        t->state = OL_THRIFT_BAD;
}

/* ULEB128, of at most 64 bits. */
static uint64_t take_varint(struct ol_thrift *t)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = take_byte(t);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    set_bad(t);
    return 0;
}

static int64_t take_zigzag(struct ol_thrift *t)
{
    const uint64_t value = take_varint(t);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

/* That many bytes, passed over. */
static const unsigned char *take_bytes(struct ol_thrift *t, uint64_t n)
{
    const unsigned char *bytes = t->bytes + t->at;
    if (t->state == OL_THRIFT_GOOD && n > t->n - t->at)
        t->state = OL_THRIFT_SHORT;
    if (t->state != OL_THRIFT_GOOD)
        return NULL;
    t->at += (size_t)n;
    return bytes;
}

bool ol_thrift_next(struct ol_thrift *t, struct ol_thrift_field *field)
{
    const uint8_t head = take_byte(t);
    const int step = head >> 4;
    field->type = (enum ol_thrift_type)(head & 15);
    if (field->type == OL_THRIFT_STOP || t->state != OL_THRIFT_GOOD)
        return false;
    const int64_t id = step != 0 ? field->id + step : take_zigzag(t);
    if (field->type > OL_THRIFT_STRUCT || id < INT16_MIN || id > INT16_MAX)
        set_bad(t);
    field->id = (int)id;
    return t->state == OL_THRIFT_GOOD;
}

static void skip_value(struct ol_thrift *t, enum ol_thrift_type type, int depth);

static void skip_struct(struct ol_thrift *t, int depth)
{
    struct ol_thrift_field field = {0};
    while (ol_thrift_next(t, &field))
        if (field.type != OL_THRIFT_TRUE && field.type != OL_THRIFT_FALSE)
            skip_value(t, field.type, depth + 1);
}

/* Every element takes a byte at least. */
static uint64_t take_length(struct ol_thrift *t, uint64_t n)
{
    if (t->state == OL_THRIFT_GOOD && n > t->n - t->at)
        t->state = OL_THRIFT_SHORT;
    return t->state == OL_THRIFT_GOOD ? n : 0;
}

static void skip_map(struct ol_thrift *t, int depth)
{
    const uint64_t n = take_varint(t);
    const uint8_t types = n > 0 ? take_byte(t) : 0;
    for (uint64_t i = take_length(t, n); i > 0 && t->state == OL_THRIFT_GOOD; i--) {
        skip_value(t, (enum ol_thrift_type)(types >> 4), depth + 1);
        skip_value(t, (enum ol_thrift_type)(types & 15), depth + 1);
    }
}

static uint64_t take_list(struct ol_thrift *t, enum ol_thrift_type *type)
{
    const uint8_t head = take_byte(t);
    *type = (enum ol_thrift_type)(head & 15);
    return take_length(t, head >> 4 == LONG_LIST ? take_varint(t) : head >> 4);
}

/* An element of a list; booleans are a byte there. */
static void skip_value(struct ol_thrift *t, enum ol_thrift_type type, int depth)
{
    if (depth > MOST_DEPTH)
        set_bad(t);
    if (t->state != OL_THRIFT_GOOD)
        return;
    switch (type) {
    case OL_THRIFT_TRUE:
    case OL_THRIFT_FALSE:
    case OL_THRIFT_BYTE:
        take_byte(t);
        return;
    case OL_THRIFT_I16:
    case OL_THRIFT_I32:
    case OL_THRIFT_I64:
        take_varint(t);
        return;
    case OL_THRIFT_DOUBLE:
        take_bytes(t, sizeof(double));
        return;
    case OL_THRIFT_BINARY:
        take_bytes(t, take_varint(t));
        return;
    case OL_THRIFT_LIST:
    case OL_THRIFT_SET:
        for (uint64_t i = take_list(t, &type); i > 0 && t->state == OL_THRIFT_GOOD; i--)
            skip_value(t, type, depth + 1);
        return;
    case OL_THRIFT_MAP:
        skip_map(t, depth);
        return;
    case OL_THRIFT_STRUCT:
        skip_struct(t, depth);
        return;
    case OL_THRIFT_STOP:
        break;
    }
    set_bad(t);
}

void ol_thrift_skip(struct ol_thrift *t, const struct ol_thrift_field *field)
{
    /* Of a boolean the type is the value. */
    if (field->type != OL_THRIFT_TRUE && field->type != OL_THRIFT_FALSE)
        skip_value(t, field->type, 0);
}

int64_t ol_thrift_int(struct ol_thrift *t, const struct ol_thrift_field *field)
{
    if (field->type == OL_THRIFT_I16 || field->type == OL_THRIFT_I32 ||
        field->type == OL_THRIFT_I64)
        return take_zigzag(t);
    set_bad(t);
    return 0;
}

bool ol_thrift_bool(struct ol_thrift *t, const struct ol_thrift_field *field)
{
    if (field->type != OL_THRIFT_TRUE && field->type != OL_THRIFT_FALSE)
        set_bad(t);
    return field->type == OL_THRIFT_TRUE;
}

const char *ol_thrift_element(struct ol_thrift *t, size_t *n)
{
    const uint64_t bytes = take_varint(t);
    const unsigned char *value = take_bytes(t, bytes);
    *n = value != NULL ? (size_t)bytes : 0;
    return value != NULL ? (const char *)value : "";
}

const char *ol_thrift_binary(struct ol_thrift *t, const struct ol_thrift_field *field,
                             size_t *n)
{
    *n = 0;
    if (field->type == OL_THRIFT_BINARY)
        return ol_thrift_element(t, n);
    set_bad(t);
    return "";
}

size_t ol_thrift_list(struct ol_thrift *t, const struct ol_thrift_field *field,
                      enum ol_thrift_type type)
{
    enum ol_thrift_type found = OL_THRIFT_STOP;
    const uint64_t n = field->type == OL_THRIFT_LIST ? take_list(t, &found) : 0;
    if (field->type != OL_THRIFT_LIST || (n > 0 && found != type))
        set_bad(t);
    return t->state == OL_THRIFT_GOOD ? (size_t)n : 0;
}

bool ol_thrift_struct(struct ol_thrift *t, const struct ol_thrift_field *field)
{
    if (field->type != OL_THRIFT_STRUCT)
        set_bad(t);
    return t->state == OL_THRIFT_GOOD;
}
