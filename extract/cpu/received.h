/* What keys receive of queries that are done in any order: tasks add to the same keys in
 * an order that varies, so the sums are of integers. */
#ifndef OL_CPU_RECEIVED_H
#define OL_CPU_RECEIVED_H

#include "extract/cpu/cpu.h"

struct ol_received {
    int64_t n_heads, n; /* n: keys, those of one sequence */
    /* [n_heads, n]: in units of 2^-40, so that sums of 2^22 queries are below 2^63; and
     * whether a share was not finite. */
    _Atomic int64_t *units;
    _Atomic bool *unknown;
};

/* Nothing is received yet; the caller frees it. */
struct ol_received ol_received_new(int64_t n_heads, int64_t n);
void ol_received_free(struct ol_received *r); /* one that is all 0 is fine */

/* Add shares[n] to those of keys first .. first + n - 1 of a head. Any thread may. */
void ol_received_add(struct ol_received *r, int64_t head, int64_t first, int64_t n,
                     const float *shares);

/* Means over the queries for which a mask of that kind and window leaves the key, to
 * out [n, n_heads] float; NaN: a share was not finite. */
void ol_received_means(struct ol_cpu *cpu, const struct ol_received *r,
                       enum ol_attention_kind kind, int64_t window, struct ol_tensor out);

#endif
