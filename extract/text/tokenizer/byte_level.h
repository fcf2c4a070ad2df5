/* The byte-level alphabet of GPT-2: every byte as one printable character. Bytes 33-126,
 * 161-172 and 174-255 stand for themselves, the others in ascending order for U+0100 and
 * on. */
#ifndef OL_TOKENIZER_BYTE_LEVEL_H
#define OL_TOKENIZER_BYTE_LEVEL_H

#include <stddef.h>
#include <stdint.h>

/* The character of a byte, UTF-8; returns its bytes (1 or 2). */
size_t ol_byte_level_char(uint8_t byte, char text[4]);

/* Token text to the bytes it stands for. bytes[n] is room enough. Returns their number,
 * or (size_t)-1 when a character is outside the alphabet. */
size_t ol_byte_level_bytes(const char *text, size_t n, char *bytes);

#endif
