/* From text files or id files to the token windows of a run. */
#ifndef OL_CORPUS_H
#define OL_CORPUS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/options.h"
#include "common/sha256.h"
#include "extract/text/tokenizer.h"

enum ol_windowing {
    OL_WINDOWING_CONTIGUOUS, /* design, --windowing */
    OL_WINDOWING_REFERENCE,  /* design, section 6.5 */
};

struct ol_corpus_request {
    const struct ol_texts *text_files; /* as ol_documents_read takes them */
    const char *ids_file;              /* instead of text_files, or NULL; "-" is stdin */
    const char *text_field;      /* of JSON lines, or NULL: as ol_documents_read says */
    int64_t n_sequences, length; /* 0 (ids_file only): what the file holds */
    enum ol_windowing windowing;
    bool bos; /* windows begin with ol_tokenizer_prefix */
};

struct ol_corpus {
    int64_t n_sequences, n_tokens; /* n_tokens: the longest */
    int32_t *ids;                  /* [n_sequences, n_tokens], -1 past a row's end */
    int32_t *lengths;              /* [n_sequences] */
    bool bos;                      /* a prefix was put in front */
    char *source;                  /* for people: as of ol_documents_read */
    /* Of the text (or id lines) that was read: whole documents, of a text that is one
     * document whole MiB until there were enough tokens. */
    char text_sha256[OL_SHA256_HEX_BYTES];
};

/* tokenizer may be NULL with ids_file. Ids are not checked against a model here. */
int ol_corpus_read(const struct ol_corpus_request *request,
                   struct ol_tokenizer *tokenizer, struct ol_corpus *corpus,
                   struct ol_error *err);
void ol_corpus_clear(struct ol_corpus *corpus);

/* The ids of documents in order, in parts; is_last ends a document. */
typedef void ol_take_ids(void *arg, const int32_t *ids, size_t n, bool is_last);

/* Encode each document on its own and pass its ids on, with the prefix if request->bos.
 * n_sequences, length and windowing do not matter. */
int ol_corpus_each_document(const struct ol_corpus_request *request,
                            struct ol_tokenizer *tokenizer, ol_take_ids *take, void *arg,
                            struct ol_error *err);

#endif
