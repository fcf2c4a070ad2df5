/* Errors as values, messages to stderr, and small allocations that cannot fail. */
#ifndef OL_ERROR_H
#define OL_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#define OL_ERROR_TEXT_BYTES 2048

/* One sentence that names the file, tensor or key, what was found and what was expected.
 * Start from `struct ol_error err = {0}`; the FIRST failure wins, later ones are dropped.
 */
struct ol_error {
    char text[OL_ERROR_TEXT_BYTES];
};

/* Record a failure and return -1, so that `return ol_fail(err, ...)` reads well. */
int ol_fail(struct ol_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* As ol_fail, with ": " and the text of errno (taken on entry) appended. */
int ol_fail_errno(struct ol_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The name before every message ("ol-extract"), set once by main; the string is borrowed.
 */
void ol_program_set(const char *name);
const char *ol_program(void);

/* How much is said on stderr: 0 errors and warnings, 1 also notes (default), 2 details.
 */
void ol_verbosity_set(int level);
int ol_verbosity(void);

/* One line "PROGRAM: text" on stderr: ol_warn always, ol_note from verbosity 1 on,
 * ol_detail from 2. Control characters and what else could command a terminal are shown
 * by their numbers, whoever wrote them. */
void ol_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ol_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ol_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A name as messages show it, without what would act on a terminal, for what is printed
 * otherwise. The caller frees. */
char *ol_shown(const char *text);

/* The line that ol_warn would write, for those who cannot call it (handlers of signals);
 * the caller frees it. */
char *ol_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Flush and close stdout; fails when anything written there was lost (a full disk, say).
 */
int ol_stdout_close(struct ol_error *err);

/* Host allocations for small things: they never return NULL but end the program with one
 * line. The caller frees with free(). ol_xcalloc zeroes; both check n * size for
 * overflow. */
void *ol_xmalloc(size_t bytes);
void *ol_xcalloc(size_t n, size_t size);
void *ol_xrealloc_array(void *old, size_t n, size_t size);
char *ol_xstrdup(const char *text);
char *ol_xstrndup(const char *text, size_t bytes);
char *ol_xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *ol_xvasprintf(const char *format, va_list args)
    __attribute__((format(printf, 1, 0)));

#endif
