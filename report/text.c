#include "report/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/results/field.h"
#include "common/utf8.h"

#define NARROW_SPACE "\xe2\x80\xaf"
#define MINUS        "\xe2\x88\x92"

struct ol_text ol_text_count(int64_t n)
{
    struct ol_text t = {""};
    char digits[24];
    if (n == OL_ABSENT)
        return (struct ol_text){OL_TEXT_UNKNOWN};
    snprintf(digits, sizeof digits, "%" PRIu64, n < 0 ? -(uint64_t)n : (uint64_t)n);
    const size_t length = strlen(digits);
    char *to = t.text;
    if (n < 0)
        to = (char *)memcpy(to, MINUS, 3) + 3;
    for (size_t i = 0; i < length; i++) {
        /* 1234 is as easy to read without. */
        if (i > 0 && (length - i) % 3 == 0 && length > 4)
            to = (char *)memcpy(to, NARROW_SPACE, 3) + 3;
        *to++ = digits[i];
    }
    *to = '\0';
    return t;
}

struct ol_text ol_text_magnitude(double value)
{
    struct ol_text t;
    const double size = fabs(value);
    if (isnan(value))
        return (struct ol_text){"\xe2\x80\x93"};
    if (size == 0) /* also of a negative zero */
        value = 0;
    if (size >= 1e6 || (size < 0.1 && size > 0))
        snprintf(t.text, sizeof t.text, size >= 1e6 ? "%.3g" : "%.2g", value);
    else
        snprintf(t.text, sizeof t.text, "%.*f",
                 size >= 1000 || size == 0 ? 0
                 : size >= 100             ? 1
                                           : 2,
                 value);
    return t;
}

struct ol_text ol_text_percent(double fraction)
{
    struct ol_text t;
    if (isnan(fraction))
        return (struct ol_text){"\xe2\x80\x93"};
    /* Less than nothing that is shown as nothing has no sign. */
    snprintf(t.text, sizeof t.text, "%.1f", fabs(fraction) < 0.0005 ? 0 : 100 * fraction);
    return t;
}

struct ol_text ol_text_power(int base, int exponent)
{
    static const char *const digits[] = {
        "\xe2\x81\xb0", "\xc2\xb9",     "\xc2\xb2",     "\xc2\xb3",     "\xe2\x81\xb4",
        "\xe2\x81\xb5", "\xe2\x81\xb6", "\xe2\x81\xb7", "\xe2\x81\xb8", "\xe2\x81\xb9"};
    struct ol_text t;
    char plain[16];
    size_t n = (size_t)snprintf(t.text, sizeof t.text, "%d", base);
    snprintf(plain, sizeof plain, "%d", exponent);
    for (const char *p = plain; *p != '\0' && n < sizeof t.text; p++)
        n += (size_t)snprintf(t.text + n, sizeof t.text - n, "%s",
                              *p == '-' ? "\xe2\x81\xbb" : digits[*p - '0']);
    return t;
}

struct ol_text ol_text_tick(double value)
{
    struct ol_text t;
    const double power = value > 0 ? log10(value) : 0;
    if (fabs(power - round(power)) < 1e-9 && (power < -2.5 || power > 5.5))
        return ol_text_power(10, (int)lround(power));
    if (power < -3) {
        const int exponent = (int)floor(power);
        /* In two steps: 10^-324 is no number. */
        snprintf(t.text, sizeof t.text, "%.3g\xc2\xb7%.36s",
                 value * 1e20 / pow(10, exponent + 20), ol_text_power(10, exponent).text);
        return t;
    }
    snprintf(t.text, sizeof t.text, "%s%.6g", value < 0 ? MINUS : "", fabs(value));
    return t;
}

static const char *reference(uint32_t code)
{
    switch (code) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void ol_text_escape(const char *text, FILE *out)
{
    size_t left = strlen(text);
    while (left > 0) {
        uint32_t code;
        char symbol[4] = "";
        const size_t bytes = ol_utf8_decode(text, left, &code);
        if (bytes == 0)
            fputs("\xef\xbf\xbd", out);
        else if (reference(code) != NULL)
            fputs(reference(code), out);
        else if (ol_utf8_acts(code) && code != '\n')
            fwrite(symbol, 1, ol_utf8_symbol(code, symbol), out);
        else
            fwrite(text, 1, bytes, out);
        text += bytes > 0 ? bytes : 1;
        left -= bytes > 0 ? bytes : 1;
    }
}

char *ol_text_piece(const char *piece)
{
    char *spaced = ol_xmalloc(3 * strlen(piece) + 1), *to = spaced;
    for (; *piece != '\0'; piece++) {
        const char *symbol = *piece == ' '    ? "\xe2\x90\xa3" /* open box */
                             : *piece == '\n' ? "\xe2\x8f\x8e" /* return */
                             : *piece == '\t' ? "\xe2\x87\xa5" /* tab */
                                              : NULL;
        if (symbol != NULL)
            to = (char *)memcpy(to, symbol, 3) + 3;
        else
            *to++ = *piece;
    }
    *to = '\0';
    char *visible = ol_utf8_visible(spaced, "");
    free(spaced);
    return visible;
}

/* Whether that is a word of its own between these places. */
static bool is_word(const char *text, const char *at, size_t bytes)
{
    static const char around[] = " \n%,.;:()";
    return (at == text || strchr(around, at[-1]) != NULL) &&
           (at[bytes] == '\0' || strchr(around, at[bytes]) != NULL);
}

void ol_text_settle(char *text)
{
    static const char *const unknown[] = {"-9223372036854775808", "-nan", "nan"};
    const size_t dash = strlen(OL_TEXT_UNKNOWN);
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        const size_t bytes = strlen(unknown[i]);
        for (char *at = text; (at = strstr(at, unknown[i])) != NULL; at += dash) {
            if (!is_word(text, at, bytes))
                continue;
            memcpy(at, OL_TEXT_UNKNOWN, dash);
            memmove(at + dash, at + bytes, strlen(at + bytes) + 1);
        }
    }
}

void ol_text_print(FILE *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = ol_xvasprintf(format, args);
    va_end(args);
    ol_text_escape(text, out);
    free(text);
}
