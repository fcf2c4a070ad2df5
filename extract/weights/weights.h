/* The table of a model's weights: every role bound once to a tensor of the checkpoint,
 * its shape and type checked, so that nothing after this looks at names. */
#ifndef OL_WEIGHTS_H
#define OL_WEIGHTS_H

#include <stdint.h>

#include "extract/weights/checkpoint.h"
#include "extract/model/spec.h"
#include "extract/weights/source.h"
#include "extract/weights/weight.h"

struct ol_weights;

/* Which of a wrapper's forms the names have in this checkpoint, before they are bound. A
 * head of its own counts, as in transformers, also where config.json calls it tied. */
void ol_weights_choose_form(struct ol_spec *spec, const struct ol_checkpoint *c);

/* Bind all roles. Fails with every missing tensor counted and the first few named, or
 * with the first tensor of unexpected shape or type. source: where the bytes come from
 * later, NULL where they are there or none are to be had. All three are borrowed, the
 * source during the call alone. */
struct ol_weights *ol_weights_bind(const struct ol_spec *spec,
                                   const struct ol_checkpoint *c,
                                   struct ol_source *source, struct ol_error *err);
void ol_weights_free(struct ol_weights *w);

/* layer and expert are ignored by roles that have none. A tied LM head is the embedding.
 */
struct ol_weight ol_weights_get(const struct ol_weights *w, enum ol_role role, int layer,
                                int expert);

/* Where the checkpoint's bytes come later: what follows from a weight's own bytes, which
 * are there now, and whether they can be right. Before it is used or sent anywhere. */
int ol_weights_see(const struct ol_weights *w, enum ol_role role, int layer, int expert,
                   struct ol_error *err);

/* Parameters of the text model: all, and those that one token uses (a token uses all but
 * the experts that its router does not choose). Tied tensors count once. */
void ol_weights_parameters(const struct ol_weights *w, int64_t *total, int64_t *active);

/* "BF16", or "FP8+BF16+F32" when formats are mixed (by falling bytes). The caller frees.
 */
char *ol_weights_format(const struct ol_weights *w);

#endif
