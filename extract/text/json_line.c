#include "extract/text/json_line.h"

#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

enum {
    MOST_DEPTH = 512,
    MOST_KEYS = 8, /* in a message */
    MOST_KEY_BYTES = 60,
};

/* A key and those of the objects around; NULL text: an element of an array. */
struct key {
    const struct key *outer;
    const char *text; /* as written, between its quotes */
    size_t bytes;
};

struct scan {
    const char *start, *at, *end;
    int depth;
    const char *expected;   /* at `at`; NULL: nothing is wrong */
    const struct key *keys; /* of the value that is being read */
    int64_t n_keys;         /* that were read */
    /* Called for every value that is no object; string: its text between its quotes. */
    void (*value)(void *arg, const struct key *keys, const char *string, size_t bytes);
    void *arg;
};

static bool refuse(struct scan *s, const char *expected)
{
    s->expected = expected;
    return false;
}

static char peek(const struct scan *s)
{
    return s->at < s->end ? *s->at : '\0';
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && strchr(" \t\n\r", *s->at) != NULL && *s->at != '\0')
        s->at++;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The value of a hexadecimal digit, or -1. */
static int hex_digit(char c)
{
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* ---- the grammar ---- */

static bool scan_escape(struct scan *s)
{
    s->at++;
    const char c = peek(s);
    if (c != 'u')
        return c != '\0' && strchr("\"\\/bfnrt", c) != NULL
                   ? (s->at++, true)
                   : refuse(s, "an escape that JSON has");
    s->at++;
    for (int i = 0; i < 4; i++, s->at++)
        if (s->at == s->end || hex_digit(*s->at) < 0)
            return refuse(s, "four hexadecimal digits");
    return true;
}

/* *text: what stands between the quotes. */
static bool scan_string(struct scan *s, const char **text, size_t *bytes)
{
    *text = ++s->at;
    while (s->at < s->end && *s->at != '"') {
        if ((unsigned char)*s->at < 0x20)
            return refuse(s, "no control character in a string");
        if (*s->at != '\\')
            s->at++;
        else if (!scan_escape(s))
            return false;
    }
    if (s->at == s->end)
        return refuse(s, "the end of the string");
    *bytes = (size_t)(s->at++ - *text);
    return true;
}

static bool scan_digits(struct scan *s)
{
    if (!is_digit(peek(s)))
        return refuse(s, "a digit");
    while (is_digit(peek(s)))
        s->at++;
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    for (; *word != '\0'; word++, s->at++)
        if (peek(s) != *word)
            return refuse(s, "a value");
    return true;
}

static bool scan_number(struct scan *s)
{
    if (peek(s) == '-')
        s->at++;
    if (peek(s) == 'I')
        return scan_word(s, "Infinity");
    if (peek(s) == '0')
        s->at++;
    else if (!scan_digits(s))
        return false;
    if (peek(s) == '.') {
        s->at++;
        if (!scan_digits(s))
            return false;
    }
    if (peek(s) != 'e' && peek(s) != 'E')
        return true;
    s->at++;
    if (peek(s) == '+' || peek(s) == '-')
        s->at++;
    return scan_digits(s);
}

static bool scan_value(struct scan *s);

static bool scan_named(struct scan *s, const struct key *key)
{
    const struct key *outer = s->keys;
    s->keys = key;
    const bool good = scan_value(s);
    s->keys = outer;
    return good;
}

static bool scan_member(struct scan *s)
{
    struct key key = {.outer = s->keys};
    if (peek(s) != '"')
        return refuse(s, "a key in quotes");
    if (!scan_string(s, &key.text, &key.bytes))
        return false;
    skip_space(s);
    if (peek(s) != ':')
        return refuse(s, "a colon");
    s->at++;
    s->n_keys++;
    return scan_named(s, &key);
}

static bool scan_element(struct scan *s)
{
    const struct key nameless = {.outer = s->keys};
    return scan_named(s, &nameless);
}

/* Members or elements up to the closing bracket. */
static bool scan_list(struct scan *s, char closing, bool (*one)(struct scan *s))
{
    if (++s->depth > MOST_DEPTH)
        return refuse(s, "no value nested so deeply");
    s->at++;
    skip_space(s);
    while (peek(s) != closing) {
        if (!one(s))
            return false;
        skip_space(s);
        if (peek(s) == closing)
            break;
        if (peek(s) != ',')
            return refuse(s, closing == '}' ? "a comma or }" : "a comma or ]");
        s->at++;
        skip_space(s);
        if (peek(s) == closing)
            return refuse(s, closing == '}' ? "a key in quotes" : "a value");
    }
    s->at++;
    s->depth--;
    return true;
}

static bool scan_value(struct scan *s)
{
    const char *string = NULL;
    size_t bytes = 0;
    bool good;
    skip_space(s);
    switch (peek(s)) {
    case '{':
        return scan_list(s, '}', scan_member);
    case '[':
        good = scan_list(s, ']', scan_element);
        break;
    case '"':
        good = scan_string(s, &string, &bytes);
        break;
    case 't':
        good = scan_word(s, "true");
        break;
    case 'f':
        good = scan_word(s, "false");
        break;
    case 'n':
        good = scan_word(s, "null");
        break;
    case 'N':
        good = scan_word(s, "NaN");
        break;
    default:
        good = peek(s) == '-' || peek(s) == 'I' || is_digit(peek(s))
                   ? scan_number(s)
                   : refuse(s, "a value");
    }
    if (good && s->value != NULL)
        s->value(s->arg, s->keys, string, bytes);
    return good;
}

/* ---- strings ---- */

static uint32_t four_digits(const char *text)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 4 | (uint32_t)hex_digit(text[i]);
    return value;
}

/* The character of \uXXXX at `at`, with its other half behind it; *n: bytes read. */
static uint32_t decode_u(const char *at, const char *end, size_t *n,
                         int64_t *n_surrogates)
{
    const uint32_t code = four_digits(at + 2);
    *n = 6;
    if (code < 0xd800 || code > 0xdfff)
        return code;
    if (code <= 0xdbff && end - at >= 12 && at[6] == '\\' && at[7] == 'u') {
        const uint32_t low = four_digits(at + 8);
        if (low >= 0xdc00 && low <= 0xdfff) {
            *n = 12;
            return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    ++*n_surrogates;
    return 0xfffd;
}

/* What a string of JSON means, in at most as many bytes; returns how many. */
static size_t decode(const char *from, size_t bytes, char *to, int64_t *n_surrogates)
{
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    const char *end = from + bytes;
    char *out = to;
    while (from < end) {
        const char *escape = memchr(from, '\\', (size_t)(end - from));
        const size_t plain = (size_t)((escape != NULL ? escape : end) - from);
        memcpy(out, from, plain);
        out += plain;
        from += plain;
        if (escape == NULL)
            break;
        if (from[1] == 'u') {
            size_t n;
            out += ol_utf8_encode(decode_u(from, end, &n, n_surrogates), out);
            from += n;
            continue;
        }
        const char *letter = strchr(letters, from[1]);
        *out++ = letter != NULL ? meanings[letter - letters] : from[1];
        from += 2;
    }
    return (size_t)(out - to);
}

/* ---- a field ---- */

struct wanted {
    const char *field;
    const char *string; /* of the last value that was found there */
    size_t bytes;
    bool found;
};

/* Whether keys joined by dots are the n bytes of name. */
static bool are_called(const struct key *keys, const char *name, size_t n)
{
    if (keys == NULL || keys->text == NULL)
        return false;
    const bool escapes = memchr(keys->text, '\\', keys->bytes) != NULL;
    char *plain = escapes ? ol_xmalloc(keys->bytes) : NULL;
    int64_t surrogates = 0;
    const size_t m =
        escapes ? decode(keys->text, keys->bytes, plain, &surrogates) : keys->bytes;
    const bool ends =
        m <= n && memcmp(name + n - m, escapes ? plain : keys->text, m) == 0;
    free(plain);
    if (!ends || keys->outer == NULL)
        return ends && m == n;
    return n > m && name[n - m - 1] == '.' && are_called(keys->outer, name, n - m - 1);
}

static void find(void *arg, const struct key *keys, const char *string, size_t bytes)
{
    struct wanted *w = arg;
    if (!are_called(keys, w->field, strlen(w->field)))
        return;
    w->found = true;
    w->string = string;
    w->bytes = bytes;
}

struct key_list {
    char *text;
    int n;
};

static char *joined(const struct key *keys)
{
    if (keys->outer == NULL)
        return ol_xstrndup(keys->text, keys->bytes);
    char *outer = joined(keys->outer);
    char *all = ol_xasprintf("%s.%.*s", outer, (int)keys->bytes, keys->text);
    free(outer);
    return all;
}

static void list_key(void *arg, const struct key *keys, const char *string, size_t bytes)
{
    struct key_list *list = arg;
    (void)bytes;
    size_t length = 0;
    for (const struct key *k = keys; k != NULL; k = k->outer) {
        length += k->bytes + 1;
        if (k->text == NULL || length > MOST_KEY_BYTES)
            return;
    }
    if (string == NULL || keys == NULL || list->n++ >= MOST_KEYS)
        return;
    char *name = joined(keys);
    char *longer = list->n == MOST_KEYS ? ol_xasprintf("%s, ...", list->text)
                                        : ol_xasprintf("%s%s\"%s\"", list->text,
                                                       list->n > 1 ? ", " : "", name);
    free(name);
    free(list->text);
    list->text = longer;
}

char *ol_json_string_keys(const char *text, size_t bytes)
{
    struct key_list list = {.text = ol_xstrdup("")};
    struct scan s = {
        .start = text, .at = text, .end = text + bytes, .value = list_key, .arg = &list};
    scan_value(&s);
    return list.text;
}

static int fail_without(const char *line, size_t bytes, const char *field,
                        const char *place, struct ol_error *err)
{
    char *keys = ol_json_string_keys(line, bytes);
    ol_fail(err, "%s: there is no \"%s\"; %s%s (--text-field)", place, field,
            *keys != '\0' ? "texts are under " : "no key has a text", keys);
    free(keys);
    return -1;
}

static int fail_scan(const struct scan *s, const char *place, struct ol_error *err)
{
    const size_t column = (size_t)(s->at - s->start) + 1;
    if (s->at == s->end && s->start < s->end && *s->start == '{')
        return ol_fail(err,
                       "%s: no JSON: the object does not end on its line (expected %s at "
                       "byte %zu); `jq -c .` writes one object per line",
                       place, s->expected, column);
    return ol_fail(err, "%s: no JSON: expected %s at byte %zu", place, s->expected,
                   column);
}

int ol_json_line_read(struct ol_json_line *l, const char *line, size_t bytes,
                      const char *field, const char *place, struct ol_error *err)
{
    size_t offset;
    if (!ol_utf8_valid(line, bytes, &offset))
        return ol_fail(err, "%s: byte %zu of the line is no valid UTF-8", place,
                       offset + 1);
    struct wanted w = {.field = field};
    struct scan s = {
        .start = line, .at = line, .end = line + bytes, .value = find, .arg = &w};
    bool good = scan_value(&s);
    if (good) {
        skip_space(&s);
        good = s.at == s.end || refuse(&s, "the end of the line");
    }
    if (!good)
        return fail_scan(&s, place, err);
    const char *first = line + strspn(line, " \t");
    if (first < s.end && *first != '{')
        return ol_fail(err, "%s: expected an object with a string \"%s\"", place, field);
    if (!w.found)
        return fail_without(line, bytes, field, place, err);
    if (w.string == NULL)
        return ol_fail(err, "%s: expected an object with a string \"%s\"", place, field);
    if (w.bytes > l->room) {
        l->room = 2 * w.bytes;
        l->text = ol_xrealloc_array(l->text, l->room, 1);
    }
    l->bytes = decode(w.string, w.bytes, l->text, &l->n_surrogates);
    return 0;
}

void ol_json_line_clear(struct ol_json_line *l)
{
    free(l->text);
    *l = (struct ol_json_line){0};
}

/* ---- a beginning ---- */

enum ol_json_beginning ol_json_beginning(const char *text, size_t bytes, bool is_all)
{
    struct scan s = {.start = text, .at = text, .end = text + bytes};
    skip_space(&s);
    const char first = peek(&s);
    if (first != '{' && first != '[')
        return OL_BEGINS_NO_JSON;
    struct scan inside = s;
    inside.at++;
    skip_space(&inside);
    const char second = peek(&inside);
    bool good = scan_value(&s);
    if (!good && !(s.at == s.end && !is_all))
        return OL_BEGINS_NO_JSON;
    if (first == '{')
        return s.n_keys > 0 ? OL_BEGINS_OBJECT : OL_BEGINS_NO_JSON;
    skip_space(&s);
    const bool lists = second == '{' || second == '[' || second == '"';
    return lists && (s.at == s.end || peek(&s) == first) ? OL_BEGINS_ARRAY
                                                         : OL_BEGINS_NO_JSON;
}
