/* The writer: structs as JSON objects, by their tables. */
#include <math.h>

#include "common/results/field.h"

static struct ol_json *whole(int64_t value)
{
    return value != OL_ABSENT ? ol_json_new_int(value) : ol_json_new_null();
}

static struct ol_json *text(const char *value)
{
    return value != NULL ? ol_json_new_string(value) : ol_json_new_null();
}

static struct ol_json *element(const struct ol_field *f, double value)
{
    if (f->each == OL_FIELD_COUNT)
        return whole(isnan(value) ? OL_ABSENT : (int64_t)value);
    return ol_json_new_real(value);
}

/* Arrays of these lengths, from the outside, of the elements from *at on. */
static struct ol_json *write_array(const struct ol_field *f, const int64_t *lengths,
                                   int depth, const double **at)
{
    struct ol_json *array = ol_json_new_array();
    for (int64_t i = 0; i < lengths[0]; i++)
        ol_json_append(array, depth == 1 ? element(f, *(*at)++)
                                         : write_array(f, lengths + 1, depth - 1, at));
    return array;
}

static struct ol_json *write_numbers(const struct ol_field *f,
                                     const struct ol_reals *values)
{
    const double *at = values->items;
    int64_t lengths[] = {values->n, values->inner[0], values->inner[1]};
    for (int d = 1; d < f->depth; d++)
        lengths[0] = lengths[d] > 0 ? lengths[0] / lengths[d] : 0;
    return at != NULL ? write_array(f, lengths, f->depth, &at) : ol_json_new_null();
}

static struct ol_json *write_texts(const struct ol_list *list)
{
    const char *const *items = list->items;
    struct ol_json *array = ol_json_new_array();
    for (int64_t i = 0; i < list->n; i++)
        ol_json_append(array, text(items[i]));
    return array;
}

static struct ol_json *write_list(const struct ol_struct *kind,
                                  const struct ol_list *list)
{
    struct ol_json *array = ol_json_new_array();
    for (int64_t i = 0; i < list->n; i++)
        ol_json_append(array, ol_fields_write(kind, (const char *)list->items +
                                                        (size_t)i * kind->size));
    return array;
}

struct ol_json *ol_field_write(const struct ol_field *f, const void *from)
{
    const struct ol_list *list = from;
    switch (f->kind) {
    case OL_FIELD_INT:
    case OL_FIELD_COUNT:
    case OL_FIELD_ORDINAL:
        return whole(*(const int64_t *)from);
    case OL_FIELD_REAL:
    case OL_FIELD_SIZE:
    case OL_FIELD_SHARE:
        return ol_json_new_real(*(const double *)from);
    case OL_FIELD_TEXT:
    case OL_FIELD_WORD:
        return text(*(const char *const *)from);
    case OL_FIELD_TEXTS:
        return list->items != NULL ? write_texts(list) : ol_json_new_null();
    case OL_FIELD_BOOL:
        return ol_json_new_bool(*(const bool *)from);
    case OL_FIELD_MAYBE: {
        const enum ol_maybe maybe = *(const enum ol_maybe *)from;
        return maybe != OL_UNKNOWN ? ol_json_new_bool(maybe == OL_YES)
                                   : ol_json_new_null();
    }
    case OL_FIELD_NUMBERS:
        return write_numbers(f, from);
    case OL_FIELD_OBJECT: {
        const void *object = *(void *const *)from;
        return object != NULL ? ol_fields_write(f->element(), object)
                              : ol_json_new_null();
    }
    case OL_FIELD_LIST:
        return list->items != NULL ? write_list(f->element(), list) : ol_json_new_null();
    case OL_FIELD_MEMBERS:
        break; /* no value of its own */
    }
    return ol_json_new_null();
}

void ol_fields_set(struct ol_json *object, const struct ol_struct *kind, const void *from)
{
    for (const struct ol_field *f = kind->fields; f->key != NULL; f++) {
        const void *at = (const char *)from + f->offset;
        if (f->kind == OL_FIELD_MEMBERS) {
            ol_fields_set(object, f->element(), at);
            continue;
        }
        struct ol_json *value = ol_field_write(f, at);
        if (ol_json_kind(value) == OL_JSON_NULL && (f->flags & OL_OLD) != 0 &&
            (f->flags & OL_NULL) == 0)
            ol_json_free(value);
        else
            ol_json_set(object, f->key, value);
    }
}

struct ol_json *ol_fields_write(const struct ol_struct *kind, const void *from)
{
    struct ol_json *object = ol_json_new_object();
    ol_fields_set(object, kind, from);
    return object;
}
