/* Inverse frequencies and the cos/sin table of rotary embeddings, on the host. */
#ifndef OL_ROPE_TABLE_H
#define OL_ROPE_TABLE_H

#include <stdint.h>

#include "extract/model/spec.h"

/* A sequence has the first table that is as long as it is: LONGROPE has another behind
 * its original positions, all others one. */
enum { OL_ROPE_TABLES = 2 };

/* Positions of a table for sequences of up to that many tokens; 0: there is none. */
int64_t ol_rope_positions(const struct ol_rope_spec *rope, int64_t longest, int table);

/* inv [rotary_dim / 2]: theta^(-2i/D) in float as transformers computes it, then the
 * scaling: LINEAR inv / factor; LLAMA3 by wavelength (transformers modeling_rope_utils,
 * llama3). */
void ol_rope_frequencies(const struct ol_rope_spec *rope, int table, float *inv);

/* cos and sin [n_positions, rotary_dim / 2] of float(position) * inv. */
void ol_rope_fill(const struct ol_rope_spec *rope, int table, int64_t n_positions,
                  float *cos_table, float *sin_table);

#endif
