/* Regular expressions as tokenizer.json means them (Oniguruma's), run by PCRE2. The only
 * file that knows that library. */
#ifndef OL_TOKENIZER_PATTERN_H
#define OL_TOKENIZER_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct ol_pattern;

/* Compile expression; what the two dialects read differently is translated or refused.
 * `where` begins the message. */
struct ol_pattern *ol_pattern_new(const char *expression, const char *where,
                                  struct ol_error *err);
void ol_pattern_free(struct ol_pattern *p);

/* The first match that begins at or after `from` in text (valid UTF-8) and is not empty.
 * 1: found, 0: none, -1: failed. */
int ol_pattern_find(const struct ol_pattern *p, const char *text, size_t bytes,
                    size_t from, size_t *start, size_t *end, struct ol_error *err);

/* As ol_pattern_find, of a text that goes on behind `bytes`: 1 only if that cannot change
 * the match. 0: none, but one may begin at *start or behind it; all before is sure not to
 * match. */
int ol_pattern_find_open(const struct ol_pattern *p, const char *text, size_t bytes,
                         size_t from, size_t *start, size_t *end, struct ol_error *err);

/* Whether matches do not depend on what stands before them. */
bool ol_pattern_streams(const struct ol_pattern *p);

#endif
