#include "common/json.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/infile.h"
#include "common/stand_in.h"
#include "common/utf8.h"

/* struct ol_json is json_t under another name, so that no other file sees the library. */
static json_t *in(const struct ol_json *json)
{
    return (json_t *)(uintptr_t)json;
}

static struct ol_json *out(json_t *json)
{
    return (struct ol_json *)json;
}

static const size_t load_flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;

enum { START_BYTES = 64 }; /* enough to know what stands in place of a file */

/* Some mistakes (no memory, no text at all) have no place: line is -1 then. */
static void refuse(const char *name, const json_error_t *error, const char *start,
                   size_t n, struct ol_error *err)
{
    const char *meaning = ol_stand_in(start, n);
    const char *text = error->text[0] != '\0' ? error->text : "no JSON";
    if (meaning != NULL)
        ol_fail(err, "%s: %s", name, meaning);
    else if (error->line > 0)
        ol_fail(err, "%s: line %d, column %d: %s", name, error->line, error->column,
                text);
    else
        ol_fail(err, "%s: %s", name, text);
}

/* An integer of JSON may have any number of digits (tokenizer_config.json has 10^30 for
 * "no limit"), the library's has 64 bits: what is beyond is read as a real number. The
 * text with ".0" behind such integers; the caller frees. */
static char *widen(const char *text, size_t bytes, size_t *n)
{
    /* An integer that is too large has 19 digits or more, two characters come to it. */
    char *wide = ol_xmalloc(bytes + bytes / 19 * 2 + 3), *to = wide;
    bool in_string = false;
    for (size_t i = 0; i < bytes;) {
        const size_t digits = in_string ? 0 : strspn(text + i, "0123456789");
        if (digits == 0) {
            in_string ^= text[i] == '"';
            if (in_string && text[i] == '\\' && i + 1 < bytes)
                *to++ = text[i++];
            *to++ = text[i++];
            continue;
        }
        const bool is_integer =
            strchr(".eE", text[i + digits]) == NULL &&
            (i == 0 || strchr(".eE+", text[i - 1]) == NULL) &&
            !(i > 1 && text[i - 1] == '-' && strchr("eE", text[i - 2]) != NULL);
        errno = 0;
        strtoll(text + i, NULL, 10);
        memcpy(to, text + i, digits);
        to += digits;
        i += digits;
        if (is_integer && errno == ERANGE) {
            memcpy(to, ".0", 2);
            to += 2;
        }
    }
    *n = (size_t)(to - wide);
    return wide;
}

static json_t *load(const char *text, size_t bytes, json_error_t *error)
{
    json_t *json = json_loadb(text, bytes, load_flags, error);
    if (json != NULL || json_error_code(error) != json_error_numeric_overflow)
        return json;
    size_t n;
    char *copy = ol_xmalloc(bytes + 1); /* with a NUL behind */
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    char *wide = widen(copy, bytes, &n);
    json = json_loadb(wide, n, load_flags, error);
    free(wide);
    free(copy);
    return json;
}

/* The same of a file; *start: what it begins with, [START_BYTES]. */
static json_t *load_again(FILE *file, json_error_t *error, char *start, size_t *n)
{
    json_t *json = NULL;
    *n = 0;
    if (fseek(file, 0, SEEK_END) != 0)
        return NULL;
    const long size = ftell(file);
    if (size < 0 || fseek(file, 0, SEEK_SET) != 0)
        return NULL;
    char *text = ol_xmalloc((size_t)size + 1);
    const size_t bytes = fread(text, 1, (size_t)size, file);
    if (json_error_code(error) == json_error_numeric_overflow)
        json = load(text, bytes, error);
    *n = bytes < START_BYTES ? bytes : START_BYTES;
    memcpy(start, text, *n);
    free(text);
    return json;
}

struct ol_json *ol_json_load_file(const char *path, struct ol_error *err)
{
    FILE *file = ol_infile_open(path, OL_INFILE_REGULAR, err);
    if (file == NULL)
        return NULL;
    json_error_t error;
    json_t *json = json_loadf(file, load_flags, &error);
    const int read_failed = ferror(file);
    char start[START_BYTES];
    size_t n = 0;
    if (json == NULL && !read_failed)
        json = load_again(file, &error, start, &n);
    ol_infile_close(file);
    if (json == NULL) {
        if (read_failed)
            ol_fail(err, "%s: cannot be read", path);
        else
            refuse(path, &error, start, n, err);
    }
    return out(json);
}

struct ol_json *ol_json_load_text(const char *text, size_t bytes, const char *name,
                                  struct ol_error *err)
{
    json_error_t error;
    json_t *json = load(text, bytes, &error);
    if (json == NULL)
        refuse(name, &error, text, bytes < START_BYTES ? bytes : START_BYTES, err);
    return out(json);
}

void ol_json_free(struct ol_json *json)
{
    json_decref(in(json));
}

enum ol_json_kind ol_json_kind(const struct ol_json *json)
{
    if (json == NULL)
        return OL_JSON_NULL;
    switch (json_typeof(in(json))) {
    case JSON_OBJECT:
        return OL_JSON_OBJECT;
    case JSON_ARRAY:
        return OL_JSON_ARRAY;
    case JSON_STRING:
        return OL_JSON_STRING;
    case JSON_INTEGER:
        return OL_JSON_INT;
    case JSON_REAL:
        return OL_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return OL_JSON_BOOL;
    case JSON_NULL:
        break;
    }
    return OL_JSON_NULL;
}

struct ol_json *ol_json_get(const struct ol_json *object, const char *key)
{
    return out(json_object_get(in(object), key));
}

struct ol_json *ol_json_at(const struct ol_json *array, size_t i)
{
    return out(json_array_get(in(array), i));
}

size_t ol_json_length(const struct ol_json *json)
{
    return json_is_object(in(json)) ? json_object_size(in(json))
                                    : json_array_size(in(json));
}

void *ol_json_first(struct ol_json *object)
{
    return json_object_iter(in(object));
}

void *ol_json_next(struct ol_json *object, void *iterator)
{
    return json_object_iter_next(in(object), iterator);
}

const char *ol_json_key(void *iterator)
{
    return json_object_iter_key(iterator);
}

struct ol_json *ol_json_value(void *iterator)
{
    return out(json_object_iter_value(iterator));
}

bool ol_json_bool(const struct ol_json *json)
{
    assert(ol_json_kind(json) == OL_JSON_BOOL);
    return json_is_true(in(json));
}

int64_t ol_json_int(const struct ol_json *json)
{
    assert(ol_json_kind(json) == OL_JSON_INT);
    return json_integer_value(in(json));
}

double ol_json_real(const struct ol_json *json)
{
    assert(json_is_number(in(json)));
    return json_number_value(in(json));
}

const char *ol_json_string(const struct ol_json *json, size_t *bytes)
{
    assert(ol_json_kind(json) == OL_JSON_STRING);
    if (bytes != NULL)
        *bytes = json_string_length(in(json));
    return json_string_value(in(json));
}

/* ---- building ---- */

static _Noreturn void die(void)
{
    ol_warn("out of memory while building JSON");
    exit(1);
}

static json_t *or_die(json_t *json)
{
    if (json == NULL)
        die();
    return json;
}

struct ol_json *ol_json_new_object(void)
{
    return out(or_die(json_object()));
}

struct ol_json *ol_json_new_array(void)
{
    return out(or_die(json_array()));
}

struct ol_json *ol_json_new_int(int64_t value)
{
    return out(or_die(json_integer(value)));
}

struct ol_json *ol_json_new_real(double value)
{
    return out(or_die(isfinite(value) ? json_real(value) : json_null()));
}

struct ol_json *ol_json_new_bool(bool value)
{
    return out(or_die(json_boolean(value)));
}

struct ol_json *ol_json_new_null(void)
{
    return out(json_null());
}

struct ol_json *ol_json_new_string(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL)
        return out(json);
    /* Not UTF-8: a command line may hold any bytes. */
    size_t used;
    char *clean = ol_utf8_lossy(text, strlen(text), &used);
    json = json_stringn(clean, used);
    free(clean);
    return out(or_die(json));
}

struct ol_json *ol_json_new_copy(const struct ol_json *json)
{
    return json != NULL ? out(or_die(json_deep_copy(in(json)))) : ol_json_new_null();
}

void ol_json_set(struct ol_json *object, const char *key, struct ol_json *taken)
{
    if (json_object_set_new(in(object), key, in(taken)) != 0)
        die();
}

void ol_json_append(struct ol_json *array, struct ol_json *taken)
{
    if (json_array_append_new(in(array), in(taken)) != 0)
        die();
}
