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

int ol_added_split(const struct ol_added *a, const char *text, size_t bytes,
                   int (*piece)(void *arg, const char *text, size_t bytes, int32_t id),
                   void *arg)
{
    size_t done = 0;
    for (size_t at = 0; at < bytes;) {
        size_t end = 0;
        const int32_t found =
            a->begins[(uint8_t)text[at]] ? match(a, text, bytes, at, &end) : -1;
        if (found < 0) {
            at++;
            continue;
        }
        const struct token *token = &a->tokens[found];
        size_t start = at;
        at = end;
        if (token->is.single_word && !stands_alone(text, bytes, start, end))
            continue;
        if (token->is.lstrip)
            start = strip_left(text, done, start);
        if (token->is.rstrip)
            end = strip_right(text, bytes, end);
        int status = 0;
        if (done < start)
            status = piece(arg, text + done, start - done, -1);
        if (status == 0)
            status = piece(arg, text + start, end - start, token->id);
        if (status != 0)
            return status;
        done = end;
        at = end > at ? end : at;
    }
    return done < bytes ? piece(arg, text + done, bytes - done, -1) : 0;
}
