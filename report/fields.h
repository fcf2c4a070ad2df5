/* JSON objects into structs by tables of fields, so that a block of the results file is
 * described once and every value is checked. A value that is null or missing is absent;
 * one of the wrong kind is an error that names file and key. */
#ifndef OL_REPORT_FIELDS_H
#define OL_REPORT_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

#define OL_ABSENT INT64_MIN /* of an integer; a number is NAN, a text NULL */

/* What the structs of a results file point to; freed at once. Start from {0}. */
struct ol_arena {
    void **pieces; /* [n] */
    size_t n, room;
};
/* Zeroed, never NULL, also for n = 0. */
void *ol_arena_calloc(struct ol_arena *a, size_t n, size_t size);
void ol_arena_clear(struct ol_arena *a);

struct ol_list {
    void *items; /* [n] of the struct named beside the field; NULL: absent */
    int64_t n;
};
struct ol_reals {
    double *items; /* [n], NAN where the file has null; NULL: absent */
    int64_t n;
};

/* Integers of a results file are within plus and minus this: what programs that know
 * doubles alone read exactly, and what can be added up without running over. */
#define OL_FIELD_MOST ((int64_t)1 << 53)

enum ol_field_kind {
    OL_FIELD_INT,   /* int64_t, to OL_FIELD_MOST */
    OL_FIELD_COUNT, /* int64_t, to OL_FIELD_MOST and not negative */
    OL_FIELD_REAL,  /* double */
    OL_FIELD_TEXT,  /* const char *; a NUL inside is shown as U+2400 */
    OL_FIELD_TEXTS, /* struct ol_list of const char * */
    OL_FIELD_BOOL,  /* bool; absent is false */
    OL_FIELD_REALS, /* struct ol_reals; arrays in arrays are laid out one after another */
    OL_FIELD_OBJECT, /* a pointer to a struct; NULL when absent */
    OL_FIELD_LIST,   /* struct ol_list of structs */
};

struct ol_field {
    const char *key; /* the table ends with NULL */
    enum ol_field_kind kind;
    size_t offset;
    const struct ol_struct *element; /* OBJECT, LIST */
};
struct ol_struct {
    size_t size;
    const struct ol_field *fields;
};

/* A string as a C text, borrowed; one with NUL inside is copied into the arena, with
 * U+2400 for it. */
const char *ol_field_text(const struct ol_json *string, struct ol_arena *arena);

/* Fill *to, which must hold kind->size bytes, from section.json, an object. What it
 * points to belongs to the arena; texts without NUL are borrowed from the JSON. */
int ol_fields_read(const struct ol_struct *kind, struct ol_json_section section, void *to,
                   struct ol_arena *arena, struct ol_error *err);

#endif
