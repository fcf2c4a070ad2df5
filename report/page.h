/* The frame of an HTML report: head, style, script, headings, figures and tables. One
 * file that loads nothing; it reads, prints and works without its script. */
#ifndef OL_REPORT_PAGE_H
#define OL_REPORT_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct ol_page_section {
    const char *id, *title; /* ends with NULL */
};

/* wide: for tables of many columns, with the contents above instead of beside them. */
void ol_page_open(FILE *out, const char *title, const char *subtitle, bool wide,
                  const struct ol_page_section *contents);
void ol_page_close(FILE *out, const char *origin);
void ol_page_begin_section(FILE *out, const struct ol_page_section *section);
void ol_page_end_section(FILE *out);

/* What is not there, and why. */
void ol_page_absent(FILE *out, const char *what, const char *needs);
void ol_page_warning(FILE *out, const char *text);

/* Around a drawing and its words. */
void ol_page_begin_figure(FILE *out, const char *name, const char *title);
void ol_page_end_figure(FILE *out, const char *title, const char *caption);

/* A box with a number in it; note may be NULL. */
void ol_page_card(FILE *out, const char *name, const char *value, const char *note);

#endif
