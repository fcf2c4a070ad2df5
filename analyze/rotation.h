/* Orthogonal rotations of rows, as are put before rounding so that no value stands out of
 * its block; the weights behind are rotated back, and what is computed stays the same. */
#ifndef OL_ANALYZE_ROTATION_H
#define OL_ANALYZE_ROTATION_H

#include <stdint.h>

enum ol_rotation {
    OL_ROTATION_NONE,
    /* Sylvester's Hadamard matrix of that order over its root, for each so many columns;
     * columns that are left at the end are cut into the largest powers of two that fit
     * (arXiv 2509.23202, 2511.04214). */
    OL_ROTATION_16,
    OL_ROTATION_32,
    OL_ROTATION_128,
    /* One for all columns, n = 2^k m with m odd: signs by column, then Hadamard's of 2^k
     * times (Kronecker) Hartley's of m, [cas(2 pi j k / m)] / root of m with cas = cos +
     * sin, which is orthogonal for every m and 1 for m = 1: a randomised Hadamard
     * transform (arXiv 2404.00456) of any width. A sign is minus where the permutation
     * (analyze/sample.h) of sequence 0 and that position is odd. */
    OL_ROTATION_GLOBAL,
    OL_N_ROTATIONS,
};
const char *ol_rotation_name(enum ol_rotation rotation);

struct ol_rotor; /* what rotations of rows of one width need */
struct ol_rotor *ol_rotor_new(int64_t n_cols);
void ol_rotor_free(struct ol_rotor *r);
/* A row [n_cols], in place; scratch [n_cols]. Thread-safe. */
void ol_rotate(const struct ol_rotor *r, enum ol_rotation rotation, float *x,
               float *scratch);

#endif
