/* Properties of characters and normal forms. The only file that knows utf8proc. */
#ifndef OL_TOKENIZER_UNICODE_H
#define OL_TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum ol_normal_form { OL_NFC, OL_NFD, OL_NFKC, OL_NFKD };

/* text (valid UTF-8) in a normal form; the caller frees. NULL on failure. */
char *ol_unicode_normalise(enum ol_normal_form form, const char *text, size_t bytes,
                           size_t *result_bytes, struct ol_error *err);

/* Whether what stands before a character never changes what a normal form makes of it and
 * of what follows; of some characters that do begin anew this is not known. */
bool ol_unicode_begins_anew(uint32_t code);

bool ol_unicode_is_word(uint32_t code);  /* a letter, mark, digit or connector */
bool ol_unicode_is_space(uint32_t code); /* White_Space */

#endif
