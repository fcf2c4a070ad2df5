/* Markdown tables whose columns line up in a terminal too. */
#ifndef OL_REPORT_TABLE_H
#define OL_REPORT_TABLE_H

#include <stdio.h>

struct ol_table;

/* columns: one character each, 'l' or 'r' for its alignment. */
struct ol_table *ol_table_new(const char *columns);
/* The next cell, row by row; the first row is the header. A text, whatever it holds. */
void ol_table_cell(struct ol_table *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The next cell as Markdown; it becomes the table's. */
void ol_table_markdown(struct ol_table *t, char *taken);
/* Print and free. */
void ol_table_print(struct ol_table *t, FILE *out);

#endif
