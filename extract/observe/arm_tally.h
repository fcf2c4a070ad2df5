/* What is kept of an arm of an ablation (arms.h): where occurrences are, by sequence and
 * dimension, and the likelihoods. Sites are the ln sites that are recorded, in the order
 * of the layers, ln_attn before ln_mlp; positions are those of the arm's own tokens. */
#ifndef OL_ARM_TALLY_H
#define OL_ARM_TALLY_H

#include "common/activation_file.h"
#include "extract/digest.h"

struct ol_arm_tally;

/* layout is borrowed; it has arms. */
struct ol_arm_tally *ol_arm_tally_new(const struct ol_activation_layout *layout);
void ol_arm_tally_free(struct ol_arm_tally *t); /* NULL is fine */

/* Bytes that it needs. */
int64_t ol_arm_tally_bytes(const struct ol_activation_layout *layout);

/* A whole sequence's at the site of a recorded layer; arms are counted from 0. */
void ol_arm_tally_add(struct ol_arm_tally *t, int arm, int layer,
                      enum ol_summary_site site, int64_t sequence,
                      const struct ol_digest *digest);

/* nll [n]: of a whole sequence of n tokens. */
void ol_arm_tally_add_nll(struct ol_arm_tally *t, int arm, int64_t sequence, int64_t n,
                          const float *nll);

/* All that there is so far; borrowed. */
const struct ol_activation_arms *ol_arm_tally_arms(const struct ol_arm_tally *t);

/* The same to and from bytes, for a run that is resumed. The caller frees *bytes. */
void ol_arm_tally_save(const struct ol_arm_tally *t, void **bytes, size_t *n);
int ol_arm_tally_restore(struct ol_arm_tally *t, const void *bytes, size_t n,
                         struct ol_error *err);

#endif
