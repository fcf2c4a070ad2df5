/* What a file holds in place of what it should: downloads leave such things behind. */
#ifndef OL_STAND_IN_H
#define OL_STAND_IN_H

#include <stddef.h>

/* A sentence about the first bytes of a file, "this is a Git LFS pointer, ...", or NULL
 * when they are nothing of the kind. */
const char *ol_stand_in(const char *bytes, size_t n);

#endif
