/* How much arithmetic a forward pass is, counted from the spec: two operations for each
 * multiply-add of a matrix product; everything else is left out. */
#ifndef OL_COST_H
#define OL_COST_H

#include <stdint.h>

#include "extract/model/spec.h"

/* The tokens of a run as the counts need them. */
struct ol_cost_tokens {
    int64_t n_sequences;
    const int32_t *lengths; /* [n_sequences] */
};

/* Operations of one layer's attention block (projections, scores, weighted values) or
 * what stands in its place, of its MLP or MoE block with router, and of the LM head. */
double ol_cost_mixer(const struct ol_spec *spec, int layer,
                     const struct ol_cost_tokens *tokens);
double ol_cost_router(const struct ol_spec *spec, int layer,
                      const struct ol_cost_tokens *tokens);
double ol_cost_mlp(const struct ol_spec *spec, int layer,
                   const struct ol_cost_tokens *tokens);
double ol_cost_head(const struct ol_spec *spec, const struct ol_cost_tokens *tokens);

#endif
