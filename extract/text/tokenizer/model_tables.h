/* The two large tables of a tokenizer.json, model.vocab and model.merges, read without
 * building a JSON tree of them: they are nearly all of the file, and a tree would take
 * most of the time that opening a tokenizer may take. */
#ifndef OL_TOKENIZER_MODEL_TABLES_H
#define OL_TOKENIZER_MODEL_TABLES_H

#include "common/error.h"
#include "extract/text/tokenizer/vocab.h"

struct ol_merge_list {
    int32_t (*pairs)[2]; /* ids, in the order of the file */
    uint32_t *ranks;     /* of each; NULL: its place in that order */
    size_t n;
};

/* text: the whole file, called `name` in messages. Fills the vocabulary and the merges,
 * and gives the text again with {} and [] in their places, for the JSON library (which
 * then checks everything else). NULL on failure; the caller frees. */
char *ol_model_tables_read(const char *text, size_t bytes, const char *name,
                           struct ol_vocab *vocab, struct ol_merge_list *merges,
                           struct ol_error *err);

#endif
