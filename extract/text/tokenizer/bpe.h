/* Byte-pair encoding: the merges of a tokenizer, applied to one word. */
#ifndef OL_TOKENIZER_BPE_H
#define OL_TOKENIZER_BPE_H

#include "extract/text/tokenizer.h"
#include "extract/text/tokenizer/model_tables.h"

struct ol_bpe_options {
    bool byte_level;    /* symbols are bytes, in the alphabet of byte_level.h */
    bool ignore_merges; /* a word that is a token is that token */
    bool byte_fallback; /* a character without a token becomes tokens <0xHH> */
    bool fuse_unknown;  /* unknown characters in a row are one unknown token */
    int32_t unknown;    /* id, or -1: characters without a token vanish */
};

struct ol_bpe;

/* vocab is borrowed; merges are not needed afterwards. NULL on failure. */
struct ol_bpe *ol_bpe_new(const struct ol_vocab *vocab,
                          const struct ol_merge_list *merges,
                          const struct ol_bpe_options *options, const char *name,
                          struct ol_error *err);
void ol_bpe_free(struct ol_bpe *b);

/* Append the ids of one word (valid UTF-8). With stop_after > 0 it may stop once ids
 * holds that many. Time n log n at most. */
void ol_bpe_encode(struct ol_bpe *b, const char *text, size_t bytes, size_t stop_after,
                   struct ol_ids *ids);

/* Of a word that goes on behind `bytes`: the ids of its beginning, as far as they cannot
 * change; *taken: that many bytes. */
void ol_bpe_encode_begun(struct ol_bpe *b, const char *text, size_t bytes,
                         size_t stop_after, struct ol_ids *ids, size_t *taken);

#endif
