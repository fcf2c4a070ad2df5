/* tiktoken.model: the ranks of a byte-level vocabulary. What else a tokenizer has (the
 * pattern, the special tokens) stands in tokenizer_config.json and in Python beside it.
 * Read into what tokenizer.json would say, so that all behind is the same. */
#ifndef OL_TOKENIZER_TIKTOKEN_H
#define OL_TOKENIZER_TIKTOKEN_H

#include "common/json.h"
#include "extract/text/tokenizer/model_tables.h"

struct ol_tiktoken_file {
    const char *directory, *path; /* of the checkpoint, of the file */
    const char *text;             /* what is in it, with a NUL behind */
    size_t bytes;
};

/* Fills the vocabulary and the merges, and gives the rest in the form of tokenizer.json.
 * NULL on failure; the caller frees. */
struct ol_json *ol_tiktoken_read(const struct ol_tiktoken_file *f, struct ol_vocab *vocab,
                                 struct ol_merge_list *merges, struct ol_error *err);

#endif
