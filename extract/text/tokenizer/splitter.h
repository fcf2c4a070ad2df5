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

/* What is done with words. */
struct ol_word_taker {
    int (*word)(void *arg, const char *text, size_t bytes);
    /* Of a word that goes on behind what is there: take what cannot change, *taken bytes.
     */
    int (*begun_word)(void *arg, const char *text, size_t bytes, size_t *taken);
    /* All words before this place were given and none behind it; a text may be split on
     * from here as if it began here. */
    void (*mark)(void *arg);
    void *arg;
};

/* Call word for each word of text (valid UTF-8), in order. Stops when it returns
 * non-zero, and returns that; -1 and *err when a pattern fails. */
int ol_splitter_run(const struct ol_splitter *s, const char *text, size_t bytes,
                    const struct ol_word_taker *taker, struct ol_error *err);

/* The same of a text that goes on behind `bytes`: only words that cannot change any more,
 * and *done, where the last mark was; words behind it were given too soon. Only if
 * ol_splitter_streams. */
int ol_splitter_run_open(const struct ol_splitter *s, const char *text, size_t bytes,
                         const struct ol_word_taker *taker, size_t *done,
                         struct ol_error *err);
bool ol_splitter_streams(const struct ol_splitter *s);

#endif
