/* Values of one site of a run, counted by their bf16 code: exact quantiles and moments
 * that do not depend on the order of the values. */
#ifndef OL_ANALYZE_HISTOGRAM_H
#define OL_ANALYZE_HISTOGRAM_H

#include "analyze/parts.h"

enum { OL_N_MAGNITUDES = OL_N_CODES / 2 };

struct ol_histogram {
    int64_t *counts;     /* [OL_N_CODES], owned */
    int64_t *magnitudes; /* [OL_N_MAGNITUDES]: codes without their sign; owned */
    int64_t n, n_nan, n_inf, n_zero, n_finite;
};

/* Of all files of the run; the layer's summary_sites[site] must be true. Clear it. */
void ol_histogram_read(const struct ol_parts *parts, int i_layer,
                       enum ol_summary_site site, struct ol_histogram *h);
void ol_histogram_clear(struct ol_histogram *h);

/* The rank-th smallest magnitude of the finite values, from 1; NaN when there are fewer.
 */
double ol_histogram_magnitude(const struct ol_histogram *h, int64_t rank);

/* Of the magnitudes of the finite values; of an even number the mean of the middle two;
 * NaN when there is none. */
double ol_histogram_median(const struct ol_histogram *h);

#endif
