/* What a run has of the inputs of a unit's down projection, put together over the files
 * of the run: moments of all values, the largest magnitude of each column, and a sample
 * of rows (ol-activations.5). */
#ifndef OL_ANALYZE_DOWN_ROWS_H
#define OL_ANALYZE_DOWN_ROWS_H

#include "analyze/parts.h"
#include "analyze/units.h"

struct ol_down_rows {
    int64_t width;
    double moments[OL_N_DOWN_MOMENTS];
    float *maxima; /* [width] */
    /* The rows of the sample: first tokens, then others, by rising key. */
    int64_t n_rows;
    float *rows; /* [n_rows, width] */
    int64_t
        *weights; /* [n_rows]: whole numbers in the proportion of what rows stand for */
};

/* False: nothing is recorded of it. Clear *d in both cases. */
bool ol_down_rows_read(const struct ol_parts *parts, const struct ol_unit *unit,
                       struct ol_down_rows *d);
void ol_down_rows_clear(struct ol_down_rows *d);

#endif
