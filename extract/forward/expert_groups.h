/* (token, slot) pairs in the order of the permutation, and the groups that pass the
 * buffers one after another; an expert may span several groups:
 *
 *     expert   0 0 0 1 1 1 1 1 1 4 4 5 ...      (2 and 3 have no rows)
 *     group    [   0     ] [   1     ] [ ...
 */
#ifndef OL_EXPERT_GROUPS_H
#define OL_EXPERT_GROUPS_H

#include "extract/ops.h"

/* `n` experts with rows, pairs begin .. end - 1. The first and the last may have further
 * pairs in the groups before and after. */
struct ol_expert_group {
    int64_t most_rows;
    int most_experts;
    int64_t begin, end;
    int n;
    int *experts;    /* [n_experts] */
    int64_t *firsts; /* [n_experts + 1]: an expert's first pair, from begin, */
    int64_t *ends;   /* [n_experts]: and behind its last of the baseline's */
};

/* Room for the experts of a layer; the limits are the caller's to set. */
void ol_expert_group_make(struct ol_expert_group *g, int n_experts);
void ol_expert_group_clear(struct ol_expert_group *g);

/* How many of an expert's rows are multiplied at a time (ol_product_block). */
int64_t ol_expert_block(const struct ol_permutation *p, int expert);

/* Before the first of a layer, and on to the next; false: there is none. Rows from
 * n_baseline_rows on are no baseline's. */
void ol_expert_group_begin(struct ol_expert_group *g);
bool ol_expert_group_next(struct ol_expert_group *g, const struct ol_permutation *p,
                          int64_t n_baseline_rows);

#endif
