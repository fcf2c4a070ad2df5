/* Text files, plain or compressed, as a stream of their plain bytes. */
#ifndef OL_TEXTFILE_H
#define OL_TEXTFILE_H

#include <stddef.h>

#include "common/error.h"

struct ol_textfile;

/* Open path, or stdin for "-". gzip and zstd are recognised by their first bytes; what is
 * no text is refused by name (file_kind.h); a byte order mark is passed over. NULL on
 * failure. */
struct ol_textfile *ol_textfile_open(const char *path, struct ol_error *err);
void ol_textfile_close(struct ol_textfile *f);

/* The next bytes without taking them: at least OL_TEXTFILE_PEEK of them, or all that are
 * left. Borrowed until the next call. */
enum { OL_TEXTFILE_PEEK = 1 << 16 };
int ol_textfile_peek(struct ol_textfile *f, const char **text, size_t *bytes,
                     struct ol_error *err);

/* Read up to `bytes` into data; *got is less only at the end. */
int ol_textfile_read(struct ol_textfile *f, void *data, size_t bytes, size_t *got,
                     struct ol_error *err);

/* Read one line without its line end into a buffer that is the file's until the next
 * call. 1: a line, 0: the end, -1: failed. */
int ol_textfile_line(struct ol_textfile *f, char **line, size_t *bytes,
                     struct ol_error *err);

#endif
