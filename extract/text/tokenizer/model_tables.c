#include "extract/text/tokenizer/model_tables.h"

#include <stdlib.h>
#include <string.h>

#include "common/stand_in.h"
#include "common/utf8.h"

struct scanner {
    const char *name, *begin, *at, *end;
    char *string; /* the last string read, decoded */
    size_t string_bytes, string_room;
    struct ol_error *err;
};

static int fail(const struct scanner *s, const char *expected)
{
    size_t line = 1;
    const char *meaning = ol_stand_in(s->begin, (size_t)(s->end - s->begin));
    if (meaning != NULL)
        return ol_fail(s->err, "%s: %s", s->name, meaning);
    for (const char *p = s->begin; p < s->at; p++)
        line += *p == '\n';
    return ol_fail(s->err, "%s: line %zu: expected %s", s->name, line, expected);
}

static void skip_space(struct scanner *s)
{
    while (s->at < s->end &&
           (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
        s->at++;
}

/* Whether c comes next, after white space; it is then passed. */
static bool take(struct scanner *s, char c)
{
    skip_space(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

/* ---- strings ---- */

static int hex4(struct scanner *s, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        const char c = s->at < s->end ? *s->at : '\0';
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return fail(s, "four hexadecimal digits after \\u");
        *value = *value * 16 + (uint32_t)digit;
    }
    return 0;
}

static int unicode_escape(struct scanner *s, char **to)
{
    uint32_t code, low;
    if (hex4(s, &code) != 0)
        return -1;
    if (code >= 0xd800 && code < 0xdc00) {
        if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
            return fail(s, "the second half of a surrogate pair");
        s->at += 2;
        if (hex4(s, &low) != 0)
            return -1;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(s, "the second half of a surrogate pair");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return fail(s, "a character, found half a surrogate pair");
    }
    *to += ol_utf8_encode(code, *to);
    return 0;
}

static int escape(struct scanner *s, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const char c = s->at < s->end ? *s->at++ : '\0';
    const char *found = c != '\0' ? strchr(from, c) : NULL;
    if (found != NULL) {
        *(*to)++ = into[found - from];
        return 0;
    }
    return c == 'u' ? unicode_escape(s, to) : fail(s, "an escape sequence of JSON");
}

/* Past the closing quote of a string whose opening one was passed; its text as written is
 * [*first, at - 1). */
static int skip_string(struct scanner *s, const char **first, bool *escaped)
{
    *first = s->at;
    *escaped = false;
    for (; s->at < s->end && *s->at != '"'; s->at++) {
        if ((unsigned char)*s->at < 0x20)
            return fail(s, "a string without control characters");
        if (*s->at == '\\') {
            *escaped = true;
            s->at++;
        }
    }
    if (s->at >= s->end)
        return fail(s, "the end of a string");
    s->at++;
    return 0;
}

static int read_string(struct scanner *s)
{
    const char *first;
    bool escaped;
    if (!take(s, '"'))
        return fail(s, "a string");
    if (skip_string(s, &first, &escaped) != 0)
        return -1;
    const size_t n = (size_t)(s->at - 1 - first);
    if (n + 4 > s->string_room) {
        s->string_room = 2 * n + 64;
        s->string = ol_xrealloc_array(s->string, s->string_room, 1);
    }
    if (!escaped) {
        memcpy(s->string, first, n);
        s->string_bytes = n;
    } else {
        const char *past = s->at, *last = s->at - 1;
        char *to = s->string;
        s->at = first;
        while (s->at < last) {
            if (*s->at != '\\') {
                *to++ = *s->at++;
            } else {
                s->at++;
                if (escape(s, &to) != 0)
                    return -1;
            }
        }
        s->string_bytes = (size_t)(to - s->string);
        s->at = past;
    }
    return ol_utf8_valid(s->string, s->string_bytes, NULL) ? 0 : fail(s, "valid UTF-8");
}

/* ---- values ---- */

static bool ends_scalar(char c)
{
    return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\t' ||
           c == '\r' || c == ':' || c == '"' || c == '{' || c == '[';
}

/* Past any value, whose details the JSON library checks. */
static int skip_value(struct scanner *s)
{
    size_t depth = 0;
    const char *first;
    bool escaped;
    do {
        skip_space(s);
        if (s->at == s->end)
            return fail(s, "a value");
        const char c = *s->at++;
        if (c == '"') {
            if (skip_string(s, &first, &escaped) != 0)
                return -1;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth-- == 0)
                return fail(s, "a value");
        } else if (c != ',' && c != ':') {
            while (s->at < s->end && !ends_scalar(*s->at))
                s->at++;
        }
    } while (depth > 0);
    return 0;
}

static int read_id(struct scanner *s, int32_t *id)
{
    skip_space(s);
    const char *first = s->at;
    int64_t value = 0;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
        value = value < OL_MAX_TOKEN_ID ? value * 10 + (*s->at - '0') : value;
    if (s->at == first || value >= OL_MAX_TOKEN_ID)
        return fail(s, "a token id from 0 to 16777215");
    *id = (int32_t)value;
    return 0;
}

/* {"text": id, ...} */
static int read_vocab(struct scanner *s, struct ol_vocab *vocab)
{
    if (!take(s, '{'))
        return fail(s, "model.vocab to be an object of tokens and ids");
    if (take(s, '}'))
        return 0;
    do {
        int32_t id = 0;
        if (read_string(s) != 0)
            return -1;
        if (!take(s, ':'))
            return fail(s, "':'");
        if (read_id(s, &id) != 0)
            return -1;
        if (!ol_vocab_add(vocab, s->string, s->string_bytes, id))
            return fail(s, "every token of model.vocab once");
    } while (take(s, ','));
    return take(s, '}') ? 0 : fail(s, "',' or '}' in model.vocab");
}

/* Merges whose tokens are still to be looked up: two texts each. */
struct batch {
    char *texts;
    size_t used, room;
    size_t ends[OL_VOCAB_MANY];
    size_t n; /* texts */
};

static void add_text(struct batch *b, const char *text, size_t bytes)
{
    if (b->used + bytes > b->room) {
        b->room = 2 * (b->used + bytes) + 4096;
        b->texts = ol_xrealloc_array(b->texts, b->room, 1);
    }
    memcpy(b->texts + b->used, text, bytes);
    b->used += bytes;
    b->ends[b->n++] = b->used;
}

static int end_batch(struct scanner *s, const struct ol_vocab *vocab, struct batch *b,
                     struct ol_merge_list *merges, size_t *room)
{
    int32_t ids[OL_VOCAB_MANY];
    ol_vocab_find_many(vocab, b->texts, b->ends, b->n, ids);
    for (size_t i = 0; i < b->n; i += 2) {
        if (ids[i] < 0 || ids[i + 1] < 0)
            return fail(s, "model.merges to join tokens of model.vocab");
        if (merges->n == *room) {
            *room = 2 * *room + 4096;
            merges->pairs =
                ol_xrealloc_array(merges->pairs, *room, sizeof *merges->pairs);
        }
        memcpy(merges->pairs[merges->n++], ids + i, sizeof *merges->pairs);
    }
    b->n = b->used = 0;
    return 0;
}

/* "left right" or ["left", "right"] */
static int read_merge(struct scanner *s, struct batch *b)
{
    if (!take(s, '[')) {
        if (read_string(s) != 0)
            return -1;
        const char *space = memchr(s->string, ' ', s->string_bytes);
        if (space == NULL)
            return fail(s, "a merge to be two tokens with a space between");
        const size_t left = (size_t)(space - s->string);
        add_text(b, s->string, left);
        add_text(b, space + 1, s->string_bytes - left - 1);
        return 0;
    }
    if (read_string(s) != 0)
        return -1;
    add_text(b, s->string, s->string_bytes);
    if (!take(s, ','))
        return fail(s, "a merge to be two tokens");
    if (read_string(s) != 0)
        return -1;
    add_text(b, s->string, s->string_bytes);
    return take(s, ']') ? 0 : fail(s, "a merge to be two tokens");
}

static int read_merges(struct scanner *s, const struct ol_vocab *vocab,
                       struct ol_merge_list *merges)
{
    struct batch b = {0};
    size_t room = 0;
    int status = -1;
    if (!take(s, '['))
        return fail(s, "model.merges to be an array");
    if (take(s, ']'))
        return 0;
    do {
        if (read_merge(s, &b) != 0 ||
            (b.n == OL_VOCAB_MANY && end_batch(s, vocab, &b, merges, &room) != 0))
            goto out;
    } while (take(s, ','));
    if (end_batch(s, vocab, &b, merges, &room) == 0)
        status = take(s, ']') ? 0 : fail(s, "',' or ']' in model.merges");
out:
    free(b.texts);
    return status;
}

/* ---- the way to them ---- */

struct range {
    const char *first, *past;
};

/* What is filled, and where it was in the text. */
struct tables {
    struct ol_vocab *vocab;
    struct ol_merge_list *merges;
    struct range vocab_at, merges_at;
    bool model, merges_read;
};

static bool key_is(const struct scanner *s, const char *key)
{
    return s->string_bytes == strlen(key) && memcmp(s->string, key, s->string_bytes) == 0;
}

/* The object that comes next; `member` goes past the value of the key in s->string. */
static int read_object(struct scanner *s, struct tables *t,
                       int (*member)(struct scanner *s, struct tables *t))
{
    if (!take(s, '{'))
        return fail(s, "an object");
    if (take(s, '}'))
        return 0;
    do {
        if (read_string(s) != 0 || member(s, t) != 0)
            return -1;
    } while (take(s, ','));
    return take(s, '}') ? 0 : fail(s, "',' or '}'");
}

static int to_value(struct scanner *s)
{
    if (!take(s, ':'))
        return fail(s, "':'");
    skip_space(s);
    return 0;
}

/* Merges in front of the vocabulary are read when it is there. */
static int model_member(struct scanner *s, struct tables *t)
{
    enum { BYTES_PER_TOKEN = 64 }; /* of the file, or more */
    const bool vocab = key_is(s, "vocab"), merges = key_is(s, "merges");
    if (to_value(s) != 0)
        return -1;
    const char *first = s->at;
    if (vocab && s->at < s->end && *s->at == '{') {
        ol_vocab_reserve(t->vocab, (size_t)(s->end - s->begin) / BYTES_PER_TOKEN);
        if (read_vocab(s, t->vocab) != 0)
            return -1;
        t->vocab_at = (struct range){first, s->at};
    } else if (merges && t->vocab_at.first != NULL) {
        if (read_merges(s, t->vocab, t->merges) != 0)
            return -1;
        t->merges_at = (struct range){first, s->at};
        t->merges_read = true;
    } else {
        if (skip_value(s) != 0)
            return -1;
        if (merges)
            t->merges_at = (struct range){first, s->at};
    }
    return 0;
}

static int top_member(struct scanner *s, struct tables *t)
{
    const bool model = key_is(s, "model");
    if (to_value(s) != 0)
        return -1;
    if (!model || s->at == s->end || *s->at != '{')
        return skip_value(s);
    t->model = true;
    return read_object(s, t, model_member);
}

static void append(char **to, const char *first, const char *past)
{
    memcpy(*to, first, (size_t)(past - first));
    *to += past - first;
}

/* The text with the two ranges emptied. */
static char *without(const struct scanner *s, struct range vocab, struct range merges)
{
    const bool vocab_first = vocab.first < merges.first;
    const struct range a = vocab_first ? vocab : merges, b = vocab_first ? merges : vocab;
    char *rest = ol_xmalloc((size_t)(s->end - s->begin) + 5), *to = rest;
    append(&to, s->begin, a.first);
    memcpy(to, vocab_first ? "{}" : "[]", 2);
    to += 2;
    append(&to, a.past, b.first);
    memcpy(to, vocab_first ? "[]" : "{}", 2);
    to += 2;
    append(&to, b.past, s->end);
    *to = '\0';
    return rest;
}

char *ol_model_tables_read(const char *text, size_t bytes, const char *name,
                           struct ol_vocab *vocab, struct ol_merge_list *merges,
                           struct ol_error *err)
{
    struct scanner s = {
        .name = name, .begin = text, .at = text, .end = text + bytes, .err = err};
    struct tables t = {.vocab = vocab, .merges = merges};
    char *rest = NULL;
    if (read_object(&s, &t, top_member) != 0)
        goto out;
    if (!t.model) {
        ol_fail(err, "%s: key \"model\" is missing", name);
        goto out;
    }
    if (t.vocab_at.first == NULL || t.merges_at.first == NULL) {
        ol_fail(err, "%s: model has no \"%s\": expected a BPE model", name,
                t.merges_at.first == NULL ? "merges" : "vocab");
        goto out;
    }
    s.at = t.merges_at.first;
    if (!t.merges_read && read_merges(&s, vocab, merges) != 0)
        goto out;
    rest = without(&s, t.vocab_at, t.merges_at);
out:
    free(s.string);
    return rest;
}
