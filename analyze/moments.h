/* What heads or residual streams come to, as files have it row by row, over all files:
 * rows of the tables of mixed heads and of streams. */
#ifndef OL_ANALYZE_MOMENTS_H
#define OL_ANALYZE_MOMENTS_H

#include <stdint.h>

/* Sequences are counted through all files; places are -1 without a number. */
struct ol_moments {
    double width, squares, max, min;
    int64_t max_sequence, max_position, min_sequence, min_position;
    int64_t max_dimension, min_dimension; /* -1 where the table does not say it */
};

/* Nothing yet. */
struct ol_moments ol_moments_new(void);

/* A file's row joins those before it: of equal extremes the first stays. n_columns: of
 * its table. */
void ol_moments_join(struct ol_moments *to, const double *row, int n_columns,
                     int64_t first_sequence);

/* Of the larger magnitude; of equal ones the maximum. */
double ol_moments_magnitude(const struct ol_moments *m);

/* What a block says; NAN where it is not known, or not finite. n_tokens: of all files;
 * n: heads or streams whose squares these are. */
double ol_moments_max(const struct ol_moments *m);
double ol_moments_min(const struct ol_moments *m);
double ol_moments_largest(const struct ol_moments *m); /* its magnitude */
double ol_moments_rms(const struct ol_moments *m, int64_t n, int64_t n_tokens);

#endif
