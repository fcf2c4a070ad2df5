/* Drawings and pages in other formats, by programs that are there for it, each in a
 * process of its own: a library for it would bring a graphics stack into a small tool. */
#ifndef OL_REPORT_CONVERT_H
#define OL_REPORT_CONVERT_H

#include <stdio.h>

#include "common/error.h"

/* Each from a file that may be read again, to one whose end it becomes. They fail where
 * the program is missing, or fails. */

/* SVG to PNG, at twice its size in points for screens and paper that show more of them.
 */
int ol_convert_to_png(FILE *svg, FILE *png, struct ol_error *err);
/* SVG to PDF, with texts of 7 points: what is OL_COLUMN_PIXELS wide becomes 86 mm wide.
 */
int ol_convert_to_pdf(FILE *svg, FILE *pdf, struct ol_error *err);
/* A page in HTML to PDF, by a browser. */
int ol_convert_page(FILE *html, FILE *pdf, struct ol_error *err);

enum { OL_COLUMN_PIXELS = 418 };

#endif
