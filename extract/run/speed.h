/* How fast this machine is at what a run does most. */
#ifndef OL_SPEED_H
#define OL_SPEED_H

#include "extract/backend.h"
#include "extract/weights/checkpoint.h"

/* Operations per second of a product in the precision of the backend; -1 on failure. */
double ol_speed_of_products(struct ol_backend *b, struct ol_error *err);

/* Bytes per second of reading the checkpoint's first file in order; 0 when there is none
 * worth timing (or c is NULL). What the page cache holds is as fast as it will be in the
 * run. */
double ol_speed_of_reading(const struct ol_checkpoint *c);

#endif
