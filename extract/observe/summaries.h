/* What came of the summaries. */
#ifndef OL_SUMMARIES_H
#define OL_SUMMARIES_H

#include "extract/observe/recording.h"

/* The outliers of a run with summaries, when everything was written. The caller clears
 * it. */
void ol_summaries_outliers(const struct ol_recording *r,
                           struct ol_activation_outliers *o);

#endif
