/* Sums of doubles that are exact until they are rounded once, at the end: the order in
 * which values are added, and how they are shared out, does not show. */
#ifndef OL_EXACT_SUM_H
#define OL_EXACT_SUM_H

#include <stdbool.h>
#include <stdint.h>

/* A number in digits of 32 bits from 2^-1088 on, each with its sign and with room for
 * carries: what a double spans, and 2^62 of the largest. Start from {0}. */
enum {
    OL_EXACT_DIGITS = 70,
    OL_EXACT_LOWEST = -1088,
    /* A digit grows by less than 2^32 with each value, and by what a join brings. */
    OL_EXACT_MOST_ADDED = 1 << 28,
};
struct ol_exact_sum {
    int64_t digits[OL_EXACT_DIGITS];
    int64_t n_added; /* since carries were taken */
    bool unknown;    /* NaN or infinity was added */
};

void ol_exact_sum_add(struct ol_exact_sum *s, double value);
void ol_exact_sum_join(struct ol_exact_sum *s, const struct ol_exact_sum *other);

/* To nearest, ties to even; NaN when that is not known. Of magnitudes that are normal
 * numbers. */
double ol_exact_sum_value(const struct ol_exact_sum *s);

#endif
