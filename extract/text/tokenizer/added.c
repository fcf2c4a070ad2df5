#include "extract/text/tokenizer/added.h"

#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/utf8.h"
#include "extract/text/tokenizer/unicode.h"

/* A tree of bytes; children of a node are a list. */
struct node {
    int32_t child, sibling; /* nodes, or 0 */
    int32_t token;          /* or -1 */
    uint8_t byte;
};

struct token {
    int32_t id;
    struct ol_added_flags is;
};

struct ol_added {
    struct node *nodes; /* nodes[0] is the root */
    int32_t n_nodes, node_room;
    struct token *tokens;
    int32_t n_tokens;
    bool begins[256]; /* some token begins with that byte */
    size_t longest;   /* bytes of a token */
    bool lstrip;      /* of some token */
};

static int32_t add_node(struct ol_added *a, uint8_t byte)
{
    if (a->n_nodes == a->node_room) {
        a->node_room = 2 * a->node_room + 64;
        a->nodes = ol_xrealloc_array(a->nodes, (size_t)a->node_room, sizeof *a->nodes);
    }
    a->nodes[a->n_nodes] = (struct node){.token = -1, .byte = byte};
    return a->n_nodes++;
}

struct ol_added *ol_added_new(void)
{
    struct ol_added *a = ol_xcalloc(1, sizeof *a);
    add_node(a, 0);
    return a;
}

void ol_added_free(struct ol_added *a)
{
    if (a == NULL)
        return;
    free(a->tokens);
    free(a->nodes);
    free(a);
}

static int32_t find_child(const struct ol_added *a, int32_t node, uint8_t byte)
{
    int32_t child = a->nodes[node].child;
    while (child != 0 && a->nodes[child].byte != byte)
        child = a->nodes[child].sibling;
    return child;
}

void ol_added_put(struct ol_added *a, const char *text, size_t bytes, int32_t id,
                  struct ol_added_flags flags)
{
    int32_t at = 0;
    for (size_t i = 0; i < bytes; i++) {
        int32_t child = find_child(a, at, (uint8_t)text[i]);
        if (child == 0) {
            child = add_node(a, (uint8_t)text[i]);
            a->nodes[child].sibling = a->nodes[at].child;
            a->nodes[at].child = child;
        }
        at = child;
    }
    if (bytes == 0 || a->nodes[at].token >= 0)
        return;
    a->begins[(uint8_t)text[0]] = true;
    a->longest = bytes > a->longest ? bytes : a->longest;
    a->lstrip = a->lstrip || flags.lstrip;
    a->tokens = ol_xrealloc_array(a->tokens, (size_t)a->n_tokens + 1, sizeof *a->tokens);
    a->tokens[a->n_tokens] = (struct token){id, flags};
    a->nodes[at].token = a->n_tokens++;
}

/* The longest token that begins here, or -1; *end is behind it. */
static int32_t match(const struct ol_added *a, const char *text, size_t bytes,
                     size_t from, size_t *end)
{
    int32_t found = -1, at = 0;
    for (size_t i = from; i < bytes; i++) {
        at = find_child(a, at, (uint8_t)text[i]);
        if (at == 0)
            break;
        if (a->nodes[at].token >= 0) {
            found = a->nodes[at].token;
            *end = i + 1;
        }
    }
    return found;
}

static size_t character_before(const char *text, size_t at)
{
    size_t start = at - 1;
    while (start > 0 && ((unsigned char)text[start] & 0xc0) == 0x80)
        start--;
    return start;
}

static bool stands_alone(const char *text, size_t bytes, size_t start, size_t end)
{
    uint32_t code;
    if (start > 0) {
        const size_t before = character_before(text, start);
        if (ol_utf8_decode(text + before, start - before, &code) > 0 &&
            ol_unicode_is_word(code))
            return false;
    }
    return !(end < bytes && ol_utf8_decode(text + end, bytes - end, &code) > 0 &&
             ol_unicode_is_word(code));
}

static size_t strip_left(const char *text, size_t least, size_t start)
{
    uint32_t code;
    while (start > least) {
        const size_t before = character_before(text, start);
        if (ol_utf8_decode(text + before, start - before, &code) == 0 ||
            !ol_unicode_is_space(code) || before < least)
            break;
        start = before;
    }
    return start;
}

static size_t strip_right(const char *text, size_t bytes, size_t end)
{
    uint32_t code;
    while (end < bytes) {
        const size_t n = ol_utf8_decode(text + end, bytes - end, &code);
        if (n == 0 || !ol_unicode_is_space(code))
            break;
        end += n;
    }
    return end;
}

/* Where the last stretch may end, `least` or behind: no token that is not known in full,
 * nor the white space that it may swallow, begins before. */
static size_t last_cut(const struct ol_added *a, const struct ol_added_text *t,
                       size_t least)
{
    enum { CHARACTER = 4 }; /* bytes at most, of what stands behind a token */
    if (t->is_last)
        return t->bytes;
    const size_t unknown = a->longest > 0 ? a->longest + CHARACTER : 0;
    size_t at = t->bytes > least + unknown ? t->bytes - unknown : least, before;
    do {
        before = at;
        while (at > least && at < t->bytes && ((unsigned char)t->text[at] & 0xc0) == 0x80)
            at--;
        while (t->may_cut != NULL && at > least &&
               (at == t->bytes || !t->may_cut(t->arg, t->text, t->bytes, at)))
            at = character_before(t->text, at);
        if (a->lstrip)
            at = strip_left(t->text, least, at);
    } while (at < before);
    return at;
}

struct found {
    size_t start, end;
    const struct token *token;
};

/* The next token that begins before `limit`, at or after *at; white space that it
 * swallows is part of it. */
static bool find_token(const struct ol_added *a, const struct ol_added_text *t,
                       size_t done, size_t at, size_t limit, struct found *f)
{
    for (; at < limit; at++) {
        const int32_t found = a->begins[(uint8_t)t->text[at]]
                                  ? match(a, t->text, t->bytes, at, &f->end)
                                  : -1;
        if (found < 0)
            continue;
        f->token = &a->tokens[found];
        f->start = at;
        if (f->token->is.single_word &&
            !stands_alone(t->text, t->bytes, f->start, f->end)) {
            at = f->end - 1;
            continue;
        }
        if (f->token->is.lstrip)
            f->start = strip_left(t->text, done, f->start);
        if (f->token->is.rstrip)
            f->end = strip_right(t->text, t->bytes, f->end);
        return true;
    }
    return false;
}

int ol_added_split(const struct ol_added *a, const struct ol_added_text *t,
                   int (*piece)(void *arg, const char *text, size_t bytes, int32_t id,
                                bool is_end),
                   void *arg, size_t *done)
{
    const size_t limit = last_cut(a, t, t->from);
    struct found f;
    int status = 0;
    *done = t->from;
    while (status == 0 && find_token(a, t, *done, *done, limit, &f)) {
        if (!t->is_last && f.token->is.rstrip && f.end == t->bytes)
            return 0; /* it may swallow more */
        if (*done < f.start)
            status = piece(arg, t->text + *done, f.start - *done, -1, true);
        if (status == 0)
            status = piece(arg, t->text + f.start, f.end - f.start, f.token->id, true);
        *done = f.end;
    }
    if (status == 0 && *done < limit) {
        status = piece(arg, t->text + *done, limit - *done, -1, t->is_last);
        *done = limit;
    }
    return status;
}
