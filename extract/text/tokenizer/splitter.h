/* How tokenizer.json cuts text into words ("pre_tokenizer"): a list of stages, each
 * cutting the pieces of the one before. */
#ifndef OL_TOKENIZER_SPLITTER_H
#define OL_TOKENIZER_SPLITTER_H

#include <stddef.h>

#include "common/json.h"

struct ol_splitter;

/* section.json: the value of "pre_tokenizer", may be null. NULL on failure. */
struct ol_splitter *ol_splitter_new(struct ol_json_section section, struct ol_error *err);
void ol_splitter_free(struct ol_splitter *s);

/* Whether words are bytes in the alphabet of byte_level.h. */
bool ol_splitter_byte_level(const struct ol_splitter *s);

/* Call word for each word of text (valid UTF-8), in order. Stops when it returns
 * non-zero, and returns that; -1 and *err when a pattern fails. */
int ol_splitter_run(const struct ol_splitter *s, const char *text, size_t bytes,
                    int (*word)(void *arg, const char *text, size_t bytes), void *arg,
                    struct ol_error *err);

#endif
