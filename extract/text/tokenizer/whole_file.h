/* A file of a tokenizer in memory. */
#ifndef OL_TOKENIZER_WHOLE_FILE_H
#define OL_TOKENIZER_WHOLE_FILE_H

#include <stddef.h>

#include "common/error.h"

/* The bytes of a regular file of at most 1 GiB, and a NUL behind them; the caller frees.
 * NULL on failure. */
char *ol_whole_file(const char *path, size_t *bytes, struct ol_error *err);

#endif
