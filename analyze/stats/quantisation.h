/* What quantising needs to know of all tokens of a site, between the statistic that
 * gathers it and those that see the same rows. Private to stats/. */
#ifndef OL_ANALYZE_QUANTISATION_H
#define OL_ANALYZE_QUANTISATION_H

#include "analyze/sample.h"
#include "analyze/statistics.h"

extern const struct ol_statistic ol_quantisation_statistic;

/* state: of that statistic; columns [d_model]: the largest magnitude of each dimension at
 * a site, over all tokens (NaN is larger than any). False: there are no tensors. */
bool ol_quantisation_columns(const void *state, int site, float *columns);

/* The tokens that sites are looked at by. Clear it. */
struct ol_sample ol_quantisation_sample(const struct ol_parts *parts);

#endif
