/* A section of a report, written once: its parts (sentences, figures, tables) are
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
    const char *id, *title;
    const struct ol_table_source *const *tables; /* end with NULL */
    const struct ol_figure *const *figures;
    /* Whether the results have what it tells. HTML has all sections, and says what would
     * be needed; Markdown has these alone. */
    bool (*has)(const struct ol_report_results *r);
    void (*write)(const struct ol_report_results *r, struct ol_section_out *to);
};

extern const struct ol_section *const ol_sections[]; /* ends with NULL */

/* ---- parts ---- */

/* A paragraph. */
void ol_section_say(struct ol_section_out *to, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* One of a list of sentences. */
void ol_section_item(struct ol_section_out *to, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A figure with its caption, where there are figures; then its numbers. */
void ol_section_figure(struct ol_section_out *to, const struct ol_figure *figure,
                       const struct ol_table_source *numbers);
/* A table, where it has rows. */
void ol_section_table(struct ol_section_out *to, const struct ol_table_source *table);

/* ---- formats ---- */

struct ol_section_format {
    void (*say)(struct ol_section_out *to, const char *text);
    void (*item)(struct ol_section_out *to, const char *text);
    void (*figure)(struct ol_section_out *to, const struct ol_figure *figure,
                   const struct ol_table_source *numbers);
    void (*table)(struct ol_section_out *to, const struct ol_table_source *table);
};
struct ol_section_out {
    const struct ol_section_format *format;
    const struct ol_report_results *r;
    int64_t top;
    FILE *out;
    bool in_list; /* the last part was an item */
};
extern const struct ol_section_format ol_html_section_format, ol_markdown_section_format;

#endif
