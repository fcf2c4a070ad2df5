/* At each site the tokens of the largest magnitude, found as tokens come in any order. */
#ifndef OL_ANALYZE_WORST_H
#define OL_ANALYZE_WORST_H

#include <stdbool.h>
#include <stdint.h>

struct ol_worst;
struct ol_worst *ol_worst_new(int n_sites, int n_threads, int64_t n_wanted);
void ol_worst_free(struct ol_worst *w); /* NULL is fine */

/* A token of a site, with its magnitude as bits. True: it may be one of the n_wanted
 * largest, ties to the first token, and is put aside; false: it is none, as this thread
 * has seen n_wanted larger ones. */
bool ol_worst_offer(struct ol_worst *w, int thread, int site, uint32_t bits,
                    int64_t token);

/* When all were offered: those put aside at a site, [*n] of the caller's; first come the
 * *n_worst that are the largest, by number, then the others. */
int64_t *ol_worst_put_aside(const struct ol_worst *w, int site, int64_t *n_worst,
                            int64_t *n);

#endif
