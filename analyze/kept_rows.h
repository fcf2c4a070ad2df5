/* Samples of rows that files keep by the keys of their tokens (ol-activations.5), put
 * together over the files of a run. */
#ifndef OL_ANALYZE_KEPT_ROWS_H
#define OL_ANALYZE_KEPT_ROWS_H

#include "analyze/parts.h"

enum { OL_KEPT_FIRST, OL_KEPT_OTHERS, OL_N_KEPT_KINDS }; /* tokens of their sequence */

/* A row of the sample of one file. */
struct ol_kept_row {
    uint64_t key;
    int64_t count; /* of tokens that have the key, in all files */
    int file, slot;
    int64_t sequence, position; /* in the file, of the first of these */
};

/* Which sample: the number-th of a table of samples of n_sampled rows each. */
struct ol_kept_rows {
    const struct ol_parts *parts;
    int table, i_layer;
    size_t number, n_sampled;
};

int ol_kept_row_kind(const struct ol_kept_row *row);

/* All files' rows, those with equal keys as one, the smallest keys of each kind: these
 * are among the smallest of every file that has them. First tokens, then others, by
 * rising key; returns how many. list [n_files * n_sampled]. */
size_t ol_kept_rows_list(const struct ol_kept_rows *of, struct ol_kept_row *list);

/* A row stands for count / (all counts of its kind) of the tokens of its kind. Whole
 * numbers, exact as far as they are below 2^50. */
void ol_kept_rows_weigh(const struct ol_kept_row *list, size_t n,
                        const double tokens[OL_N_KEPT_KINDS], int64_t *weights);

#endif
