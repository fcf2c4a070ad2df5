/* What the files of the Markdown report share. */
#ifndef OL_REPORT_MARKDOWN_H
#define OL_REPORT_MARKDOWN_H

#include "report/tables.h"

/* At most `top` rows, and how many there are when these are not all; nothing when there
 * are none. */
void ol_markdown_table(const struct ol_report_results *r,
                       const struct ol_table_source *table, int64_t top, FILE *out);

/* One of a list, in lines of at most 88 characters; NULL is none. Frees the text. */
void ol_markdown_item(char *taken, FILE *out);

/* Sections of what a page shows as figures; each is nothing without its block. */
void ol_markdown_onset(const struct ol_report_results *r, int64_t top, FILE *out);

#endif
