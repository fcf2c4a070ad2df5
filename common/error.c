/* Owns two process-wide values: the program's name and its verbosity. */
#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

static const char *program = "ol";
static int verbosity = 1;

int ol_fail(struct ol_error *err, const char *format, ...)
{
    if (err->text[0] != '\0')
        return -1;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -1;
}

int ol_fail_errno(struct ol_error *err, const char *format, ...)
{
    const int number = errno;
    if (err->text[0] != '\0')
        return -1;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(number));
    return -1;
}

void ol_program_set(const char *name)
{
    program = name;
}

const char *ol_program(void)
{
    return program;
}

void ol_verbosity_set(int level)
{
    verbosity = level;
}

int ol_verbosity(void)
{
    return verbosity;
}

/* ---- what reaches the terminal ----
 * Names of models, files, tensors and tokens are other people's bytes. Whatever would
 * move the cursor, colour, erase, answer or turn the direction of the text around is
 * shown by its number instead. */

enum { MOST_BYTES_SHOWN = 8 }; /* of one character: "\\u202e" and its end */

static bool is_harmless(uint32_t code)
{
    return !ol_utf8_acts(code) && code != 0xfeff;
}

/* One character of text into at, which has MOST_BYTES_SHOWN; the bytes it took. */
static size_t show(const char *text, char *at)
{
    uint32_t code = (unsigned char)text[0];
    size_t n = 1;
    if (code >= 0x80)
        n = ol_utf8_decode(text, strlen(text), &code);
    if (n == 0)
        snprintf(at, MOST_BYTES_SHOWN, "\\x%02x", (unsigned)(unsigned char)text[0]);
    else if (code == '\n' || code == '\t')
        strcpy(at, code == '\n' ? "\\n" : "\\t");
    else if (!is_harmless(code))
        snprintf(at, MOST_BYTES_SHOWN, code < 0x100 ? "\\x%02x" : "\\u%04x",
                 (unsigned)code);
    else
        snprintf(at, MOST_BYTES_SHOWN, "%.*s", (int)n, text);
    return n > 0 ? n : 1;
}

enum { TEXT_BYTES = OL_ERROR_TEXT_BYTES + 64, LINE_BYTES = TEXT_BYTES * 4 + 64 };

/* PROGRAM: text, harmless and with its end of line; the bytes of it. */
static size_t make_line(char line[LINE_BYTES], const char *format, va_list args)
{
    char text[TEXT_BYTES]; /* an escaped byte takes four */
    vsnprintf(text, sizeof text, format, args);
    size_t used = (size_t)snprintf(line, 64, "%s: ", program);
    for (const char *c = text; *c != '\0' && used + MOST_BYTES_SHOWN < LINE_BYTES;) {
        c += show(c, line + used);
        used += strlen(line + used);
    }
    line[used++] = '\n';
    return used;
}

/* One call to stdio per line, so that lines of several threads do not mix. */
static void say(const char *format, va_list args)
{
    char line[LINE_BYTES];
    const size_t n = make_line(line, format, args);
    fwrite(line, 1, n, stderr);
}

char *ol_shown(const char *text)
{
    const size_t room =
        strlen(text) * 4 + MOST_BYTES_SHOWN; /* an escaped byte takes four */
    char *shown = ol_xmalloc(room + 1);
    size_t used = 0;
    for (const char *c = text; *c != '\0'; used += strlen(shown + used))
        c += show(c, shown + used);
    shown[used] = '\0';
    return shown;
}

char *ol_line(const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    const size_t n = make_line(line, format, args);
    va_end(args);
    return ol_xstrndup(line, n);
}

void ol_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

void ol_note(const char *format, ...)
{
    if (verbosity < 1)
        return;
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

void ol_detail(const char *format, ...)
{
    if (verbosity < 2)
        return;
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

int ol_stdout_close(struct ol_error *err)
{
    errno = 0;
    int lost = ferror(stdout);
    if (fflush(stdout) != 0 || lost)
        return ol_fail_errno(err, "cannot write to standard output");
    if (fclose(stdout) != 0)
        return ol_fail_errno(err, "cannot close standard output");
    return 0;
}

static void *or_die(void *pointer, size_t bytes)
{
    if (pointer == NULL) {
        ol_warn("out of memory: %zu bytes could not be had", bytes);
        exit(1);
    }
    return pointer;
}

void *ol_xmalloc(size_t bytes)
{
    return or_die(malloc(bytes > 0 ? bytes : 1), bytes);
}

void *ol_xcalloc(size_t n, size_t size)
{
    size_t bytes = size != 0 && n > SIZE_MAX / size ? SIZE_MAX : n * size;
    return or_die(bytes > 0 ? calloc(n, size) : calloc(1, 1), bytes);
}

void *ol_xrealloc_array(void *old, size_t n, size_t size)
{
    if (size != 0 && n > SIZE_MAX / size)
        return or_die(NULL, SIZE_MAX);
    size_t bytes = n * size;
    return or_die(realloc(old, bytes > 0 ? bytes : 1), bytes);
}

char *ol_xstrdup(const char *text)
{
    return ol_xstrndup(text, strlen(text));
}

char *ol_xstrndup(const char *text, size_t bytes)
{
    char *copy = ol_xmalloc(bytes + 1);
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    return copy;
}

char *ol_xasprintf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = ol_xvasprintf(format, args);
    va_end(args);
    return text;
}

char *ol_xvasprintf(const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0)
        or_die(NULL, 0);
    char *text = ol_xmalloc((size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, format, args);
    return text;
}
