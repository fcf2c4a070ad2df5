/* From tokens back to text ("decoder" of tokenizer.json). */
#ifndef OL_TOKENIZER_DECODER_H
#define OL_TOKENIZER_DECODER_H

#include <stddef.h>

#include "common/json.h"

struct ol_decoder;

/* section.json: the value of "decoder", may be null. NULL on failure. */
struct ol_decoder *ol_decoder_new(struct ol_json_section section, struct ol_error *err);
void ol_decoder_free(struct ol_decoder *d);

struct ol_token_text {
    const char *text; /* borrowed */
    size_t bytes;
};

/* Text of n tokens; bytes that are no UTF-8 become U+FFFD as the decoder's kind has it.
 * whole: also what is done to the text as a whole (a leading space removed). The caller
 * frees. */
char *ol_decoder_run(const struct ol_decoder *d, const struct ol_token_text *tokens,
                     size_t n, bool whole, size_t *result_bytes);

#endif
