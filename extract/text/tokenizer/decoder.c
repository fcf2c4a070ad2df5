/* Two kinds of decoders are in use. ByteLevel: tokens are bytes in the alphabet of
 * byte_level.h. Those made from SentencePiece models: a sequence of Replace, ByteFallback
 * (tokens <0xHH> are bytes), Fuse and Strip. */
#include "extract/text/tokenizer/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "common/growing_text.h"
#include "common/utf8.h"
#include "extract/text/tokenizer/byte_level.h"

struct ol_decoder {
    bool byte_level, byte_fallback, fused;
    char *from, *to; /* Replace, or NULL */
    char *strip;     /* Strip of the fused text, or NULL */
    int64_t n_strip; /* at most so often, at the start */
};

/* ---- reading ---- */

static int read_replace(struct ol_decoder *d, struct ol_json_section s,
                        struct ol_error *err)
{
    const struct ol_json_section pattern = {s.file, ol_json_get(s.json, "pattern")};
    const char *from, *to;
    if (ol_json_string_or(pattern, "String", "", &from, err) != 0 ||
        ol_json_string_or(s, "content", "", &to, err) != 0)
        return -1;
    if (*from == '\0' || d->from != NULL)
        return ol_fail(err,
                       "%s: decoder Replace: expected one, with a pattern {\"String\": "
                       "...}",
                       s.file);
    d->from = ol_xstrdup(from);
    d->to = ol_xstrdup(to);
    return 0;
}

static int read_strip(struct ol_decoder *d, struct ol_json_section s,
                      struct ol_error *err)
{
    const char *content;
    int64_t stop;
    if (ol_json_string_or(s, "content", "", &content, err) != 0 ||
        ol_json_int_or(s, "start", 0, 1000, 0, &d->n_strip, err) != 0 ||
        ol_json_int_or(s, "stop", 0, 1000, 0, &stop, err) != 0)
        return -1;
    if (stop != 0 || !d->fused || *content == '\0')
        return ol_fail(err,
                       "%s: decoder Strip is supported behind Fuse, at the start of the "
                       "text only",
                       s.file);
    d->strip = ol_xstrdup(content);
    return 0;
}

static int read_part(struct ol_decoder *d, struct ol_json_section s, struct ol_error *err)
{
    const char *type;
    if (ol_json_string_or(s, "type", "", &type, err) != 0)
        return -1;
    if (strcmp(type, "Sequence") == 0) {
        const struct ol_json *list = ol_json_get(s.json, "decoders");
        for (size_t i = 0; i < ol_json_length(list); i++)
            if (read_part(d, (struct ol_json_section){s.file, ol_json_at(list, i)},
                          err) != 0)
                return -1;
        return 0;
    }
    if (strcmp(type, "Replace") == 0)
        return read_replace(d, s, err);
    if (strcmp(type, "Strip") == 0)
        return read_strip(d, s, err);
    bool *const flag = strcmp(type, "ByteLevel") == 0      ? &d->byte_level
                       : strcmp(type, "ByteFallback") == 0 ? &d->byte_fallback
                       : strcmp(type, "Fuse") == 0         ? &d->fused
                                                           : NULL;
    if (flag == NULL)
        return ol_fail(err,
                       "%s: decoder of type \"%s\" is not supported; known are "
                       "ByteLevel, Replace, ByteFallback, Fuse, Strip, Sequence",
                       s.file, type);
    *flag = true;
    return 0;
}

struct ol_decoder *ol_decoder_new(struct ol_json_section section, struct ol_error *err)
{
    struct ol_decoder *d = ol_xcalloc(1, sizeof *d);
    if (ol_json_kind(section.json) == OL_JSON_NULL)
        ol_fail(err, "%s: key \"decoder\" is missing", section.file);
    else if (read_part(d, section, err) == 0)
        return d;
    ol_decoder_free(d);
    return NULL;
}

void ol_decoder_free(struct ol_decoder *d)
{
    if (d == NULL)
        return;
    free(d->strip);
    free(d->to);
    free(d->from);
    free(d);
}

/* ---- running ---- */

/* The bytes that a byte-level token stands for; one outside the alphabet is its text. */
static void append_bytes(struct ol_growing_text *t, struct ol_token_text token)
{
    char *bytes = ol_xmalloc(token.bytes);
    const size_t n = ol_byte_level_bytes(token.text, token.bytes, bytes);
    if (n != (size_t)-1)
        ol_text_append(t, bytes, n);
    else
        ol_text_append(t, token.text, token.bytes);
    free(bytes);
}

/* <0xHH> as its byte, or -1. */
static int fallback_byte(struct ol_token_text token)
{
    if (token.bytes != 6 || memcmp(token.text, "<0x", 3) != 0 || token.text[5] != '>')
        return -1;
    const char digits[3] = {token.text[3], token.text[4], '\0'};
    char *end;
    const long byte = strtol(digits, &end, 16);
    return end == digits + 2 && digits[0] != '+' && digits[0] != '-' ? (int)byte : -1;
}

/* A run of byte tokens: their text, or one U+FFFD for each when it is no UTF-8. */
static void append_run(struct ol_growing_text *t, struct ol_growing_text *run)
{
    if (run->n == 0)
        return;
    if (ol_utf8_valid(run->text, run->n, NULL))
        ol_text_append(t, run->text, run->n);
    else
        for (size_t i = 0; i < run->n; i++)
            ol_text_append(t, "\xef\xbf\xbd", 3);
    run->n = 0;
}

static void decode_pieces(const struct ol_decoder *d, const struct ol_token_text *tokens,
                          size_t n, struct ol_growing_text *t)
{
    struct ol_growing_text run = {0};
    for (size_t i = 0; i < n; i++) {
        const int byte = d->byte_fallback ? fallback_byte(tokens[i]) : -1;
        if (byte >= 0) {
            const char c = (char)byte;
            ol_text_append(&run, &c, 1);
            continue;
        }
        append_run(t, &run);
        ol_text_append(t, tokens[i].text, tokens[i].bytes);
    }
    append_run(t, &run);
    free(run.text);
}

static void replace(const struct ol_decoder *d, struct ol_growing_text *t)
{
    const size_t n = strlen(d->from), m = strlen(d->to);
    struct ol_growing_text result = {0};
    ol_text_append(&result, "", 0);
    for (size_t i = 0; i < t->n;) {
        if (t->n - i >= n && memcmp(t->text + i, d->from, n) == 0) {
            ol_text_append(&result, d->to, m);
            i += n;
        } else {
            ol_text_append(&result, t->text + i++, 1);
        }
    }
    free(t->text);
    *t = result;
}

static void strip(const struct ol_decoder *d, struct ol_growing_text *t)
{
    const size_t n = strlen(d->strip);
    size_t from = 0;
    for (int64_t k = 0;
         k < d->n_strip && t->n - from >= n && memcmp(t->text + from, d->strip, n) == 0;
         k++)
        from += n;
    memmove(t->text, t->text + from, t->n - from + 1);
    t->n -= from;
}

char *ol_decoder_run(const struct ol_decoder *d, const struct ol_token_text *tokens,
                     size_t n, bool whole, size_t *result_bytes)
{
    struct ol_growing_text t = {0};
    ol_text_append(&t, "", 0);
    if (d->byte_level) {
        for (size_t i = 0; i < n; i++)
            append_bytes(&t, tokens[i]);
        char *text = ol_utf8_lossy(t.text, t.n, result_bytes);
        free(t.text);
        return text;
    }
    decode_pieces(d, tokens, n, &t);
    if (d->from != NULL)
        replace(d, &t);
    if (whole && d->strip != NULL)
        strip(d, &t);
    *result_bytes = t.n;
    return t.text;
}
