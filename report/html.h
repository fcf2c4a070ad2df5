/* The parts of an HTML report. */
#ifndef OL_REPORT_HTML_H
#define OL_REPORT_HTML_H

#include "report/figures.h"
#include "report/format.h"
#include "report/page.h"
#include "report/tables.h"

enum { OL_HTML_MOST_SECTIONS = 32 };

struct ol_html_section {
    struct ol_page_section contents;
    void (*write)(const struct ol_report_results *r, int64_t top, FILE *out);
};
extern const struct ol_html_section ol_html_sections[]; /* ends with an id of NULL */

void ol_html_summary(const struct ol_report_results *r, int64_t top, FILE *out);
/* With its caption; or a sentence that says what would be needed. */
void ol_html_figure(const struct ol_report_results *r, const struct ol_figure *f,
                    FILE *out);
/* Folded when it is long; nothing when there are no rows. */
void ol_html_table(const struct ol_report_results *r, const struct ol_table_source *t,
                   int64_t top, FILE *out);

/* The numbers of the figure above it: folded. */
void ol_html_numbers(const struct ol_report_results *r, const struct ol_table_source *t,
                     int64_t top, FILE *out);

void ol_html_survey(const struct ol_report *report, FILE *out);

#endif
