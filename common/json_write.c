/* JSON as text. */
#include "common/json.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/growing_text.h"
#include "common/number.h"
#include "common/utf8.h"

static void put_line(struct ol_growing_text *t, int indent, int depth)
{
    if (indent == 0)
        return;
    ol_text_append(t, "\n", 1);
    for (int i = 0; i < indent * depth; i++)
        ol_text_append(t, " ", 1);
}

/* With a fraction or an exponent, so that it is read back as a real. */
static void put_real(struct ol_growing_text *t, double value)
{
    struct ol_number digits = ol_number_shortest(value);
    if (strpbrk(digits.text, ".en") == NULL)
        strcat(digits.text, ".0");
    ol_text_append(t, digits.text, strlen(digits.text));
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

static void put_escape(struct ol_growing_text *t, uint32_t code)
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
    ol_text_append(t, escape, strlen(escape));
}

/* Escapes what JSON wants escaped and, so that a printed file cannot command a terminal
 * or turn a line around, every character that acts; a reader gets each of them back. */
static void put_string(struct ol_growing_text *t, const char *string, size_t bytes)
{
    ol_text_append(t, "\"", 1);
    for (size_t i = 0, n; i < bytes; i += n) {
        uint32_t code = 0;
        n = ol_utf8_decode(string + i, bytes - i, &code);
        assert(n > 0); /* the library holds valid strings only */
        if (short_escape(code) != 0 || ol_utf8_acts(code))
            put_escape(t, code);
        else
            ol_text_append(t, string + i, n);
    }
    ol_text_append(t, "\"", 1);
}

static bool all_scalar(const struct ol_json *array)
{
    for (size_t i = 0; i < ol_json_length(array); i++) {
        const enum ol_json_kind kind = ol_json_kind(ol_json_at(array, i));
        if (kind == OL_JSON_ARRAY || kind == OL_JSON_OBJECT)
            return false;
    }
    return true;
}

static void put_value(struct ol_growing_text *t, const struct ol_json *json, int indent,
                      int depth);

/* An array of plain values is one line. */
static void put_array(struct ol_growing_text *t, const struct ol_json *array, int indent,
                      int depth)
{
    const int inner = all_scalar(array) ? 0 : indent;
    ol_text_append(t, "[", 1);
    for (size_t i = 0; i < ol_json_length(array); i++) {
        if (i > 0)
            ol_text_append(t, indent > 0 && inner == 0 ? ", " : ",",
                           indent > 0 && inner == 0 ? 2 : 1);
        put_line(t, inner, depth + 1);
        put_value(t, ol_json_at(array, i), indent, depth + 1);
    }
    if (ol_json_length(array) > 0)
        put_line(t, inner, depth);
    ol_text_append(t, "]", 1);
}

static void put_object(struct ol_growing_text *t, const struct ol_json *object,
                       int indent, int depth)
{
    struct ol_json *members = (struct ol_json *)(uintptr_t)object;
    const char *separator = "";
    ol_text_append(t, "{", 1);
    for (void *it = ol_json_first(members); it != NULL; it = ol_json_next(members, it)) {
        const char *key = ol_json_key(it);
        ol_text_append(t, separator, strlen(separator));
        put_line(t, indent, depth + 1);
        put_string(t, key, strlen(key));
        ol_text_append(t, ": ", indent > 0 ? 2 : 1);
        put_value(t, ol_json_value(it), indent, depth + 1);
        separator = ",";
    }
    if (*separator != '\0')
        put_line(t, indent, depth);
    ol_text_append(t, "}", 1);
}

static void put_int(struct ol_growing_text *t, int64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, value);
    ol_text_append(t, digits, strlen(digits));
}

static void put_value(struct ol_growing_text *t, const struct ol_json *json, int indent,
                      int depth)
{
    const char *word = "null", *text;
    size_t bytes;
    switch (ol_json_kind(json)) {
    case OL_JSON_OBJECT:
        put_object(t, json, indent, depth);
        return;
    case OL_JSON_ARRAY:
        put_array(t, json, indent, depth);
        return;
    case OL_JSON_REAL:
        put_real(t, ol_json_real(json));
        return;
    case OL_JSON_INT:
        put_int(t, ol_json_int(json));
        return;
    case OL_JSON_STRING:
        text = ol_json_string(json, &bytes);
        put_string(t, text, bytes);
        return;
    case OL_JSON_BOOL:
        word = ol_json_bool(json) ? "true" : "false";
        break;
    case OL_JSON_NULL:
        break;
    }
    ol_text_append(t, word, strlen(word));
}

char *ol_json_dump_text(const struct ol_json *json, int indent)
{
    struct ol_growing_text t = {0};
    put_value(&t, json, indent, 0);
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
