/* Exact statistics of what is recorded, gathered while the rows pass the writer: per site
 * a histogram of all bf16 codes, sums per dimension, and the occurrences of at least a
 * threshold per sequence; over all ln sites where occurrences are and what values they
 * have. Values are what --store bf16 stores: rounded to bf16. */
#ifndef OL_SUMMARY_H
#define OL_SUMMARY_H

#include "common/activation_file.h"

struct ol_summary;

/* layout is borrowed; n_threads as for ol_pool_new. NULL on failure. */
struct ol_summary *ol_summary_new(const struct ol_activation_layout *layout,
                                  int n_threads, struct ol_error *err);
void ol_summary_free(struct ol_summary *s); /* NULL is fine */

/* Bytes that it needs. */
int64_t ol_summary_bytes(int64_t n_rows, int64_t d_model, int64_t n_sequences);

/* Rows [n, d_model], bf16, of one sequence. A site's rows come in any number of calls, of
 * each sequence in order, and no other site's between them. */
void ol_summary_take(struct ol_summary *s, enum ol_summary_site site, int64_t sequence,
                     int64_t token, int64_t n, const uint16_t *rows);

/* The site that was taken last; borrowed, until the next is taken. gains [d_model]: of
 * its norm; NULL: all 1. */
const struct ol_activation_summary *ol_summary_site(struct ol_summary *s,
                                                    const float *gains);

/* Of all ln sites so far. The caller clears it. */
void ol_summary_outliers(const struct ol_summary *s, struct ol_activation_outliers *o);

/* The same to and from bytes, for a run that is resumed. The caller frees *bytes. */
void ol_summary_save(const struct ol_summary *s, void **bytes, size_t *n);
int ol_summary_restore(struct ol_summary *s, const void *bytes, size_t n,
                       struct ol_error *err);

#endif
