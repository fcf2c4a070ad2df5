/* Rows of bfloat16 activations at a distance at which products read them where they are:
 * those at a distance of a power of two meet in the same lines of the first cache. What
 * would be copied for every block of columns is copied once here, for all of them and all
 * threads; no value changes, and so no sum. */
#ifndef OL_CPU_SPREAD_H
#define OL_CPU_SPREAD_H

#include "extract/cpu/cpu.h"

/* What a product multiplies: the rows of its x, `distance` elements apart. */
struct ol_cpu_operand {
    const void *data;
    int64_t distance;
};

/* For the first of n products: operands [n]; as many products as there is room for copies
 * of their rows, at least one. Rows that alone are larger than the room stay where they
 * are, as do those of which no copy is better. Copies last until the next call. */
int ol_cpu_spread(struct ol_cpu *cpu, const struct ol_matmul *products, int n,
                  struct ol_cpu_operand *operands);

/* Bytes that copies take at most, of inputs of at most so many rows and columns. */
int64_t ol_cpu_spread_bytes(enum ol_dtype dtype, int64_t n_rows, int64_t n_cols);

#endif
