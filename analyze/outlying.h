/* The tokens on which outlier features have occurrences, from the summaries; and the
 * LLM.int8() counts when some tokens are left out, for which the tensors' rows of these
 * tokens are read. */
#ifndef OL_ANALYZE_OUTLYING_H
#define OL_ANALYZE_OUTLYING_H

#include "analyze/statistics.h"

struct ol_outlying {
    const struct ol_analysis *a;
    /* [n_sequences][length]: how many outlier features (features.h) have an occurrence
     * there, at any site. */
    int32_t **counts;
};

/* False, with *o cleared: the summaries are not there, or of another threshold. */
bool ol_outlying_find(const struct ol_analysis *a, struct ol_outlying *o);
void ol_outlying_clear(struct ol_outlying *o);

/* Bits of the positions of a sequence with an occurrence of feature f at any site, bit p
 * % 8 of byte p / 8; *bytes: how many. There must be summaries. Borrowed from the file.
 */
const uint8_t *ol_outlying_bits(const struct ol_analysis *a, int64_t sequence, size_t f,
                                int64_t *bytes);

/* pairs, unique and pooled of ol-results.5, with the marked tokens left out of numerators
 * and denominators: skip[sequence][position] is 1 for those. A sequence that has no other
 * tokens has no features. False: there are no tensors (or not as bf16), or no summaries
 * of this threshold. */
struct ol_counts_without {
    int64_t pairs, unique, pooled;
};
bool ol_outlying_without(const struct ol_analysis *a, const uint8_t *const *skip,
                         struct ol_counts_without *counts);

#endif
