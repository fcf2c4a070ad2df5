/* Output formats: one file each, one line in formats.c. */
#ifndef OL_REPORT_FORMAT_H
#define OL_REPORT_FORMAT_H

#include <stdio.h>

#include "report/results.h"

struct ol_report {
    const struct ol_report_results *results; /* [n]: one is a model's report, several a */
    int n;                                   /* survey */
    int64_t top;                             /* rows of long tables */
    const char *figure, *table;              /* --figure, --table; NULL: not given */
};

struct ol_format {
    const char *name;
    void (*write)(const struct ol_report *report, FILE *out);
    /* Whether the report has what the options ask for, or NULL. */
    int (*check)(const struct ol_report *report, struct ol_error *err);
    /* What is written becomes the format's own by this, or NULL: it is that already. */
    int (*convert)(const struct ol_report *report, FILE *written, FILE *out,
                   struct ol_error *err);
    /* The first result compared with the second, or NULL. */
    void (*write_diff)(const struct ol_report *report, FILE *out);
    /* What becomes of several in their order, or NULL. */
    void (*write_trend)(const struct ol_report *report, FILE *out);
};
extern const struct ol_format *const ol_formats[]; /* ends with NULL */
extern const struct ol_format ol_html_format;

/* Reasons to read a result with care, one at a time: call with *state 0 first, until it
 * returns NULL. The caller frees. */
char *ol_report_warning(const struct ol_report_results *r, int *state);

/* The sections of neutral elements (section.h). */
void ol_markdown_sections(const struct ol_report_results *r, int64_t top, FILE *out);
void ol_diff_markdown(const struct ol_report *report, FILE *out);
void ol_diff_json(const struct ol_report *report, FILE *out);
void ol_diff_html(const struct ol_report *report, FILE *out);
void ol_html_survey(const struct ol_report *report, FILE *out);
void ol_trend_markdown(const struct ol_report *report, FILE *out);
void ol_trend_html(const struct ol_report *report, FILE *out);
void ol_trend_csv(const struct ol_report *report, FILE *out);

/* Formats that take --figure. */
bool ol_svg_format_is(const struct ol_format *format);
/* Names for it: 0 when there is one of that name; a list of them. */
int ol_svg_format_find(const char *name);
void ol_svg_format_list(FILE *out);

/* "30.5 B", "1.2 M". The caller frees. */
char *ol_report_parameters(int64_t n);
/* "bf16 on cpu (device, processor)". The caller frees. */
char *ol_report_run(const struct ol_report_results *r);
/* Whether values hang on the kind of processor that computed them. */
bool ol_report_rounds(const struct ol_report_results *r);

#endif
