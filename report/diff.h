/* What changed between two models of one kind (Base and Instruct, say): tables that
 * formats print. */
#ifndef OL_REPORT_DIFF_H
#define OL_REPORT_DIFF_H

#include "report/format.h"
#include "report/grid.h"

enum ol_diff_change {
    OL_DIFF_GAINED, /* qualifies in b only */
    OL_DIFF_LOST,   /* qualifies in a only */
    OL_DIFF_MOVED,  /* in both, but the first or last layer with an occurrence differs */
    OL_DIFF_KEPT,
    OL_DIFF_CHANGES
};

struct ol_diff {
    const struct ol_report *report; /* of a and b */
    const struct ol_report_results *a, *b;
    int64_t n_features[OL_DIFF_CHANGES]; /* of the unique ones */
    int64_t n_experts_a, n_experts_b, n_experts_common;
    bool related;    /* of one lineage: dimensions and experts can be matched */
    bool comparable; /* and both have counts of outlier features */
    bool same_model; /* the same weights */
    bool has_experts, has_sinks, has_steps;
    bool has_choices; /* of routers, in one of them at least */
};

/* The report's two results, borrowed. */
void ol_diff_make(struct ol_diff *d, const struct ol_report *report);
/* Reasons not to trust it, as ol_report_warning. The caller frees. */
char *ol_diff_warning(const struct ol_diff *d, int *state);

/* The caller frees. */
struct ol_grid *ol_diff_runs(const struct ol_diff *d);
struct ol_grid *ol_diff_counts(const struct ol_diff *d);
struct ol_grid *ol_diff_features(const struct ol_diff *d, enum ol_diff_change change);
struct ol_grid *ol_diff_experts(const struct ol_diff *d);

#endif
