/* Tensors that nothing reads, though they are of the model. */
#ifndef OL_UNUSED_H
#define OL_UNUSED_H

#include <stdint.h>

#include "extract/weights/checkpoint.h"
#include "extract/weights/source.h"
#include "extract/weights/weights.h"

struct ol_unused_request {
    const struct ol_spec *spec;
    const struct ol_checkpoint *checkpoint;
    struct ol_source *source; /* where bytes come from later; NULL: they are there */
};

/* *n: how many tensors lie in the model's layers, and in a wrapper anywhere but in the
 * parts that are left out, that no weight is made of, and the first of them by its place:
 * a bias, say, that config.json does not speak of. Tensors that change nothing are not
 * counted: of other kinds of quantisation (scales of activations), tables of ropes, and
 * zeros. Fails where bytes cannot be fetched. */
int ol_unused_count(const struct ol_weights *w, const struct ol_unused_request *r,
                    int64_t *n, const char **first, struct ol_error *err);

#endif
