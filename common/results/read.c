/* The reader: JSON objects into structs, by their tables. */
#include "common/results/field.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where in the document we are: the inner end of a list on the stack. */
struct place {
    const struct place *outer;
    const char *key;
    int64_t index; /* in an array, when key is NULL */
};

struct reader {
    const char *file;
    struct ol_arena *arena;
    struct ol_error *err;
};

void *ol_arena_calloc(struct ol_arena *a, size_t n, size_t size)
{
    if (a->n == a->room) {
        a->room = 2 * a->room + 64;
        a->pieces = ol_xrealloc_array(a->pieces, a->room, sizeof *a->pieces);
    }
    return a->pieces[a->n++] = ol_xcalloc(n > 0 ? n : 1, size);
}

void ol_arena_clear(struct ol_arena *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->pieces[i]);
    free(a->pieces);
    *a = (struct ol_arena){0};
}

static void describe(const struct place *p, char *text, size_t room)
{
    char inner[64];
    if (p->outer != NULL)
        describe(p->outer, text, room);
    else
        text[0] = '\0';
    if (p->key != NULL)
        snprintf(inner, sizeof inner, "%s%s", text[0] != '\0' ? "." : "", p->key);
    else
        snprintf(inner, sizeof inner, "[%" PRId64 "]", p->index);
    strncat(text, inner, room - strlen(text) - 1);
}

static int wrong(const struct reader *r, const struct place *p,
                 const struct ol_json *found, const char *expected)
{
    static const char *const names[] = {
        [OL_JSON_NULL] = "null",       [OL_JSON_BOOL] = "true or false",
        [OL_JSON_INT] = "an integer",  [OL_JSON_REAL] = "a number",
        [OL_JSON_STRING] = "a string", [OL_JSON_ARRAY] = "an array",
        [OL_JSON_OBJECT] = "an object"};
    char path[256];
    describe(p, path, sizeof path);
    return ol_fail(r->err, "%s: key \"%s\": expected %s, found %s", r->file, path,
                   expected, names[ol_json_kind(found)]);
}

static int read_struct(const struct reader *r, const struct ol_struct *kind,
                       const struct ol_json *json, const struct place *at, void *to);

/* Number of plain elements in arrays of arrays. */
static size_t count_leaves(const struct ol_json *json)
{
    size_t n = 0;
    if (ol_json_kind(json) != OL_JSON_ARRAY)
        return 1;
    for (size_t i = 0; i < ol_json_length(json); i++)
        n += count_leaves(ol_json_at(json, i));
    return n;
}

static int read_leaves(const struct reader *r, const struct ol_json *json,
                       const struct place *at, struct ol_reals *to)
{
    for (size_t i = 0; i < ol_json_length(json); i++) {
        const struct ol_json *item = ol_json_at(json, i);
        const struct place here = {at, NULL, (int64_t)i};
        const enum ol_json_kind kind = ol_json_kind(item);
        if (kind == OL_JSON_ARRAY) {
            if (read_leaves(r, item, &here, to) != 0)
                return -1;
        } else if (kind == OL_JSON_INT || kind == OL_JSON_REAL) {
            to->items[to->n++] = ol_json_real(item);
        } else if (kind == OL_JSON_NULL) {
            to->items[to->n++] = NAN;
        } else {
            return wrong(r, &here, item, "a number");
        }
    }
    return 0;
}

static int read_reals(const struct reader *r, const struct ol_json *json,
                      const struct place *at, struct ol_reals *to)
{
    if (ol_json_kind(json) != OL_JSON_ARRAY)
        return wrong(r, at, json, "an array of numbers");
    to->items = ol_arena_calloc(r->arena, count_leaves(json), sizeof(double));
    return read_leaves(r, json, at, to);
}

static int read_list(const struct reader *r, const struct ol_struct *kind,
                     const struct ol_json *json, const struct place *at,
                     struct ol_list *to)
{
    if (ol_json_kind(json) != OL_JSON_ARRAY)
        return wrong(r, at, json, "an array");
    const size_t n = ol_json_length(json);
    to->items = ol_arena_calloc(r->arena, n, kind->size);
    for (size_t i = 0; i < n; i++) {
        const struct place here = {at, NULL, (int64_t)i};
        if (read_struct(r, kind, ol_json_at(json, i), &here,
                        (char *)to->items + i * kind->size) != 0)
            return -1;
    }
    to->n = (int64_t)n;
    return 0;
}

const char *ol_field_text(const struct ol_json *json, struct ol_arena *arena)
{
    size_t bytes;
    const char *text = ol_json_string(json, &bytes);
    if (strlen(text) == bytes)
        return text;
    char *copy = ol_arena_calloc(arena, 3 * bytes + 1, 1), *end = copy;
    for (size_t i = 0; i < bytes; i++)
        if (text[i] != '\0')
            *end++ = text[i];
        else
            end = (char *)memcpy(end, "\xe2\x90\x80", 3) + 3;
    return copy;
}

static int read_text(const struct reader *r, const struct ol_json *json,
                     const struct place *at, const char **to)
{
    if (ol_json_kind(json) != OL_JSON_STRING)
        return wrong(r, at, json, "a string");
    *to = ol_field_text(json, r->arena);
    return 0;
}

static int read_texts(const struct reader *r, const struct ol_json *json,
                      const struct place *at, struct ol_list *to)
{
    if (ol_json_kind(json) != OL_JSON_ARRAY)
        return wrong(r, at, json, "an array of strings");
    const char **items =
        ol_arena_calloc(r->arena, ol_json_length(json), sizeof(const char *));
    to->items = items;
    for (size_t i = 0; i < ol_json_length(json); i++) {
        const struct place here = {at, NULL, (int64_t)i};
        if (read_text(r, ol_json_at(json, i), &here, &items[i]) != 0)
            return -1;
        to->n++;
    }
    return 0;
}

static int read_int(const struct reader *r, const struct ol_json *json,
                    const struct place *at, bool negative, int64_t *to)
{
    if (ol_json_kind(json) != OL_JSON_INT)
        return wrong(r, at, json, "an integer");
    *to = ol_json_int(json);
    if (*to > OL_FIELD_MOST || *to < -OL_FIELD_MOST)
        return wrong(r, at, json, "an integer within plus and minus 2^53");
    return *to >= 0 || negative ? 0 : wrong(r, at, json, "an integer of at least 0");
}

static int read_object(const struct reader *r, const struct ol_struct *kind,
                       const struct ol_json *json, const struct place *at, void **to)
{
    *to = ol_arena_calloc(r->arena, 1, kind->size);
    return read_struct(r, kind, json, at, *to);
}

/* json is neither null nor missing. */
static int read_value(const struct reader *r, const struct ol_field *f,
                      const struct ol_json *json, const struct place *at, void *to)
{
    const enum ol_json_kind kind = ol_json_kind(json);
    switch (f->kind) {
    case OL_FIELD_INT:
    case OL_FIELD_COUNT:
    case OL_FIELD_ORDINAL:
        return read_int(r, json, at, f->kind == OL_FIELD_INT, to);
    case OL_FIELD_REAL:
    case OL_FIELD_SIZE:
    case OL_FIELD_SHARE:
        if (kind != OL_JSON_INT && kind != OL_JSON_REAL)
            return wrong(r, at, json, "a number");
        *(double *)to = ol_json_real(json);
        return 0;
    case OL_FIELD_TEXT:
    case OL_FIELD_WORD:
        return read_text(r, json, at, to);
    case OL_FIELD_TEXTS:
        return read_texts(r, json, at, to);
    case OL_FIELD_BOOL:
        if (kind != OL_JSON_BOOL)
            return wrong(r, at, json, "true or false");
        *(bool *)to = ol_json_bool(json);
        return 0;
    case OL_FIELD_NUMBERS:
        return read_reals(r, json, at, to);
    case OL_FIELD_OBJECT:
        return read_object(r, f->element(), json, at, to);
    case OL_FIELD_LIST:
        return read_list(r, f->element(), json, at, to);
    }
    return 0;
}

static void set_absent(const struct ol_field *f, void *to)
{
    switch (f->kind) {
    case OL_FIELD_INT:
    case OL_FIELD_COUNT:
    case OL_FIELD_ORDINAL:
        *(int64_t *)to = OL_ABSENT;
        break;
    case OL_FIELD_REAL:
    case OL_FIELD_SIZE:
    case OL_FIELD_SHARE:
        *(double *)to = NAN;
        break;
    case OL_FIELD_TEXT:
    case OL_FIELD_WORD:
    case OL_FIELD_TEXTS:
    case OL_FIELD_BOOL:
    case OL_FIELD_NUMBERS:
    case OL_FIELD_OBJECT:
    case OL_FIELD_LIST:
        break; /* by zero, as the arena has it */
    }
}

static int read_struct(const struct reader *r, const struct ol_struct *kind,
                       const struct ol_json *json, const struct place *at, void *to)
{
    if (ol_json_kind(json) != OL_JSON_OBJECT)
        return wrong(r, at, json, "an object");
    for (const struct ol_field *f = kind->fields; f->key != NULL; f++) {
        const struct ol_json *value = ol_json_get(json, f->key);
        const struct place here = {at, f->key, 0};
        void *field = (char *)to + f->offset;
        if (ol_json_kind(value) == OL_JSON_NULL)
            set_absent(f, field);
        else if (read_value(r, f, value, &here, field) != 0)
            return -1;
    }
    return 0;
}

int ol_fields_read(const struct ol_struct *kind, struct ol_json_section section, void *to,
                   struct ol_arena *arena, struct ol_error *err)
{
    const struct reader r = {section.file, arena, err};
    return read_struct(&r, kind, section.json, NULL, to);
}
