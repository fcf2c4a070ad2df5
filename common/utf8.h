/* Decoding of UTF-8 as RFC 3629 defines it (no surrogates, no overlong forms). */
#ifndef OL_UTF8_H
#define OL_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the first character of text (1..4), its code point in *code; 0 when it is not
 * valid UTF-8 or bytes == 0. */
size_t ol_utf8_decode(const char *text, size_t bytes, uint32_t *code);

/* Write the UTF-8 form of a code point below 0x110000 that is no surrogate; returns its
 * bytes. */
size_t ol_utf8_encode(uint32_t code, char text[4]);

/* Whether all of text is valid; if not, *offset (may be NULL) is the first bad byte. */
bool ol_utf8_valid(const char *text, size_t bytes, size_t *offset);

/* text with every maximal part that is not valid replaced by one U+FFFD (Unicode, section
 * 3.9: "substitution of maximal subparts"). Ends with a NUL that *result_bytes (may be
 * NULL) does not count; the caller frees. */
char *ol_utf8_lossy(const char *text, size_t bytes, size_t *result_bytes);

/* Whether a character acts on its surroundings instead of being seen: controls (a
 * terminal obeys them), marks that turn the direction of writing, separators of lines,
 * and what no XML document may hold. */
bool ol_utf8_acts(uint32_t code);

/* What stands for such a character: Unicode's picture of an ASCII control, else U+FFFD.
 * As ol_utf8_encode. */
size_t ol_utf8_symbol(uint32_t code, char text[4]);

/* text with a symbol for every character that acts, but those in `kept` (ASCII), and with
 * U+FFFD for what is no UTF-8. The caller frees. */
char *ol_utf8_visible(const char *text, const char *kept);

#endif
