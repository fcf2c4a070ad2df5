#include "extract/text/tokenizer/pattern.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "common/growing_text.h"

struct ol_pattern {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* ---- one dialect to the other ---- */

/* Unicode's White_Space. PCRE2's own \s adds U+180E, which was white space once. */
#define WHITE_SPACE                                                                      \
    "\\x{09}-\\x{0d} \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}"       \
    "\\x{202f}\\x{205f}\\x{3000}"

struct translation {
    const char *from; /* next character */
    struct ol_growing_text to;
    bool in_class;
    size_t class_at;     /* where in `to` the set begins */
    const char *refused; /* what has another meaning in the two */
};

/* Whether PCRE2 knows a script of that name. */
static bool is_script(const char *name, size_t n)
{
    int code;
    size_t offset;
    char *text = ol_xasprintf("\\p{sc:%.*s}", (int)n, name);
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
                                         PCRE2_UTF, &code, &offset, NULL);
    pcre2_code_free(compiled);
    free(text);
    return compiled != NULL;
}

/* {name} of a property, {hexadecimal} of a character: the braces are part of the escape.
 * The name of a script means characters of that script; PCRE2's takes those too that
 * other scripts share with it, unless told not to. */
static void put_braces(struct translation *t, bool is_property)
{
    const char *name = t->from + 1 + (is_property && t->from[1] == '^');
    const size_t n = strcspn(name, "}");
    ol_text_append(&t->to, t->from, (size_t)(name - t->from));
    if (is_property && n > 2 && memchr(name, ':', n) == NULL && is_script(name, n))
        ol_text_append(&t->to, "sc:", 3);
    ol_text_append(&t->to, name, n);
    t->from = name + n;
    if (t->from[0] == '}')
        ol_text_append(&t->to, t->from++, 1);
}

static void put_escape(struct translation *t)
{
    const char c = t->from[1];
    if (c == 's' && t->in_class)
        ol_text_append(&t->to, WHITE_SPACE, strlen(WHITE_SPACE));
    else if (c == 's')
        ol_text_append(&t->to, "[" WHITE_SPACE "]", strlen(WHITE_SPACE) + 2);
    else if (c == 'S' && !t->in_class)
        ol_text_append(&t->to, "[^" WHITE_SPACE "]", strlen(WHITE_SPACE) + 3);
    else if (c != '\0' && (strchr("pPdDrntfx", c) != NULL ||
                           !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9'))))
        ol_text_append(&t->to, t->from, 2);
    else
        t->refused = "an escape";
    t->from += c != '\0' ? 2 : 1;
    if ((c == 'p' || c == 'P' || c == 'x') && t->from[0] == '{')
        put_braces(t, c != 'x');
}

/* The members of the second set of an intersection, from behind its '[' past its ']'. */
static void put_members(struct translation *t)
{
    if (t->from[0] == '^')
        ol_text_append(&t->to, t->from++, 1);
    if (t->from[0] == ']')
        t->refused = "an intersection with an empty set";
    while (t->from[0] != ']' && t->refused == NULL)
        if (t->from[0] == '\\')
            put_escape(t);
        else if (t->from[0] == '\0' || t->from[0] == '[' ||
                 strncmp(t->from, "&&", 2) == 0)
            t->refused = "an intersection of more than two plain sets";
        else
            ol_text_append(&t->to, t->from++, 1);
    if (t->refused == NULL)
        ol_text_append(&t->to, t->from++, 1);
}

/* [A&&[B]]: PCRE2 has no intersections; (?:(?=[B])[A]) takes the same characters. */
static void put_intersection(struct translation *t)
{
    char *first = ol_xstrdup(t->to.text + t->class_at);
    t->to.n = t->class_at;
    ol_text_append(&t->to, "(?:(?=[", 7);
    t->from += 3;
    if (first[1] == '^' || first[1] == '\0')
        t->refused = "an intersection with a negated or empty set";
    else
        put_members(t);
    if (t->refused == NULL && t->from[0] != ']')
        t->refused = "an intersection of more than two plain sets";
    if (t->refused == NULL) {
        t->from++;
        ol_text_append(&t->to, ")", 1);
        ol_text_append(&t->to, first, strlen(first));
        ol_text_append(&t->to, "])", 2);
    }
    t->in_class = false;
    free(first);
}

static void put_in_class(struct translation *t)
{
    if (strncmp(t->from, "&&[", 3) == 0) {
        put_intersection(t);
        return;
    }
    if (t->from[0] == '[')
        t->refused = "a set inside a set";
    else if (t->from[0] == '&' && t->from[1] == '&')
        t->refused = "an intersection of sets";
    t->in_class = t->from[0] != ']';
    ol_text_append(&t->to, t->from++, 1);
}

static void put_outside(struct translation *t)
{
    const char c = t->from[0];
    if (c == '^' || c == '$')
        t->refused = "an anchor";
    else if (c == '}' && t->from[1] == '+')
        t->refused = "a possessive interval";
    ol_text_append(&t->to, t->from++, 1);
    if (c != '[')
        return;
    t->in_class = true;
    t->class_at = t->to.n - 1;
    if (t->from[0] == '^')
        ol_text_append(&t->to, t->from++, 1);
    /* A bracket that comes first is a member. */
    if (t->from[0] == ']')
        ol_text_append(&t->to, t->from++, 1);
}

static char *translate(const char *expression, const char *where, struct ol_error *err)
{
    struct translation t = {.from = expression};
    ol_text_append(&t.to, "", 0);
    while (t.from[0] != '\0' && t.refused == NULL) {
        if (t.from[0] == '\\')
            put_escape(&t);
        else if (t.in_class)
            put_in_class(&t);
        else
            put_outside(&t);
    }
    if (t.refused == NULL)
        return t.to.text;
    ol_fail(err, "%s: the pattern %s has %s that is not supported", where, expression,
            t.refused);
    free(t.to.text);
    return NULL;
}

/* ---- compile and match ---- */

enum { JIT_STACK_MAX = 64 << 20 };

struct ol_pattern *ol_pattern_new(const char *expression, const char *where,
                                  struct ol_error *err)
{
    char *text = translate(expression, where, err);
    if (text == NULL)
        return NULL;
    int code;
    size_t offset;
    struct ol_pattern *p = ol_xcalloc(1, sizeof *p);
    pcre2_compile_context *compile = pcre2_compile_context_create(NULL);
    pcre2_set_newline(compile, PCRE2_NEWLINE_LF);
    p->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_UCP, &code, &offset, compile);
    pcre2_compile_context_free(compile);
    if (p->code == NULL) {
        char reason[256];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
        ol_fail(err, "%s: the pattern %s cannot be compiled: %s", where, expression,
                reason);
        free(text);
        free(p);
        return NULL;
    }
    free(text);
    /* Without the compiler for this processor matching still works, only slower. */
    pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
    p->match = pcre2_match_data_create_from_pattern(p->code, NULL);
    p->context = pcre2_match_context_create(NULL);
    p->stack = pcre2_jit_stack_create(64 << 10, JIT_STACK_MAX, NULL);
    pcre2_jit_stack_assign(p->context, NULL, p->stack);
    return p;
}

void ol_pattern_free(struct ol_pattern *p)
{
    if (p == NULL)
        return;
    pcre2_jit_stack_free(p->stack);
    pcre2_match_context_free(p->context);
    pcre2_match_data_free(p->match);
    pcre2_code_free(p->code);
    free(p);
}

static int fail_match(int code, struct ol_error *err)
{
    char reason[256];
    pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
    return ol_fail(err, "a pattern of the tokenizer cannot be matched: %s", reason);
}

int ol_pattern_find(const struct ol_pattern *p, const char *text, size_t bytes,
                    size_t from, size_t *start, size_t *end, struct ol_error *err)
{
    const int found =
        pcre2_match(p->code, (PCRE2_SPTR)text, bytes, from,
                    PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, p->match, p->context);
    if (found == PCRE2_ERROR_NOMATCH)
        return 0;
    if (found < 0)
        return fail_match(found, err);
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(p->match);
    *start = at[0];
    *end = at[1];
    return 1;
}

/* A match that did not look at the end of what is there is the same whatever follows: a
 * partial one is reported as soon as the end was looked at. */
int ol_pattern_find_open(const struct ol_pattern *p, const char *text, size_t bytes,
                         size_t from, size_t *start, size_t *end, struct ol_error *err)
{
    const int found = pcre2_match(
        p->code, (PCRE2_SPTR)text, bytes, from,
        PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | PCRE2_PARTIAL_HARD, p->match, p->context);
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(p->match);
    *start = bytes;
    if (found == PCRE2_ERROR_NOMATCH)
        return 0;
    if (found < 0 && found != PCRE2_ERROR_PARTIAL)
        return fail_match(found, err);
    *start = at[0];
    *end = at[1];
    return found != PCRE2_ERROR_PARTIAL;
}

bool ol_pattern_streams(const struct ol_pattern *p)
{
    uint32_t behind = 1;
    pcre2_pattern_info(p->code, PCRE2_INFO_MAXLOOKBEHIND, &behind);
    return behind == 0;
}
