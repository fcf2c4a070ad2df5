/* Which weights are quantised, and how many bytes they are, where only config.json is
 * known: an estimate of what the checkpoint will hold. */
#ifndef OL_MODULES_H
#define OL_MODULES_H

#include <stdint.h>

#include "extract/model/role.h"

struct ol_modules;

/* spec is borrowed. */
struct ol_modules *ol_modules_new(const struct ol_spec *spec);
void ol_modules_free(struct ol_modules *m); /* NULL is fine */

/* Codes and scales of a quantised weight; of others, BF16. */
int64_t ol_modules_bytes(const struct ol_modules *m, const struct ol_role_tensor *t);

#endif
