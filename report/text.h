/* Numbers and texts as people read them: one form per kind, the same in every table and
 * figure, and safe inside HTML and SVG. */
#ifndef OL_REPORT_TEXT_H
#define OL_REPORT_TEXT_H

#include <stdint.h>
#include <stdio.h>

struct ol_text {
    char text[48];
};

/* "12 345" with narrow no-break spaces. */
/* OL_ABSENT is a dash. */
struct ol_text ol_text_count(int64_t n);
/* About three digits: "0.0012", "1.53", "394.0", "9000", "1.2e+07", "inf"; a dash for
 * NAN. */
struct ol_text ol_text_magnitude(double value);
/* "35.5" of 0.355. */
struct ol_text ol_text_percent(double fraction);
/* "2⁻¹³", written with raised digits. */
struct ol_text ol_text_power(int base, int exponent);
/* As short as %g makes it, with a true minus sign. For axes. */
struct ol_text ol_text_tick(double value);

/* text with & < > " ' as references. Characters that act (utf8.h) become a visible symbol
 * or U+FFFD, but for line ends: the one place where texts enter HTML and SVG. */
void ol_text_escape(const char *text, FILE *out);
/* A token's text with white space and what acts made visible. The caller frees. */
char *ol_text_piece(const char *piece);
/* printf whose result is escaped. */
void ol_text_print(FILE *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How what is not known looks, in texts. */
#define OL_TEXT_UNKNOWN "\xe2\x80\x93"

/* Numbers in a sentence that printf wrote for OL_ABSENT or NaN become that dash. */
void ol_text_settle(char *text);

#endif
