/* Added tokens: those found in the text before anything else is done with it. */
#ifndef OL_TOKENIZER_ADDED_H
#define OL_TOKENIZER_ADDED_H

#include "extract/text/tokenizer/vocab.h"

struct ol_added_flags {
    bool single_word;    /* not beside a letter, a digit or an underscore */
    bool lstrip, rstrip; /* swallows the white space before, behind */
    bool special;
};

struct ol_added;

struct ol_added *ol_added_new(void);
void ol_added_free(struct ol_added *a);
void ol_added_put(struct ol_added *a, const char *text, size_t bytes, int32_t id,
                  struct ol_added_flags flags);

/* A text, of which the part from `from` on is split; what stands before it is looked at,
 * as a neighbour. */
struct ol_added_text {
    const char *text;
    size_t from, bytes;
    bool is_last; /* nothing follows */
    /* When more follows, where the text may end for now; NULL: anywhere. */
    bool (*may_cut)(const void *arg, const char *text, size_t bytes, size_t at);
    const void *arg;
};

/* Call piece for every stretch of text between added tokens (id -1) and for every added
 * token (with its id), in order; the leftmost and of those the longest is taken. When
 * more follows, the last stretch ends (is_end false) before all that may become part of a
 * token, or does not come at all. Stops when piece returns non-zero, and returns that.
 * *done: where the next call begins. */
int ol_added_split(const struct ol_added *a, const struct ol_added_text *t,
                   int (*piece)(void *arg, const char *text, size_t bytes, int32_t id,
                                bool is_end),
                   void *arg, size_t *done);

#endif
