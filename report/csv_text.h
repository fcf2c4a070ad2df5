/* The one place where texts and numbers enter CSV. */
#ifndef OL_REPORT_CSV_TEXT_H
#define OL_REPORT_CSV_TEXT_H

#include <stdio.h>

/* A cell by RFC 4180, quoted when it must be. What a spreadsheet would take for a formula
 * gets an apostrophe in front (so does what has one there already, so that a reader can
 * take it away again); characters that act become symbols, but tabs and line ends. */
void ol_csv_text(const char *text, FILE *out);

/* A number with all its digits and no more; nothing for NAN, "inf" for infinity. */
void ol_csv_real(double value, FILE *out);

#endif
