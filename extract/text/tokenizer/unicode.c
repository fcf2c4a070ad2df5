#include "extract/text/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

/* All below U+0300 is in form C; U+00A0 and others are not in the compatibility forms. */
static bool is_nfc_already(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] >= 0xcc)
            return false;
    return true;
}

char *ol_unicode_normalise(enum ol_normal_form form, const char *text, size_t bytes,
                           size_t *result_bytes, struct ol_error *err)
{
    static const int options[] = {
        [OL_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [OL_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [OL_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [OL_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    if (form == OL_NFC && is_nfc_already(text, bytes)) {
        *result_bytes = bytes;
        return ol_xstrndup(text, bytes);
    }
    utf8proc_uint8_t *result = NULL;
    const utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &result,
                     (utf8proc_option_t)options[form]);
    if (n < 0) {
        ol_fail(err, "text cannot be normalised: %s", utf8proc_errmsg(n));
        return NULL;
    }
    *result_bytes = (size_t)n;
    return (char *)result;
}

/* The first marks, and the first characters that compose with one before them, are those
 * from U+0300 on; ideographs are no marks and compose with nothing. */
bool ol_unicode_begins_anew(uint32_t code)
{
    return code < 0x300 || (code >= 0x4e00 && code <= 0x9fff);
}

bool ol_unicode_is_word(uint32_t code)
{
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return code == 0x200c || code == 0x200d;
    }
}

bool ol_unicode_is_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || code == ' ' || code == 0x85 || code == 0xa0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}
