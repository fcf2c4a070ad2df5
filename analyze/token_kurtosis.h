/* How heavy the tails of a token's values are: the kurtosis over the dimensions of each
 * token of a sample, and the median of these. That of all values together grows with the
 * length of the sequences where one token of each has a value like no other. */
#ifndef OL_ANALYZE_TOKEN_KURTOSIS_H
#define OL_ANALYZE_TOKEN_KURTOSIS_H

#include "analyze/sample.h"
#include "analyze/statistics.h"

struct ol_sample ol_token_kurtosis_sample(const struct ol_parts *parts);

/* Of a site's tensor, by the tokens' weights; NaN: it is not there. The stream after a
 * layer (OL_SUMMARY_OUTPUT) is what goes into the next one: its residual_attn or, without
 * that, its ln_attn by the norm's gain, for a norm divides each token by one number, and
 * kurtosis does not change with the scale. */
double ol_token_kurtosis_median(const struct ol_analysis *a,
                                const struct ol_sample *sample, int i_layer,
                                enum ol_summary_site site);

#endif
