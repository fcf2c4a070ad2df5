/* Every table of a report: made of a results file, for any format. */
#ifndef OL_REPORT_TABLES_H
#define OL_REPORT_TABLES_H

#include "report/grid.h"
#include "report/results.h"

struct ol_table_source {
    const char *name; /* for --table */
    const char *title;
    const struct ol_column *columns;
    /* A list of the blocks, as "massive.features": a row for each of its structs; or for
     * each of a list in each of them, or of an array of numbers, as
     * "router.layers.tokens". */
    const char *rows;
    /* Instead, where rows are more than that; NULL: the results have not what it needs.
     * The caller frees. */
    struct ol_grid *(*make)(const struct ol_report_results *r);
};

/* NULL: the results have not what it needs. The caller frees. */
struct ol_grid *ol_table_make(const struct ol_table_source *t,
                              const struct ol_report_results *r);

/* The i-th of all, section by section; NULL: there are not so many. */
const struct ol_table_source *ol_table_at(int i);
/* NULL: there is none of that name. */
const struct ol_table_source *ol_table_find(const char *name);

/* "expert 12", "shared expert", "MLP", "attention". The caller frees. */
char *ol_table_unit(const char *kind, int64_t expert);
/* What an event of the attribution is, in words. */
const char *ol_table_event(const char *event);

#endif
