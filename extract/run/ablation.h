/* The sequences of a run with those of its arms behind them, as the forward pass takes
 * them. */
#ifndef OL_ABLATION_H
#define OL_ABLATION_H

#include "extract/intervene/intervention.h"

struct ol_ablation {
    struct ol_arms arms;
    /* The baseline's, and every arm's after it. */
    int64_t n_sequences, n_rows;
    int32_t *lengths; /* [n_sequences] */
    int32_t *ids;     /* [n_rows], without padding */
    /* Of each arm, as the file has it: [arms.n]. */
    const char **texts;
    int32_t *left_out;
};

/* What the arms repeat; copied. lengths NULL: sequences are not known yet, as in a plan.
 */
struct ol_ablation_baseline {
    int64_t n_sequences;
    const int32_t *lengths; /* [n_sequences] */
    const int32_t *ids;
};

/* texts [n]: what --ablate says of each arm; n may be 0. Clear it also when this
 * fails. */
int ol_ablation_init(struct ol_ablation *a, const struct ol_spec *spec,
                     const char *const *texts, int n,
                     const struct ol_ablation_baseline *baseline, struct ol_error *err);
void ol_ablation_clear(struct ol_ablation *a);

#endif
