/* What came of the arms of an ablation. */
#ifndef OL_OBSERVE_ARMS_H
#define OL_OBSERVE_ARMS_H

#include "extract/observe/recording.h"

/* What is recorded of them, when everything was written; borrowed. NULL: there are
 * none. */
const struct ol_activation_arms *ol_arms_recorded(const struct ol_recording *r);

/* Mean of an arm's negative log-likelihoods (counted from 0), over all tokens that have
 * one, and their number. */
double ol_arms_mean_nll(const struct ol_recording *r, int arm, int64_t *n);

#endif
