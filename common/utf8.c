#include "common/utf8.h"

#include "common/error.h"

#include <stdlib.h>
#include <string.h>

size_t ol_utf8_decode(const char *text, size_t bytes, uint32_t *code)
{
    const unsigned char *s = (const unsigned char *)text;
    if (bytes == 0)
        return 0;
    if (s[0] < 0x80) {
        *code = s[0];
        return 1;
    }
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 0;
    if (n == 0 || n > bytes || s[0] > 0xf4)
        return 0;
    uint32_t value = s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (s[i] & 0x3fu);
    }
    if (value < smallest[n] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code = value;
    return n;
}

size_t ol_utf8_encode(uint32_t code, char text[4])
{
    if (code < 0x80) {
        text[0] = (char)code;
        return 1;
    }
    const size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        text[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    text[0] = (char)(lead[n] | code);
    return n;
}

bool ol_utf8_valid(const char *text, size_t bytes, size_t *offset)
{
    size_t i = 0;
    while (i < bytes) {
        uint64_t word;
        /* Eight ASCII bytes at a time: most text is that. */
        if (bytes - i >= sizeof word) {
            memcpy(&word, text + i, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                i += sizeof word;
                continue;
            }
        }
        uint32_t code;
        const size_t n = ol_utf8_decode(text + i, bytes - i, &code);
        if (n == 0) {
            if (offset != NULL)
                *offset = i;
            return false;
        }
        i += n;
    }
    return true;
}

/* Bytes of the longest beginning of a character that could have become valid; at least 1.
 */
static size_t maximal_subpart(const unsigned char *t, size_t n)
{
    const size_t need = t[0] >= 0xf0 && t[0] <= 0xf4   ? 4
                        : t[0] >= 0xe0 && t[0] <= 0xef ? 3
                                                       : 1;
    if (need == 1 || n < 2)
        return 1;
    const unsigned char low = t[0] == 0xe0 ? 0xa0 : t[0] == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = t[0] == 0xed ? 0x9f : t[0] == 0xf4 ? 0x8f : 0xbf;
    if (t[1] < low || t[1] > high)
        return 1;
    return need == 4 && n > 2 && (t[2] & 0xc0) == 0x80 ? 3 : 2;
}

char *ol_utf8_lossy(const char *text, size_t bytes, size_t *result_bytes)
{
    char *result = ol_xmalloc(3 * bytes + 1);
    size_t used = 0;
    for (size_t i = 0; i < bytes;) {
        uint32_t code = 0;
        const size_t n = ol_utf8_decode(text + i, bytes - i, &code);
        used += ol_utf8_encode(n > 0 ? code : 0xfffd, result + used);
        i += n > 0 ? n : maximal_subpart((const unsigned char *)text + i, bytes - i);
    }
    result[used] = '\0';
    if (result_bytes != NULL)
        *result_bytes = used;
    return result;
}

bool ol_utf8_acts(uint32_t code)
{
    static const uint32_t ranges[][2] = {
        {0, 0x1f},          {0x7f, 0x9f},     {0x61c, 0x61c},   {0x200e, 0x200f},
        {0x2028, 0x202e},   {0x2066, 0x2069}, {0xfff9, 0xfffb}, {0xfffe, 0xffff},
        {0xe0000, 0xe007f}, /* tags: a text of their own that nobody sees */
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (code >= ranges[i][0] && code <= ranges[i][1])
            return true;
    return (code & 0xfffe) == 0xfffe;
}

size_t ol_utf8_symbol(uint32_t code, char text[4])
{
    return ol_utf8_encode(code < 0x20    ? 0x2400 + code
                          : code == 0x7f ? 0x2421
                                         : 0xfffd,
                          text);
}

char *ol_utf8_visible(const char *text, const char *kept)
{
    size_t bytes;
    char *valid = ol_utf8_lossy(text, strlen(text), &bytes);
    char *result = ol_xmalloc(3 * bytes + 1), *to = result;
    for (size_t i = 0; i < bytes;) {
        uint32_t code = 0;
        const size_t n = ol_utf8_decode(valid + i, bytes - i, &code);
        if (ol_utf8_acts(code) && (code >= 0x80 || strchr(kept, (int)code) == NULL))
            to += ol_utf8_symbol(code, to);
        else
            to = (char *)memcpy(to, valid + i, n) + n;
        i += n;
    }
    *to = '\0';
    free(valid);
    return result;
}
