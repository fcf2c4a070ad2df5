/* A section of a report, written once: its elements (sentences, figures, tables) are
 * neutral, and each format that has sections shows them in its way. A section is a file
 * in blocks/ and a line in sections.c; its tables and figures are listed, drawn and
 * written as CSV like all others. */
#ifndef OL_REPORT_SECTION_H
#define OL_REPORT_SECTION_H

#include <stdio.h>

#include "report/figures.h"
#include "report/tables.h"

struct ol_section_out; /* where a section goes: results and a format */

struct ol_section {
    const char *id, *title; /* NULL: it goes on in the section before it */
    const struct ol_table_source *const *tables; /* end with NULL */
    const struct ol_figure *const *figures;
    /* Whether the results have what it tells. HTML has all sections, and says what would
     * be needed; Markdown has these alone. */
    bool (*has)(const struct ol_report_results *r);
    void (*write)(const struct ol_report_results *r, struct ol_section_out *to);
};

extern const struct ol_section *const ol_sections[]; /* ends with NULL */

/* Sentences of one kind: more would be a list, which tables are better at. */
enum { OL_SECTION_SENTENCES = 8 };

/* ---- elements ---- */

/* A paragraph. */
void ol_section_say(struct ol_section_out *to, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* One of a list of sentences. */
void ol_section_item(struct ol_section_out *to, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same of a sentence that is taken; NULL: there is none. */
void ol_section_sentence(struct ol_section_out *to, char *taken);
/* Above what follows, where there are no figures that set it apart. */
void ol_section_heading(struct ol_section_out *to, const char *title);
/* A figure with its caption, where there are figures; then its numbers, if any. */
void ol_section_figure(struct ol_section_out *to, const struct ol_figure *figure,
                       const struct ol_table_source *numbers);
/* A table, where it has rows; `most` of them where they are not folded. */
void ol_section_table(struct ol_section_out *to, const struct ol_table_source *table);
void ol_section_rows(struct ol_section_out *to, const struct ol_table_source *table,
                     int64_t most);
/* A table that would be long where it is not folded, and is left out there; numbers: of a
 * figure further above. */
void ol_section_long(struct ol_section_out *to, const struct ol_table_source *table);
void ol_section_numbers(struct ol_section_out *to, const struct ol_table_source *table);
/* What is not there, and why. */
void ol_section_absent(struct ol_section_out *to, const char *what, const char *needs);
/* Where there are no figures: what to print instead goes here; NULL where there are. */
FILE *ol_section_text(struct ol_section_out *to);

/* ---- formats ---- */

struct ol_section_format {
    bool figures; /* and folded tables, so that nothing is left out */
    void (*say)(struct ol_section_out *to, const char *text);
    void (*item)(struct ol_section_out *to, const char *text);
    void (*heading)(struct ol_section_out *to, const char *title);
    void (*figure)(struct ol_section_out *to, const struct ol_figure *figure);
    void (*table)(struct ol_section_out *to, const struct ol_table_source *table,
                  int64_t most);
    void (*numbers)(struct ol_section_out *to, const struct ol_table_source *table);
    void (*absent)(struct ol_section_out *to, const char *what, const char *needs);
};
struct ol_section_out {
    const struct ol_section_format *format;
    const struct ol_report_results *r;
    int64_t top;
    FILE *out;
    bool in_list; /* the last element was an item */
};
extern const struct ol_section_format ol_html_section_format, ol_markdown_section_format;

#endif
