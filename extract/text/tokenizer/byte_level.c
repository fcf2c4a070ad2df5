#include "extract/text/tokenizer/byte_level.h"

#include <stdbool.h>

#include "common/utf8.h"

static bool printable(uint32_t code)
{
    return (code >= 33 && code <= 126) || (code >= 161 && code <= 172) ||
           (code >= 174 && code <= 255);
}

/* How many bytes below this one have no character of their own. */
static uint32_t others_below(uint32_t byte)
{
    if (byte <= 33)
        return byte;
    if (byte <= 127)
        return 33;
    return byte <= 160 ? 33 + byte - 127 : byte <= 173 ? 67 : 68;
}

size_t ol_byte_level_char(uint8_t byte, char text[4])
{
    return ol_utf8_encode(printable(byte) ? byte : 256 + others_below(byte), text);
}

/* The byte of a character, or -1. */
static int byte_of(uint32_t code)
{
    if (code < 256)
        return printable(code) ? (int)code : -1;
    const uint32_t k = code - 256; /* the k-th byte without a character of its own */
    if (k < 33)
        return (int)k;
    if (k < 67)
        return (int)(127 + k - 33);
    return k == 67 ? 173 : -1;
}

size_t ol_byte_level_bytes(const char *text, size_t n, char *bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        uint32_t code;
        const size_t step = ol_utf8_decode(text + i, n - i, &code);
        const int byte = step > 0 ? byte_of(code) : -1;
        if (byte < 0)
            return (size_t)-1;
        bytes[used++] = (char)byte;
        i += step;
    }
    return used;
}
