/* Tokens: text to id and back. */
#ifndef OL_TOKENIZER_VOCAB_H
#define OL_TOKENIZER_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OL_MAX_TOKEN_ID = 1 << 24 };

struct ol_vocab;

struct ol_vocab *ol_vocab_new(void);
void ol_vocab_free(struct ol_vocab *v);

/* Add a token; id is in 0..OL_MAX_TOKEN_ID-1, all texts together below 4 GiB. false: the
 * text is there already. A second text of one id is found, but the id keeps its first
 * text. */
bool ol_vocab_add(struct ol_vocab *v, const char *text, size_t bytes, int32_t id);

/* -1: there is none. */
int32_t ol_vocab_find(const struct ol_vocab *v, const char *text, size_t bytes);

/* The ids of n texts (-1: none), which lie one after another: text i is the bytes
 * ends[i - 1] .. ends[i] - 1 (from 0). Waits for memory once for all of them. n <=
 * OL_VOCAB_MANY. */
enum { OL_VOCAB_MANY = 64 };
void ol_vocab_find_many(const struct ol_vocab *v, const char *texts, const size_t *ends,
                        size_t n, int32_t *ids);

/* Room for that many tokens, which need not come. */
void ol_vocab_reserve(struct ol_vocab *v, size_t n);

/* Borrowed; NULL: no such id. */
const char *ol_vocab_text(const struct ol_vocab *v, int32_t id, size_t *bytes);
int32_t ol_vocab_size(const struct ol_vocab *v); /* the largest id + 1 */

/* A good 64-bit mixture of some bytes. */
uint64_t ol_hash_bytes(const char *text, size_t bytes);

#endif
