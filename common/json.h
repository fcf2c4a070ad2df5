/* JSON values: reading with errors that name file and key, and building. The only file
 * that knows the JSON library. A `struct ol_json *` is reference-counted inside; the
 * rules here are simple: values returned by _load, _new_* are owned by the caller
 * (ol_json_free); values returned by getters are borrowed from their parent; _set and
 * _append take over the value given to them. */
#ifndef OL_JSON_H
#define OL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"

struct ol_json;

/* Parse a whole file / a buffer. `name` is used in messages. NUL in strings (\u0000) is
 * allowed; duplicate keys are refused. NULL on failure. */
struct ol_json *ol_json_load_file(const char *path, struct ol_error *err);
struct ol_json *ol_json_load_text(const char *text, size_t bytes, const char *name,
                                  struct ol_error *err);
void ol_json_free(struct ol_json *json);

enum ol_json_kind {
    OL_JSON_NULL,
    OL_JSON_BOOL,
    OL_JSON_INT,
    OL_JSON_REAL,
    OL_JSON_STRING,
    OL_JSON_ARRAY,
    OL_JSON_OBJECT,
};
enum ol_json_kind
ol_json_kind(const struct ol_json *json); /* NULL pointer: OL_JSON_NULL */

/* Members and elements, borrowed; NULL when absent or when json is no object / array / is
 * NULL. */
struct ol_json *ol_json_get(const struct ol_json *object, const char *key);
struct ol_json *ol_json_at(const struct ol_json *array, size_t i);
size_t ol_json_length(const struct ol_json *array_or_object);

/* Walk an object in file order: for (it = first; it; it = next). Key and value are
 * borrowed. */
void *ol_json_first(struct ol_json *object);
void *ol_json_next(struct ol_json *object, void *iterator);
const char *ol_json_key(void *iterator);
struct ol_json *ol_json_value(void *iterator);

/* Plain values; the kind must fit (asserted). _real also accepts an integer. */
bool ol_json_bool(const struct ol_json *json);
int64_t ol_json_int(const struct ol_json *json);
double ol_json_real(const struct ol_json *json);
const char *ol_json_string(const struct ol_json *json,
                           size_t *bytes); /* bytes may be NULL */

/* A typed view of an object that remembers where it came from, for messages like
 * "config.json: num_experts: expected an integer, found a string". */
struct ol_json_section {
    const char *file;           /* borrowed */
    const struct ol_json *json; /* borrowed */
};

/* Each reads section.key into *value. 0 and *value when present; when absent or null:
 * _need fails, _or stores the fallback. A wrong type or an integer outside [low, high]
 * fails. */
int ol_json_need_int(struct ol_json_section s, const char *key, int64_t low, int64_t high,
                     int64_t *value, struct ol_error *err);
int ol_json_int_or(struct ol_json_section s, const char *key, int64_t low, int64_t high,
                   int64_t fallback, int64_t *value, struct ol_error *err);
int ol_json_real_or(struct ol_json_section s, const char *key, double fallback,
                    double *value, struct ol_error *err);
int ol_json_need_real(struct ol_json_section s, const char *key, double *value,
                      struct ol_error *err);
int ol_json_bool_or(struct ol_json_section s, const char *key, bool fallback, bool *value,
                    struct ol_error *err);
/* The string is borrowed from the JSON. */
int ol_json_string_or(struct ol_json_section s, const char *key, const char *fallback,
                      const char **value, struct ol_error *err);

/* Builders. Strings must be valid UTF-8 (else they are stored with U+FFFD for bad bytes).
 * _new_real stores null for a value that is not finite. */
struct ol_json *ol_json_new_object(void);
struct ol_json *ol_json_new_array(void);
struct ol_json *ol_json_new_int(int64_t value);
struct ol_json *ol_json_new_real(double value);
struct ol_json *ol_json_new_bool(bool value);
struct ol_json *ol_json_new_string(const char *text);
struct ol_json *ol_json_new_null(void);
struct ol_json *ol_json_new_copy(const struct ol_json *json); /* deep; not of NULL */
void ol_json_set(struct ol_json *object, const char *key, struct ol_json *taken);
void ol_json_append(struct ol_json *array, struct ol_json *taken);

/* Text with shortest-exact numbers (17 significant digits at most), in insertion order;
 * characters that act (utf8.h) are written as escapes, which a reader turns back;
 * indent 0 = one line; else an array of plain values is one line. name: of the file, for
 * messages. ol_json_dump_text: the caller frees. */
int ol_json_dump(const struct ol_json *json, int indent, FILE *file, const char *name,
                 struct ol_error *err);
char *ol_json_dump_text(const struct ol_json *json, int indent);

#endif
