/* A run in parts: each takes some of its sequences, whole, one after another, through the
 * whole model, and knows of the others only how many there are.
 *
 *     16 sequences in 3 parts    | 0 .. 4 | 5 .. 9 | 10 .. 15 |
 *
 * Layers are nobody's part: each begins with what the layer before has made of all
 * tokens. */
#ifndef OL_PART_H
#define OL_PART_H

#include <stdint.h>

#include "common/error.h"

enum { OL_PARTS_MOST = 100000 };

/* Part `number` of n, counted from 1; n 0: all of the run. */
struct ol_part {
    int64_t number, n;
};

/* "2/4" */
int ol_part_parse(const char *text, struct ol_part *part, struct ol_error *err);

/* Its sequences of the run's are *first .. *first + *n - 1, which are some: fails when
 * the run has fewer sequences than parts. */
int ol_part_sequences(const struct ol_part *part, int64_t n_sequences, int64_t *first,
                      int64_t *n, struct ol_error *err);

/* The file of a part of the run whose file is `path`: RUN.part-2-of-4.h5 for RUN.h5. The
 * caller's. */
char *ol_part_path(const struct ol_part *part, const char *path);

#endif
