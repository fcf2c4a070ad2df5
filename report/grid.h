/* A table of values with typed columns, made once and printed as HTML, Markdown or CSV.
 */
#ifndef OL_REPORT_GRID_H
#define OL_REPORT_GRID_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/json.h"

enum ol_column_kind {
    OL_COLUMN_LABEL,     /* an integer that names something: a layer, a feature */
    OL_COLUMN_SIZE,      /* a number of parameters, shown in millions or billions */
    OL_COLUMN_COUNT,     /* an integer that counts */
    OL_COLUMN_MAGNITUDE, /* a number, three digits or so are shown */
    OL_COLUMN_NUMBER,    /* a number whose kind the row tells: as short as it goes */
    OL_COLUMN_PERCENT,   /* a fraction, shown as a percentage; CSV has the fraction */
    OL_COLUMN_TEXT,
    OL_COLUMN_PIECE, /* a token's text: white space is made visible for people */
    OL_COLUMN_YES,   /* true or false */
};
struct ol_column {
    /* In CSV; the list ends with NULL. Of a table whose rows are a list of the results,
     * the key is the field's too, of the row's struct or one around it, or "key=field":
     * there "writer.share" is a member of an object or of the first of a list, "a/b" a
     * ratio, "mean_top.0" an element of an array; an array without an index is the row's
     * element, or how many it has. "#" is the element's index, "#1" that from 1; ":unit"
     * and "writer:unit" are made of several fields (rows.c). */
    const char *key;
    const char *title; /* for people, with what it is measured in */
    enum ol_column_kind kind;
};

struct ol_grid;
/* The columns are copied, their texts borrowed. */
struct ol_grid *ol_grid_new(const struct ol_column *columns);
void ol_grid_free(struct ol_grid *g);

/* The next cell, row by row; the function must fit the column (asserted). OL_ABSENT, NAN
 * and NULL are missing values. Texts are copied. */
void ol_grid_int(struct ol_grid *g, int64_t value);
/* A number that ought to be an integer; what is none, or too large to be exact, is
 * missing. */
void ol_grid_whole(struct ol_grid *g, double value);
void ol_grid_real(struct ol_grid *g, double value);
/* One of these two, as the column asks. */
void ol_grid_number(struct ol_grid *g, double value);
void ol_grid_text(struct ol_grid *g, const char *text);
void ol_grid_yes(struct ol_grid *g, bool value);
void ol_grid_missing(struct ol_grid *g); /* in any column */

int64_t ol_grid_rows(const struct ol_grid *g);
/* At most `rows` rows. Missing values are a dash. */
void ol_grid_html(const struct ol_grid *g, const char *caption, int64_t rows, FILE *out);
void ol_grid_markdown(const struct ol_grid *g, int64_t rows, FILE *out);
/* RFC 4180; every row begins with the model's name and what the run is called among
 * several (report/runs.h). Missing values are empty. */
void ol_grid_csv_header(const struct ol_grid *g, FILE *out);
void ol_grid_csv(const struct ol_grid *g, const char *model, const char *run, FILE *out);
/* An array of an object for each row, by the columns' keys; what is missing, or infinite,
 * is null. The caller frees. */
struct ol_json *ol_grid_json(const struct ol_grid *g);

#endif
