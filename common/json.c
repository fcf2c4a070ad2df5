#include "common/json.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "common/infile.h"
#include "common/number.h"
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

/* ---- typed members of a section ---- */

static const char *kind_name(const struct ol_json *json)
{
    static const char *const names[] = {
        [OL_JSON_NULL] = "null",        [OL_JSON_BOOL] = "a boolean",
        [OL_JSON_INT] = "an integer",   [OL_JSON_REAL] = "a number",
        [OL_JSON_STRING] = "a string",  [OL_JSON_ARRAY] = "an array",
        [OL_JSON_OBJECT] = "an object",
    };
    return names[ol_json_kind(json)];
}

static int wrong_kind(struct ol_json_section s, const char *key, const char *expected,
                      struct ol_error *err)
{
    return ol_fail(err, "%s: key \"%s\": expected %s, found %s", s.file, key, expected,
                   kind_name(ol_json_get(s.json, key)));
}

static bool absent(struct ol_json_section s, const char *key)
{
    return ol_json_kind(ol_json_get(s.json, key)) == OL_JSON_NULL;
}

int ol_json_need_int(struct ol_json_section s, const char *key, int64_t low, int64_t high,
                     int64_t *value, struct ol_error *err)
{
    if (absent(s, key))
        return ol_fail(err, "%s: key \"%s\" is missing", s.file, key);
    return ol_json_int_or(s, key, low, high, 0, value, err);
}

int ol_json_int_or(struct ol_json_section s, const char *key, int64_t low, int64_t high,
                   int64_t fallback, int64_t *value, struct ol_error *err)
{
    *value = fallback;
    if (absent(s, key))
        return 0;
    const struct ol_json *member = ol_json_get(s.json, key);
    if (ol_json_kind(member) != OL_JSON_INT)
        return wrong_kind(s, key, "an integer", err);
    *value = ol_json_int(member);
    if (*value < low || *value > high)
        return ol_fail(err, "%s: key \"%s\" is %lld, expected %lld to %lld", s.file, key,
                       (long long)*value, (long long)low, (long long)high);
    return 0;
}

int ol_json_need_real(struct ol_json_section s, const char *key, double *value,
                      struct ol_error *err)
{
    if (absent(s, key))
        return ol_fail(err, "%s: key \"%s\" is missing", s.file, key);
    return ol_json_real_or(s, key, 0, value, err);
}

int ol_json_real_or(struct ol_json_section s, const char *key, double fallback,
                    double *value, struct ol_error *err)
{
    *value = fallback;
    if (absent(s, key))
        return 0;
    const struct ol_json *member = ol_json_get(s.json, key);
    if (!json_is_number(in(member)))
        return wrong_kind(s, key, "a number", err);
    *value = ol_json_real(member);
    return 0;
}

int ol_json_bool_or(struct ol_json_section s, const char *key, bool fallback, bool *value,
                    struct ol_error *err)
{
    *value = fallback;
    if (absent(s, key))
        return 0;
    const struct ol_json *member = ol_json_get(s.json, key);
    if (ol_json_kind(member) != OL_JSON_BOOL)
        return wrong_kind(s, key, "true or false", err);
    *value = ol_json_bool(member);
    return 0;
}

int ol_json_string_or(struct ol_json_section s, const char *key, const char *fallback,
                      const char **value, struct ol_error *err)
{
    *value = fallback;
    if (absent(s, key))
        return 0;
    const struct ol_json *member = ol_json_get(s.json, key);
    if (ol_json_kind(member) != OL_JSON_STRING)
        return wrong_kind(s, key, "a string", err);
    *value = ol_json_string(member, NULL);
    return 0;
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

/* ---- writing ---- */

/* Text that grows. */
struct text {
    char *text;
    size_t n, room;
};

static void put(struct text *t, const char *text, size_t n)
{
    if (t->n + n + 1 > t->room) {
        t->room = 2 * (t->n + n) + 256;
        t->text = ol_xrealloc_array(t->text, t->room, 1);
    }
    memcpy(t->text + t->n, text, n);
    t->n += n;
    t->text[t->n] = '\0';
}

static void put_line(struct text *t, int indent, int depth)
{
    if (indent == 0)
        return;
    put(t, "\n", 1);
    for (int i = 0; i < indent * depth; i++)
        put(t, " ", 1);
}

/* With a fraction or an exponent, so that it is read back as a real. */
static void put_real(struct text *t, double value)
{
    struct ol_number digits = ol_number_shortest(value);
    if (strpbrk(digits.text, ".en") == NULL)
        strcat(digits.text, ".0");
    put(t, digits.text, strlen(digits.text));
}

/* The letter of a short escape, or 0. */
static char short_escape(uint32_t code)
{
    switch (code) {
    case '"':
    case '\\':
        return (char)code;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static void put_escape(struct text *t, uint32_t code)
{
    char escape[16];
    const char letter = short_escape(code);
    if (letter != 0)
        snprintf(escape, sizeof escape, "\\%c", letter);
    else if (code < 0x10000)
        snprintf(escape, sizeof escape, "\\u%04X", code);
    else /* as two surrogates */
        snprintf(escape, sizeof escape, "\\u%04X\\u%04X", 0xd7c0 + (code >> 10),
                 0xdc00 + (code & 0x3ff));
    put(t, escape, strlen(escape));
}

/* Escapes what JSON wants escaped and, so that a printed file cannot command a terminal
 * or turn a line around, every character that acts; a reader gets each of them back. */
static void put_string(struct text *t, const char *string, size_t bytes)
{
    put(t, "\"", 1);
    for (size_t i = 0, n; i < bytes; i += n) {
        uint32_t code = 0;
        n = ol_utf8_decode(string + i, bytes - i, &code);
        assert(n > 0); /* the library holds valid strings only */
        if (short_escape(code) != 0 || ol_utf8_acts(code))
            put_escape(t, code);
        else
            put(t, string + i, n);
    }
    put(t, "\"", 1);
}

static bool all_scalar(const json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *element = json_array_get(array, i);
        if (json_is_array(element) || json_is_object(element))
            return false;
    }
    return true;
}

static void put_value(struct text *t, const json_t *json, int indent, int depth);

/* An array of plain values is one line. */
static void put_array(struct text *t, const json_t *array, int indent, int depth)
{
    const int inner = all_scalar(array) ? 0 : indent;
    put(t, "[", 1);
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i > 0)
            put(t, indent > 0 && inner == 0 ? ", " : ",",
                indent > 0 && inner == 0 ? 2 : 1);
        put_line(t, inner, depth + 1);
        put_value(t, json_array_get(array, i), indent, depth + 1);
    }
    if (json_array_size(array) > 0)
        put_line(t, inner, depth);
    put(t, "]", 1);
}

static void put_object(struct text *t, const json_t *object, int indent, int depth)
{
    json_t *members = (json_t *)(uintptr_t)object;
    const char *separator = "";
    put(t, "{", 1);
    for (void *it = json_object_iter(members); it != NULL;
         it = json_object_iter_next(members, it)) {
        const char *key = json_object_iter_key(it);
        put(t, separator, strlen(separator));
        put_line(t, indent, depth + 1);
        put_string(t, key, strlen(key));
        put(t, ": ", indent > 0 ? 2 : 1);
        put_value(t, json_object_iter_value(it), indent, depth + 1);
        separator = ",";
    }
    if (*separator != '\0')
        put_line(t, indent, depth);
    put(t, "}", 1);
}

static void put_value(struct text *t, const json_t *json, int indent, int depth)
{
    if (json_is_object(json)) {
        put_object(t, json, indent, depth);
    } else if (json_is_array(json)) {
        put_array(t, json, indent, depth);
    } else if (json_is_real(json)) {
        put_real(t, json_real_value(json));
    } else if (json_is_string(json)) {
        put_string(t, json_string_value(json), json_string_length(json));
    } else {
        char *plain = json_dumps(json, JSON_ENCODE_ANY);
        if (plain == NULL)
            die();
        put(t, plain, strlen(plain));
        free(plain);
    }
}

char *ol_json_dump_text(const struct ol_json *json, int indent)
{
    struct text t = {0};
    put_value(&t, in(json), indent, 0);
    return t.text;
}

int ol_json_dump(const struct ol_json *json, int indent, FILE *file, const char *name,
                 struct ol_error *err)
{
    char *text = ol_json_dump_text(json, indent);
    errno = 0;
    const bool good = fputs(text, file) != EOF && fputc('\n', file) != EOF;
    free(text);
    return good ? 0 : ol_fail_errno(err, "%s: cannot be written", name);
}
