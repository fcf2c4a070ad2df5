#include "extract/text/tokenizer/normaliser.h"

#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "extract/text/tokenizer/unicode.h"

struct step {
    enum { FORM, PREPEND, REPLACE } kind;
    enum ol_normal_form form;
    char *from, *to;
};

struct ol_normaliser {
    struct step *steps;
    int n;
};

static struct step *add_step(struct ol_normaliser *n)
{
    n->steps = ol_xrealloc_array(n->steps, (size_t)n->n + 1, sizeof *n->steps);
    n->steps[n->n] = (struct step){0};
    return &n->steps[n->n++];
}

/* {"String": text}; a regular expression is not supported here. */
static int read_pattern(struct ol_json_section s, const char **text, struct ol_error *err)
{
    const struct ol_json_section pattern = {s.file, ol_json_get(s.json, "pattern")};
    if (ol_json_string_or(pattern, "String", "", text, err) != 0)
        return -1;
    if (**text == '\0')
        return ol_fail(
            err, "%s: normalizer Replace: expected a pattern {\"String\": ...}", s.file);
    return 0;
}

static int read_step(struct ol_normaliser *n, struct ol_json_section s,
                     struct ol_error *err)
{
    static const char *const forms[] = {
        [OL_NFC] = "NFC", [OL_NFD] = "NFD", [OL_NFKC] = "NFKC", [OL_NFKD] = "NFKD"};
    const char *type, *from = "", *to;
    if (ol_json_kind(s.json) == OL_JSON_NULL)
        return 0;
    if (ol_json_string_or(s, "type", "", &type, err) != 0)
        return -1;
    for (int form = OL_NFC; form <= OL_NFKD; form++)
        if (strcmp(type, forms[form]) == 0) {
            struct step *step = add_step(n);
            step->kind = FORM;
            step->form = (enum ol_normal_form)form;
            return 0;
        }
    if (strcmp(type, "Sequence") == 0) {
        const struct ol_json *list = ol_json_get(s.json, "normalizers");
        for (size_t i = 0; i < ol_json_length(list); i++)
            if (read_step(n, (struct ol_json_section){s.file, ol_json_at(list, i)},
                          err) != 0)
                return -1;
        return 0;
    }
    const bool prepend = strcmp(type, "Prepend") == 0;
    if (!prepend && strcmp(type, "Replace") != 0)
        return ol_fail(err,
                       "%s: normalizer of type \"%s\" is not supported; known are NFC, "
                       "NFD, NFKC, NFKD, Prepend, Replace, Sequence",
                       s.file, type);
    if ((!prepend && read_pattern(s, &from, err) != 0) ||
        ol_json_string_or(s, prepend ? "prepend" : "content", "", &to, err) != 0)
        return -1;
    struct step *step = add_step(n);
    step->kind = prepend ? PREPEND : REPLACE;
    step->from = ol_xstrdup(from);
    step->to = ol_xstrdup(to);
    return 0;
}

struct ol_normaliser *ol_normaliser_new(struct ol_json_section section,
                                        struct ol_error *err)
{
    struct ol_normaliser *n = ol_xcalloc(1, sizeof *n);
    if (read_step(n, section, err) == 0)
        return n;
    ol_normaliser_free(n);
    return NULL;
}

void ol_normaliser_free(struct ol_normaliser *n)
{
    if (n == NULL)
        return;
    for (int i = 0; i < n->n; i++) {
        free(n->steps[i].from);
        free(n->steps[i].to);
    }
    free(n->steps);
    free(n);
}

char *ol_text_replace(const char *text, size_t bytes, const char *from, const char *to,
                      size_t *result_bytes)
{
    const size_t n = strlen(from), m = strlen(to);
    size_t found = 0;
    for (const char *at = text; (at = memmem(at, (size_t)(text + bytes - at), from, n));
         at += n)
        found++;
    char *result = ol_xmalloc(bytes - found * n + found * m + 1), *end = result;
    const char *done = text;
    for (const char *at; (at = memmem(done, (size_t)(text + bytes - done), from, n));
         done = at + n) {
        memcpy(end, done, (size_t)(at - done));
        end += at - done;
        memcpy(end, to, m);
        end += m;
    }
    memcpy(end, done, (size_t)(text + bytes - done));
    end += text + bytes - done;
    *end = '\0';
    *result_bytes = (size_t)(end - result);
    return result;
}

static char *run_step(const struct step *step, const char *text, size_t bytes,
                      size_t *result_bytes, struct ol_error *err)
{
    if (step->kind == FORM)
        return ol_unicode_normalise(step->form, text, bytes, result_bytes, err);
    if (step->kind == REPLACE)
        return ol_text_replace(text, bytes, step->from, step->to, result_bytes);
    /* Nothing is put in front of nothing. */
    const size_t n = bytes > 0 ? strlen(step->to) : 0;
    char *result = ol_xmalloc(n + bytes + 1);
    memcpy(result, step->to, n);
    memcpy(result + n, text, bytes);
    *result_bytes = n + bytes;
    return result;
}

char *ol_normaliser_run_part(const struct ol_normaliser *n, const char *text,
                             size_t bytes, bool is_first, size_t *result_bytes,
                             struct ol_error *err)
{
    char *result = NULL;
    *result_bytes = bytes;
    for (int i = 0; i < n->n; i++) {
        if (n->steps[i].kind == PREPEND && !is_first)
            continue;
        char *next = run_step(&n->steps[i], result != NULL ? result : text, *result_bytes,
                              result_bytes, err);
        free(result);
        if (next == NULL)
            return NULL;
        result = next;
    }
    return result != NULL ? result : ol_xstrndup(text, bytes);
}

char *ol_normaliser_run(const struct ol_normaliser *n, const char *text, size_t bytes,
                        size_t *result_bytes, struct ol_error *err)
{
    return ol_normaliser_run_part(n, text, bytes, true, result_bytes, err);
}

/* ---- parts ---- */

static bool is_one_character(const char *text)
{
    uint32_t code;
    return ol_utf8_decode(text, strlen(text), &code) == strlen(text);
}

/* What is replaced must not reach over a cut, and normal forms must see the characters
 * that the cut was chosen by. */
bool ol_normaliser_streams(const struct ol_normaliser *n)
{
    bool replaced = false;
    for (int i = 0; i < n->n; i++) {
        if ((n->steps[i].kind == FORM && replaced) ||
            (n->steps[i].kind == REPLACE && !is_one_character(n->steps[i].from)))
            return false;
        replaced = replaced || n->steps[i].kind == REPLACE;
    }
    return true;
}

bool ol_normaliser_may_cut(const void *arg, const char *text, size_t bytes, size_t at)
{
    const struct ol_normaliser *n = arg;
    uint32_t code;
    return n->n == 0 || n->steps[0].kind == REPLACE ||
           (ol_utf8_decode(text + at, bytes - at, &code) > 0 &&
            ol_unicode_begins_anew(code));
}
