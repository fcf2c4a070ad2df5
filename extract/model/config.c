/* What was read is a list of (object, key); both are compared by what the JSON holds, so
 * that a section may be read twice. */
#include "extract/model/config.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "extract/model/config_keys.h"

struct read_key {
    const struct ol_json *object;
    const char *key; /* a literal of the reader, or a key of the JSON */
    bool whole;      /* with everything below it */
};

struct ol_config_reads {
    struct read_key *keys;
    size_t n, room;
};

/* The length of a word that JSON does not know at the start of n bytes, or 0. */
static size_t python_word(const char *text, size_t n)
{
    static const char *const words[] = {"-Infinity", "Infinity", "NaN"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const size_t length = strlen(words[i]);
        if (n >= length && memcmp(text, words[i], length) == 0)
            return length;
    }
    return 0;
}

/* Behind white space and then `token` at text[at] of n bytes, or 0. */
static size_t behind(const char *text, size_t n, size_t at, const char *token)
{
    const size_t length = strlen(token);
    while (at < n && strchr(" \t\r\n", text[at]) != NULL && text[at] != '\0')
        at++;
    return n - at >= length && memcmp(text + at, token, length) == 0 ? at + length : 0;
}

/* As transformers 5 writes such a word, {"__float__": "WORD"}: where the quoted word
 * begins, how long it is, and the length of all; 0: something else. */
static size_t wrapped_word(const char *text, size_t n, size_t *from, size_t *length)
{
    static const char *const before[] = {"{", "\"__float__\"", ":", "\""};
    size_t at = 0;
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        at = behind(text, n, at, before[i]);
        if (at == 0)
            return 0;
    }
    *from = at - 1;
    *length = python_word(text + at, n - at) + 2;
    at = behind(text, n, at + *length - 2, "\"");
    return *length > 2 && at == *from + *length ? behind(text, n, at, "}") : 0;
}

struct ol_json *ol_config_parse(const char *text, size_t bytes, const char *path,
                                struct ol_error *err)
{
    /* A quote before and one behind a word of three letters at least. */
    char *quoted = ol_xmalloc(bytes * 2 + 1);
    size_t n = 0;
    bool in_string = false;
    for (size_t i = 0, from, length; i < bytes;) {
        const size_t wrapped =
            in_string ? 0 : wrapped_word(text + i, bytes - i, &from, &length);
        if (wrapped > 0) {
            memcpy(quoted + n, text + i + from, length);
            n += length;
            i += wrapped;
            continue;
        }
        const size_t word = in_string ? 0 : python_word(text + i, bytes - i);
        if (word > 0)
            quoted[n++] = '"';
        else if (in_string && text[i] == '\\' && i + 1 < bytes)
            quoted[n++] = text[i++];
        else if (text[i] == '"')
            in_string = !in_string;
        const size_t some = word > 0 ? word : 1;
        memcpy(quoted + n, text + i, some);
        n += some;
        i += some;
        if (word > 0)
            quoted[n++] = '"';
    }
    struct ol_json *json = ol_json_load_text(quoted, n, path, err);
    free(quoted);
    if (json == NULL || ol_json_kind(json) == OL_JSON_OBJECT)
        return json;
    ol_fail(err, "%s: is a JSON array, expected an object", path);
    ol_json_free(json);
    return NULL;
}

struct ol_config_reads *ol_config_reads_new(void)
{
    return ol_xcalloc(1, sizeof(struct ol_config_reads));
}

void ol_config_reads_free(struct ol_config_reads *reads)
{
    if (reads != NULL)
        free(reads->keys);
    free(reads);
}

static struct read_key *find(const struct ol_config_reads *reads,
                             const struct ol_json *object, const char *key)
{
    for (size_t i = 0; i < reads->n; i++)
        if (reads->keys[i].object == object && strcmp(reads->keys[i].key, key) == 0)
            return &reads->keys[i];
    return NULL;
}

/* A word that JSON does not know stands where a number should be. */
static int check_word(struct ol_config c, const char *key, const char *expected,
                      struct ol_error *err)
{
    const struct ol_json *value = ol_json_get(c.json, key);
    const char *text =
        ol_json_kind(value) == OL_JSON_STRING ? ol_json_string(value, NULL) : "";
    const size_t n = strlen(text);
    return n == 0 || python_word(text, n) != n
               ? 0
               : ol_fail(err, "%s: key \"%s\" is %s, expected %s", c.file, key, text,
                         expected);
}

/* Note the key and give the reader of JSON its view. */
static struct ol_json_section note(struct ol_config c, const char *key, bool whole)
{
    struct ol_config_reads *r = c.reads;
    struct read_key *known = find(r, c.json, key);
    if (known != NULL) {
        known->whole = known->whole || whole;
    } else if (c.json != NULL) {
        if (r->n == r->room) {
            r->room = 2 * r->room + 64;
            r->keys = ol_xrealloc_array(r->keys, r->room, sizeof *r->keys);
        }
        r->keys[r->n++] = (struct read_key){c.json, key, whole};
    }
    return (struct ol_json_section){.file = c.file, .json = c.json};
}

/* ---- single values ---- */

int ol_config_need_int(struct ol_config c, const char *key, int64_t low, int64_t high,
                       int64_t *value, struct ol_error *err)
{
    if (check_word(c, key, "a whole number", err) != 0)
        return -1;
    return ol_json_need_int(note(c, key, false), key, low, high, value, err);
}

int ol_config_int_or(struct ol_config c, const char *key, int64_t low, int64_t high,
                     int64_t fallback, int64_t *value, struct ol_error *err)
{
    if (check_word(c, key, "a whole number", err) != 0)
        return -1;
    return ol_json_int_or(note(c, key, false), key, low, high, fallback, value, err);
}

int ol_config_bool_or(struct ol_config c, const char *key, bool fallback, bool *value,
                      struct ol_error *err)
{
    return ol_json_bool_or(note(c, key, false), key, fallback, value, err);
}

int ol_config_string_or(struct ol_config c, const char *key, const char *fallback,
                        const char **value, struct ol_error *err)
{
    return ol_json_string_or(note(c, key, false), key, fallback, value, err);
}

/* The fallback is the family's own and not checked. */
static int check_range(struct ol_config c, const char *key, struct ol_config_range range,
                       double value, struct ol_error *err)
{
    const bool given = ol_json_kind(ol_json_get(c.json, key)) != OL_JSON_NULL;
    const bool inside = range.above ? value > range.low : value >= range.low;
    if (!given || (inside && value <= range.high))
        return 0;
    return ol_fail(err, "%s: key \"%s\" is %g, expected a number %s %g and at most %g",
                   c.file, key, value, range.above ? "above" : "from", range.low,
                   range.high);
}

int ol_config_need_real(struct ol_config c, const char *key, struct ol_config_range range,
                        double *value, struct ol_error *err)
{
    if (check_word(c, key, "a finite number", err) != 0 ||
        ol_json_need_real(note(c, key, false), key, value, err) != 0)
        return -1;
    return check_range(c, key, range, *value, err);
}

int ol_config_real_or(struct ol_config c, const char *key, struct ol_config_range range,
                      double fallback, double *value, struct ol_error *err)
{
    if (check_word(c, key, "a finite number", err) != 0 ||
        ol_json_real_or(note(c, key, false), key, fallback, value, err) != 0)
        return -1;
    return check_range(c, key, range, *value, err);
}

int ol_config_expect_bool(struct ol_config c, const char *key, bool expected,
                          struct ol_error *err)
{
    bool found;
    if (ol_config_bool_or(c, key, expected, &found, err) != 0)
        return -1;
    if (found == expected)
        return 0;
    return ol_fail(err, "%s: key \"%s\" is %s, expected %s", c.file, key,
                   found ? "true" : "false", expected ? "true" : "false");
}

int ol_config_expect_string(struct ol_config c, const char *key, const char *expected,
                            struct ol_error *err)
{
    const char *found;
    if (ol_config_string_or(c, key, expected, &found, err) != 0)
        return -1;
    if (strcmp(found, expected) == 0)
        return 0;
    return ol_fail(err, "%s: key \"%s\" is \"%s\", expected \"%s\"", c.file, key, found,
                   expected);
}

/* ---- members with members ---- */

const struct ol_json *ol_config_whole(struct ol_config c, const char *key)
{
    return ol_json_get(note(c, key, true).json, key);
}

int ol_config_section(struct ol_config c, const char *key, struct ol_config *section,
                      struct ol_error *err)
{
    const struct ol_json *json = ol_json_get(note(c, key, false).json, key);
    *section = (struct ol_config){c.file, NULL, c.reads};
    if (ol_json_kind(json) == OL_JSON_NULL)
        return 0;
    if (ol_json_kind(json) != OL_JSON_OBJECT)
        return ol_fail(err, "%s: key \"%s\": expected an object or null", c.file, key);
    section->json = json;
    return 0;
}

/* ---- what nobody read ---- */

struct check {
    const char *file, *family;
    const struct ol_config_reads *reads;
    struct ol_config_notes *notes;
    struct ol_error *err;
};

static int refuse(const struct check *k, const char *path, const struct ol_json *value)
{
    enum { MOST = 80 };
    const bool word =
        ol_json_kind(value) == OL_JSON_STRING &&
        python_word(ol_json_string(value, NULL), strlen(ol_json_string(value, NULL))) > 0;
    char *text =
        word ? ol_xstrdup(ol_json_string(value, NULL)) : ol_json_dump_text(value, 0);
    ol_fail(k->err,
            "%s: key \"%s\" is %.*s%s: it changes the computation, and model_type %s is "
            "not computed so here",
            k->file, path, MOST, text, strlen(text) > MOST ? "..." : "", k->family);
    free(text);
    return -1;
}

static void append(char **names, const char *path)
{
    char *longer =
        *names == NULL ? ol_xstrdup(path) : ol_xasprintf("%s, %s", *names, path);
    free(*names);
    *names = longer;
}

/* Whether a wrapper repeats what is in its text_config, where it was read: some who write
 * configurations put copies outside. */
static bool is_copy(const struct check *k, const struct ol_json *object, const char *key,
                    const struct ol_json *value)
{
    const struct ol_json *text = ol_json_get(object, "text_config");
    if (find(k->reads, text, key) == NULL)
        return false;
    char *outside = ol_json_dump_text(value, 0),
         *inside = ol_json_dump_text(ol_json_get(text, key), 0);
    const bool same = strcmp(outside, inside) == 0;
    free(outside);
    free(inside);
    return same;
}

static int check_object(struct check *k, const char *path, const struct ol_json *object);

/* path: "" or "section.", before the key. */
static int check_member(struct check *k, const char *path, const struct ol_json *object,
                        const char *key, const struct ol_json *value)
{
    int status = 0;
    char *name = ol_xasprintf("%s%s", path, key);
    const struct read_key *read = find(k->reads, object, key);
    const enum ol_config_effect effect = ol_config_effect_of(name, object, value);
    if (effect == OL_CONFIG_ACTIVATIONS)
        append(&k->notes->activations, name);
    if (read != NULL) {
        if (!read->whole && ol_json_kind(value) == OL_JSON_OBJECT) {
            char *inner = ol_xasprintf("%s.", name);
            status = check_object(k, inner, value);
            free(inner);
        }
    } else if (is_copy(k, object, key, value)) {
        status = 0;
    } else if (effect == OL_CONFIG_CHANGES) {
        status = refuse(k, name, value);
    } else if (effect == OL_CONFIG_UNKNOWN) {
        append(&k->notes->unknown, name);
    }
    free(name);
    return status;
}

static int check_object(struct check *k, const char *path, const struct ol_json *object)
{
    struct ol_json *members = (struct ol_json *)(uintptr_t)object;
    for (void *it = ol_json_first(members); it != NULL; it = ol_json_next(members, it))
        if (check_member(k, path, object, ol_json_key(it), ol_json_value(it)) != 0)
            return -1;
    return 0;
}

int ol_config_check(struct ol_config c, const char *family, struct ol_config_notes *notes,
                    struct ol_error *err)
{
    struct check k = {c.file, family, c.reads, notes, err};
    return check_object(&k, "", c.json);
}

void ol_config_notes_clear(struct ol_config_notes *notes)
{
    free(notes->unknown);
    free(notes->activations);
    *notes = (struct ol_config_notes){0};
}
