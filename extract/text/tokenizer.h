/* Text to token ids as tokenizer.json describes it, exactly as the Rust `tokenizers`
 * library does; or as tiktoken.model does, exactly as `tiktoken`. */
#ifndef OL_TOKENIZER_H
#define OL_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/sha256.h"

struct ol_tokenizer;

/* *name: of the file that would be read, static, or NULL: there is none. */
int ol_tokenizer_find(const char *directory, const char **name, struct ol_error *err);

/* Read directory/tokenizer.json (and tokenizer_config.json when it is there), or, where
 * there is none, directory/tiktoken.model and tokenizer_config.json. A part that is not
 * supported is refused by its name and type. NULL on failure. */
struct ol_tokenizer *ol_tokenizer_open(const char *directory, struct ol_error *err);
void ol_tokenizer_close(struct ol_tokenizer *t);

/* Growing array of ids; start from {0}; free(ids). */
struct ol_ids {
    int32_t *ids;
    size_t n, room;
};
void ol_ids_append(struct ol_ids *ids, int32_t id);

/* Append the ids of text (valid UTF-8, any bytes count, NUL allowed) to ids, without the
 * special tokens of the post-processor; special tokens written in the text are
 * recognised. Linear time. With `stop_after` > 0 encoding may stop once at least that
 * many ids were appended (they are then a prefix of the whole text's ids). Not
 * thread-safe on one tokenizer. */
int ol_tokenizer_encode(struct ol_tokenizer *t, const char *text, size_t bytes,
                        size_t stop_after, struct ol_ids *ids, struct ol_error *err);

/* A text that comes in pieces. Its ids are those of ol_tokenizer_encode of the whole;
 * what is kept of it is what may still change: some pieces, whatever the text's length
 * (all of it with a tokenizer whose parts cannot be run so: replacing or splitting by
 * what stands far away). */
struct ol_token_stream;
struct ol_token_stream *ol_token_stream_new(struct ol_tokenizer *t);
void ol_token_stream_free(struct ol_token_stream *s);

/* Append the ids of one more piece (whole characters of valid UTF-8) as far as they are
 * known, all of them with is_last, which ends the text; another may follow. 1 once ids->n
 * >= stop_at > 0 (the stream is then done with), 0, or -1. */
int ol_token_stream_put(struct ol_token_stream *s, const char *text, size_t bytes,
                        bool is_last, size_t stop_at, struct ol_ids *ids,
                        struct ol_error *err);

/* Bytes of text that may still change what ids come. */
size_t ol_token_stream_waiting(const struct ol_token_stream *s);

/* The special tokens that the tokenizer puts before / after a single sequence by itself
 * (--bos
 * auto). Borrowed. */
const int32_t *ol_tokenizer_prefix(const struct ol_tokenizer *t, int *n);
const int32_t *ol_tokenizer_suffix(const struct ol_tokenizer *t, int *n);

/* Text of ids as the library's decode() gives it; with skip_special, special added tokens
 * are left out. Bytes that are no UTF-8 become U+FFFD. The caller frees. *bytes without
 * the final NUL. */
char *ol_tokenizer_decode(const struct ol_tokenizer *t, const int32_t *ids, size_t n,
                          bool skip_special, size_t *bytes);

/* One id as readable text (its own bytes, invalid ones as U+FFFD); "" for an id that the
 * tokenizer does not have. The caller frees. */
char *ol_tokenizer_piece(const struct ol_tokenizer *t, int32_t id);

/* The name of the file that was read, and its SHA-256. */
const char *ol_tokenizer_file(const struct ol_tokenizer *t);
const char *ol_tokenizer_sha256(const struct ol_tokenizer *t);

#endif
