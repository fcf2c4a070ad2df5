#include "report/csv_text.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/number.h"
#include "common/utf8.h"

/* Spreadsheets of some languages take full-width signs too. One sign alone is a text. */
static bool is_formula(const char *text)
{
    static const uint32_t signs[] = {'=',    '+',    '-',    '@',   '\t',
                                     0xff1d, 0xff0b, 0xff0d, 0xff20};
    uint32_t code;
    const size_t bytes = ol_utf8_decode(text, strlen(text), &code);
    for (size_t i = 0; bytes > 0 && i < sizeof signs / sizeof signs[0]; i++)
        if (code == signs[i])
            return text[bytes] != '\0';
    return false;
}

void ol_csv_text(const char *text, FILE *out)
{
    /* A carriage return is no part of a line end here: it would write over the line. */
    char *visible = ol_utf8_visible(text, "\t\n");
    const bool quoted = strpbrk(visible, "\",;\t\n") != NULL;
    fputs(quoted ? "\"" : "", out);
    if (is_formula(visible + strspn(visible, "'")))
        fputc('\'', out);
    for (const char *c = visible; *c != '\0'; c++) {
        if (*c == '"')
            fputc('"', out);
        fputc(*c, out);
    }
    fputs(quoted ? "\"" : "", out);
    free(visible);
}

void ol_csv_real(double value, FILE *out)
{
    if (!isnan(value))
        fputs(ol_number_shortest(value).text, out);
}
