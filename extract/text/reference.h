/* Windowing `reference`: how the Python study of LLM.int8 outliers makes sequences out of
 * a data set (arb8020/research, dev/outlier-features/dataset_utils.py,
 * get_text_sequences), step by step, so that they are the same to the id. */
#ifndef OL_REFERENCE_H
#define OL_REFERENCE_H

#include "extract/text/corpus.h"

/* sequences: [request->n_sequences], empty; the caller frees their ids, also after a
 * failure. The documents that are read go through sha; *source as of ol_documents_read.
 */
int ol_reference_read(const struct ol_corpus_request *request,
                      struct ol_tokenizer *tokenizer, struct ol_sha256 *sha,
                      struct ol_ids *sequences, char **source, struct ol_error *err);

#endif
