/* The inner loop: values of at least a threshold among many. */
#ifndef OL_ANALYZE_FIND_H
#define OL_ANALYZE_FIND_H

#include <stddef.h>
#include <stdint.h>

#include "common/crc32.h"
#include "common/dtype.h"

/* A stored value with |value| >= threshold; infinity counts, NaN does not. */
struct ol_occurrence {
    uint32_t row, feature;
    float value;
};

struct ol_found {
    struct ol_occurrence *occurrences; /* row by row, features ascending; owned */
    size_t n, room;
    float max_magnitude; /* of all values that are no NaN; 0 when there is none */
    int64_t n_nan, n_inf;
    uint32_t *row_maxima; /* [n_rows] of each row, as bits of a float; owned */
    size_t rows_room;
};

struct ol_searched {
    enum ol_dtype dtype; /* BF16 or F32 */
    const void *rows;    /* [n_rows, width] */
    uint32_t first_row;  /* what the first of them is called */
    uint32_t n_rows, width;
};

/* Look through rows and put what is there into *found, whose room is used again (start
 * from {0}, end with ol_found_clear). Their checksum goes on with all of their bytes,
 * unless sum is NULL. */
void ol_find(const struct ol_searched *in, double threshold, struct ol_crc32_run *sum,
             struct ol_found *found);
/* The same of a larger threshold, from what was found with a smaller one, but for
 * row_maxima. */
void ol_find_among(const struct ol_found *more, double threshold, struct ol_found *found);
void ol_found_clear(struct ol_found *found);

#endif
