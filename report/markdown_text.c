#include "report/markdown_text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/utf8.h"
#include "report/text.h"

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* Whether the characters before and after c make markup of it (CommonMark 0.31, and the
 * tables, strikethrough and bare links of code hosts). */
static bool is_markup(const char *text, const char *c)
{
    const char before = c > text ? c[-1] : '\0', after = c[1];
    switch (*c) {
    case '\\':
        return after == '\0' || ispunct((unsigned char)after);
    case '`':
    case '*':
    case '[':
    case '<':
    case '|':
    case '~':
        return true;
    case '#': /* a heading's end; its beginning is treated with the line's */
        return before == '\0' || before == ' ' || before == '#';
    case '_': /* snake_case is no emphasis */
        return !is_word(before) || !is_word(after);
    case '&':
        return after == '#' || isalpha((unsigned char)after);
    case ':': /* https://... */
        return after == '/' && c[2] == '/';
    case '.': /* www.... */
        return c - text >= 3 && strncasecmp(c - 3, "www", 3) == 0;
    case '(': /* behind "]" */
        return before == ']';
    default:
        return false;
    }
}

/* Marks of lists, quotations, rules and underlined headings at a line's beginning. */
static const char *line_mark(const char *text)
{
    const size_t digits = strspn(text, "0123456789");
    if (*text != '\0' && strchr("-+>=#", *text) != NULL)
        /* A sign before a digit is a number. */
        return isdigit((unsigned char)text[1]) ? NULL : text;
    return digits > 0 && (text[digits] == '.' || text[digits] == ')') &&
                   (text[digits + 1] == ' ' || text[digits + 1] == '\0')
               ? text + digits
               : NULL;
}

char *ol_markdown_text(const char *given)
{
    char *text = ol_utf8_visible(given, ""), *safe = ol_xmalloc(2 * strlen(text) + 1),
         *to = safe;
    const char *mark = strlen(text) > 1 ? line_mark(text) : NULL;
    for (const char *c = text; *c != '\0'; c++) {
        if (c == mark || is_markup(text, c))
            *to++ = '\\';
        *to++ = *c;
    }
    *to = '\0';
    free(text);
    return safe;
}

void ol_markdown_put(const char *text, FILE *out)
{
    char *safe = ol_markdown_text(text);
    fputs(safe, out);
    free(safe);
}

static size_t longest_run(const char *text, char of)
{
    size_t most = 0;
    for (size_t n = 0; *text != '\0'; text++) {
        n = *text == of ? n + 1 : 0;
        most = n > most ? n : most;
    }
    return most;
}

char *ol_markdown_piece(const char *piece)
{
    char *text = ol_text_piece(piece), *result;
    if (*text == '\0' || strchr(text, '|') != NULL) {
        result = ol_markdown_text(text);
    } else {
        /* Code ends where as many backticks stand as before it. */
        const size_t n = longest_run(text, '`') + 1;
        char *fence = ol_xmalloc(n + 1);
        memset(fence, '`', n);
        fence[n] = '\0';
        const char *space = n > 1 ? " " : "";
        result = ol_xasprintf("%s%s%s%s%s", fence, space, text, space, fence);
        free(fence);
    }
    free(text);
    return result;
}

void ol_markdown_warning(const char *subject, const char *text, FILE *out)
{
    fputs("> **Warning", out);
    if (subject != NULL) {
        fputs(", ", out);
        ol_markdown_put(subject, out);
    }
    fputs(".** ", out);
    ol_markdown_put(text, out);
    fputc('\n', out);
}
