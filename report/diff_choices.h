/* What two runs' routers chose otherwise, for the same sample of tokens. */
#ifndef OL_REPORT_DIFF_CHOICES_H
#define OL_REPORT_DIFF_CHOICES_H

#include "report/grid.h"
#include "report/results.h"

/* Shares of one layer, of tokens by weight. */
struct ol_diff_flips {
    int64_t layer, top_k;
    double slots;   /* of (token, slot) pairs: another expert in the same slot */
    double choices; /* of (token, slot) pairs of A: an expert that B did not choose */
    double sets;    /* of tokens: another set of experts */
};

/* The layers that both have, into flips [layers of a]; NULL, or why they cannot be
 * compared, a sentence that the caller frees. */
char *ol_diff_flips(const struct ol_report_results *a, const struct ol_report_results *b,
                    struct ol_diff_flips *flips, int64_t *n);

/* In words, where they begin and how far they get; the caller frees. */
char *ol_diff_flips_sentence(const struct ol_report_results *a,
                             const struct ol_report_results *b);
/* By layer; no rows where they cannot be compared. The caller frees. */
struct ol_grid *ol_diff_flips_grid(const struct ol_report_results *a,
                                   const struct ol_report_results *b);

#endif
