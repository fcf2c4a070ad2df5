/* Exact statistics of what is recorded, added up from what the backend gathers
 * (digest.h): per site a histogram of all bf16 codes, sums per dimension, and the
 * occurrences of at least a threshold per sequence; over all ln sites where occurrences
 * are and what values they have. Values are what --store bf16 stores: rounded to bf16. */
#ifndef OL_SUMMARY_H
#define OL_SUMMARY_H

#include "common/activation_file.h"
#include "extract/digest.h"

struct ol_summary;

/* layout is borrowed. */
struct ol_summary *ol_summary_new(const struct ol_activation_layout *layout);
void ol_summary_free(struct ol_summary *s); /* NULL is fine */

/* Bytes that it needs. */
int64_t ol_summary_bytes(int64_t n_rows, int64_t d_model, int64_t n_sequences);

/* A whole sequence's, and counts [OL_N_CODES] of any number of them. Those of a site come
 * with none of another's between them, the sequences rising. */
void ol_summary_add(struct ol_summary *s, int64_t sequence,
                    const struct ol_digest *digest);
void ol_summary_add_counts(struct ol_summary *s, const int64_t *counts);

/* The site that was added last; borrowed, until the next is. gains [d_model]: of
 * its norm; NULL: all 1. */
const struct ol_activation_summary *ol_summary_site(struct ol_summary *s,
                                                    const float *gains);

/* Of all ln sites so far. The caller clears it. */
void ol_summary_outliers(const struct ol_summary *s, struct ol_activation_outliers *o);

/* The same to and from bytes, for a run that is resumed. The caller frees *bytes. With n
 * values they are as many as ol_summary_saved_bytes says (0 without summaries). */
size_t ol_summary_saved_bytes(const struct ol_activation_layout *layout, int64_t n);
void ol_summary_save(const struct ol_summary *s, void **bytes, size_t *n);
int ol_summary_restore(struct ol_summary *s, const void *bytes, size_t n,
                       struct ol_error *err);

#endif
