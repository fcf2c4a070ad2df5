/* Tensors that nothing reads, though they are of the model. */
#ifndef OL_UNUSED_H
#define OL_UNUSED_H

#include <stdint.h>

#include "extract/weights/checkpoint.h"
#include "extract/weights/weights.h"

/* How many tensors lie in the model's layers, and in a wrapper anywhere but in the parts
 * that are left out, that no weight is made of, and the first of them by its place: a
 * bias, say, that config.json does not speak of. Tensors that change
 * nothing are not counted: of other kinds of quantisation (scales of activations), tables
 * of ropes, and zeros. */
int64_t ol_unused_count(const struct ol_weights *w, const struct ol_spec *spec,
                        const struct ol_checkpoint *c, const char **first);

#endif
