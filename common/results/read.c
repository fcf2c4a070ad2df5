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
    int64_t index;                /* in an array, when key is NULL */
    const struct ol_struct *kind; /* of the struct that has the key, */
    const void *from;             /* and that struct; in a list, the first */
};

struct reader {
    const char *file;
    struct ol_arena *arena;
    const struct ol_json *none; /* an object without members */
    struct ol_error *err;
};

void *ol_arena_take(struct ol_arena *a, void *taken)
{
    if (a->n == a->room) {
        a->room = 2 * a->room + 64;
        a->pieces = ol_xrealloc_array(a->pieces, a->room, sizeof *a->pieces);
    }
    return a->pieces[a->n++] = taken;
}

void *ol_arena_calloc(struct ol_arena *a, size_t n, size_t size)
{
    return ol_arena_take(a, ol_xcalloc(n > 0 ? n : 1, size));
}

void ol_arena_clear(struct ol_arena *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->pieces[i]);
    free(a->pieces);
    *a = (struct ol_arena){0};
}

void *ol_list_new(struct ol_list *list, int64_t n, size_t size, struct ol_arena *arena)
{
    *list = (struct ol_list){ol_arena_calloc(arena, (size_t)n, size), n};
    return list->items;
}

double *ol_reals_new(struct ol_reals *reals, int64_t n, struct ol_arena *arena)
{
    *reals = (struct ol_reals){
        .items = ol_arena_calloc(arena, (size_t)n, sizeof *reals->items), .n = n};
    return reals->items;
}

const struct ol_field *ol_field_find(const struct ol_struct *kind, const char *key,
                                     const void *from, const void **value)
{
    const struct ol_field *found = NULL;
    for (const struct ol_field *f = kind->fields; f->key != NULL && found == NULL; f++) {
        const void *at = (const char *)from + f->offset;
        if (f->kind == OL_FIELD_MEMBERS) {
            found = ol_field_find(f->element(), key, at, value);
        } else if (strcmp(f->key, key) == 0) {
            *value = at;
            found = f;
        }
    }
    return found;
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

/* ---- lengths ---- */

static int64_t count_of(const struct ol_field *f, const void *value)
{
    return f->kind == OL_FIELD_NUMBERS ? ((const struct ol_reals *)value)->n
           : f->kind == OL_FIELD_LIST || f->kind == OL_FIELD_TEXTS
               ? ((const struct ol_list *)value)->n
               : *(const int64_t *)value;
}

/* What the names of OL_PER come to, each found from the inside; absent counts are 0. */
static int64_t length_per(const char *names, const struct place *at)
{
    int64_t length = 1;
    for (; *names != '\0'; names += strspn(names, " x")) {
        char name[64];
        const int n = (int)strcspn(names, " ");
        const struct ol_field *f = NULL;
        const void *value;
        snprintf(name, sizeof name, "%.*s", n, names);
        for (const struct place *p = at; p != NULL && f == NULL; p = p->outer)
            f = p->kind != NULL ? ol_field_find(p->kind, name, p->from, &value) : NULL;
        const int64_t count = f != NULL ? count_of(f, value) : atoll(name);
        if (count <= 0 || length > OL_FIELD_MOST / count)
            return 0;
        length *= count;
        names += n;
    }
    return length;
}

static int check_length(const struct reader *r, const struct ol_field *f,
                        const struct place *at, const struct ol_reals *values)
{
    const int64_t expected = f->per != NULL ? length_per(f->per, at)
                             : (f->flags & OL_EVEN) != 0
                                 ? count_of(f, (const char *)at->outer->from + f->offset)
                                 : values->n;
    char path[256];
    if (values->n == expected)
        return 0;
    describe(at, path, sizeof path);
    return ol_fail(
        r->err, "%s: key \"%s\": %" PRId64 " values, expected %" PRId64 " (%s)", r->file,
        path, values->n, expected, f->per != NULL ? f->per : "as the first has");
}

/* ---- values ---- */

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
        const struct place here = {.outer = at, .index = (int64_t)i};
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
        const struct place here = {at, NULL, (int64_t)i, NULL, to->items};
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
        const struct place here = {.outer = at, .index = (int64_t)i};
        if (read_text(r, ol_json_at(json, i), &here, &items[i]) != 0)
            return -1;
        to->n++;
    }
    return 0;
}

static int read_int(const struct reader *r, const struct ol_field *f,
                    const struct ol_json *json, const struct place *at, int64_t *to)
{
    char path[256];
    const int64_t high = f->flags >> 8 > 0 ? (int64_t)(f->flags >> 8) : OL_FIELD_MOST,
                  low = f->kind == OL_FIELD_INT ? -OL_FIELD_MOST : 0;
    if (ol_json_kind(json) != OL_JSON_INT)
        return wrong(r, at, json, "an integer");
    *to = ol_json_int(json);
    if (*to >= low && *to <= high)
        return 0;
    describe(at, path, sizeof path);
    return ol_fail(r->err,
                   "%s: key \"%s\" is %" PRId64 ", expected %" PRId64 " to %" PRId64,
                   r->file, path, *to, low, high);
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
        return read_int(r, f, json, at, to);
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
    case OL_FIELD_MAYBE:
        if (kind != OL_JSON_BOOL)
            return wrong(r, at, json, "true or false");
        *(enum ol_maybe *)to = ol_json_bool(json) ? OL_YES : OL_NO;
        return 0;
    case OL_FIELD_NUMBERS:
        return read_reals(r, json, at, to) == 0 ? check_length(r, f, at, to) : -1;
    case OL_FIELD_OBJECT:
        return read_object(r, f->element(), json, at, to);
    case OL_FIELD_LIST:
        return read_list(r, f->element(), json, at, to);
    case OL_FIELD_MEMBERS:
        break; /* in read_members */
    }
    return 0;
}

static int set_absent(const struct reader *r, const struct ol_field *f,
                      const struct ol_json *json, const struct place *at, void *to)
{
    char path[256];
    if ((f->flags & OL_NEEDED) != 0 && (json == NULL || (f->flags & OL_NULL) == 0)) {
        describe(at, path, sizeof path);
        return ol_fail(r->err, "%s: key \"%s\" is missing", r->file, path);
    }
    switch (f->kind) {
    case OL_FIELD_INT:
    case OL_FIELD_COUNT:
    case OL_FIELD_ORDINAL:
        *(int64_t *)to = OL_ABSENT;
        break;
    case OL_FIELD_REAL:
    case OL_FIELD_SIZE:
    case OL_FIELD_SHARE:
        *(double *)to = (f->flags & OL_INFINITE) != 0 ? (double)INFINITY : (double)NAN;
        break;
    case OL_FIELD_NUMBERS:
        /* Who reads it counts on its length. */
        return (f->flags & (OL_NULL | OL_OLD)) == 0 ? check_length(r, f, at, to) : 0;
    case OL_FIELD_TEXT:
    case OL_FIELD_WORD:
        /* Who reads one that no file may leave out compares it with others. */
        if ((f->flags & OL_FILLED) != 0 || (f->flags & (OL_NULL | OL_OLD)) == 0)
            *(const char **)to = "";
        break;
    case OL_FIELD_OBJECT:
        return (f->flags & OL_FILLED) != 0 ? read_object(r, f->element(), r->none, at, to)
                                           : 0;
    case OL_FIELD_TEXTS:
    case OL_FIELD_BOOL:
    case OL_FIELD_MAYBE:
    case OL_FIELD_LIST:
    case OL_FIELD_MEMBERS:
        break; /* by zero, as the arena has it */
    }
    return 0;
}

static int read_members(const struct reader *r, const struct ol_struct *kind,
                        const struct ol_json *json, const struct place *at, void *to)
{
    int status = 0;
    for (const struct ol_field *f = kind->fields; f->key != NULL && status == 0; f++) {
        const struct ol_json *value = ol_json_get(json, f->key);
        const struct place here = {at, f->key, 0, kind, to};
        void *field = (char *)to + f->offset;
        status =
            f->kind == OL_FIELD_MEMBERS ? read_members(r, f->element(), json, at, field)
            : ol_json_kind(value) == OL_JSON_NULL ? set_absent(r, f, value, &here, field)
                                                  : read_value(r, f, value, &here, field);
    }
    return status;
}

static int read_struct(const struct reader *r, const struct ol_struct *kind,
                       const struct ol_json *json, const struct place *at, void *to)
{
    if (ol_json_kind(json) != OL_JSON_OBJECT)
        return wrong(r, at, json, "an object");
    return read_members(r, kind, json, at, to);
}

int ol_fields_read(const struct ol_struct *kind, struct ol_json_section section, void *to,
                   struct ol_arena *arena, struct ol_error *err)
{
    struct ol_json *none = ol_json_new_object();
    const struct reader r = {section.file, arena, none, err};
    const int status = read_struct(&r, kind, section.json, NULL, to);
    ol_json_free(none);
    return status;
}
