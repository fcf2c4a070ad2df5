/* What came of the likelihoods. */
#ifndef OL_LIKELIHOOD_H
#define OL_LIKELIHOOD_H

#include "extract/observe/recording.h"

/* Mean of the negative log-likelihoods, over all tokens but the first of each sequence,
 * and their number (0: there are none). When everything was written. */
double ol_likelihood_mean(const struct ol_recording *r, int64_t *n);

#endif
