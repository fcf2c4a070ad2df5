/* Arms of an ablation from what ol-analyze found. */
#ifndef OL_ABLATE_FROM_H
#define OL_ABLATE_FROM_H

#include "common/error.h"

enum { OL_FOUND_ARMS = 3 };

/* Read the results file, which must be of the model with that config_sha256, and make
 * arms of what it found: the massive dimensions at zero, at their mean, and the routed
 * super experts left out; what was not found has no arm. texts [*n] are the caller's.
 * Fails when nothing was found. */
int ol_ablate_from(const char *path, const char *config_sha256,
                   char *texts[OL_FOUND_ARMS], int *n, struct ol_error *err);

#endif
