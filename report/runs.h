/* What a result is a run of, by which two runs of one model are told apart: one table of
 * facts for surveys, comparisons and names. */
#ifndef OL_REPORT_RUNS_H
#define OL_REPORT_RUNS_H

#include "report/format.h"
#include "report/grid.h"

/* What may be doubted when two results differ in a fact. */
enum ol_run_doubt {
    OL_RUN_NAMES,   /* nothing: it names the run */
    OL_RUN_ROUNDS,  /* the last digits of values, and counts at the threshold */
    OL_RUN_READS,   /* counts: another text, or the same text otherwise */
    OL_RUN_MEASURES /* counts: another criterion */
};

struct ol_run_fact {
    const char *key, *title; /* of a column */
    enum ol_run_doubt doubt;
    /* NULL: not known. The caller frees. */
    char *(*text)(const struct ol_report_results *r);
    /* For a narrow column; each NULL: as above. */
    const char *short_title;
    char *(*short_text)(const struct ol_report_results *r);
};
enum { OL_RUN_FACTS = 11 };
extern const struct ol_run_fact ol_run_facts[OL_RUN_FACTS + 1]; /* the last key is NULL */

/* Whether two results differ in a fact; what is not known differs from nothing. */
bool ol_run_fact_differs(const struct ol_run_fact *f, const struct ol_report_results *a,
                         const struct ol_report_results *b);
/* Whether any two of several do. */
bool ol_run_fact_varies(const struct ol_run_fact *f, const struct ol_report *report);

/* What result i is called among the others: its label or its model's name, and when
 * several have that, what tells it from them. The caller frees. */
char *ol_run_name(const struct ol_report *report, int i);
/* The part of that behind the model's name, "" for none: with it, a row that begins with
 * the model's name is told from those of the other runs. The caller frees. */
char *ol_run_mark(const struct ol_report *report, int i);

/* Whether both are results of one model: the same weights. */
bool ol_run_same_model(const struct ol_report_results *a,
                       const struct ol_report_results *b);
/* What makes two models too different to be of one lineage, in which a feature's number
 * means the same; NULL: nothing. The caller frees. */
char *ol_run_unrelated(const struct ol_report_results *a,
                       const struct ol_report_results *b);

/* Reasons not to compare several results, one at a time: call with *state 0 first, until
 * it returns NULL. The caller frees. */
char *ol_runs_warning(const struct ol_report *report, int *state);

#endif
