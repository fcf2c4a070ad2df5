/* The one place where texts enter Markdown. */
#ifndef OL_REPORT_MARKDOWN_TEXT_H
#define OL_REPORT_MARKDOWN_TEXT_H

#include <stdio.h>

/* A text that reads as itself inside a paragraph, a heading, a quotation or a table cell:
 * what would be markup there (emphasis, code, links, HTML, cells, the beginnings of
 * lists) stands behind a backslash, and characters that act are symbols. A line of its
 * own for nothing. The caller frees. */
char *ol_markdown_text(const char *text);
void ol_markdown_put(const char *text, FILE *out);

/* A token's text as code, or as text where a table would cut code. The caller frees. */
char *ol_markdown_piece(const char *piece);

/* A paragraph "> **Warning.** text"; subject may be NULL. */
void ol_markdown_warning(const char *subject, const char *text, FILE *out);

#endif
