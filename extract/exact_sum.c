#include "extract/exact_sum.h"

#include <math.h>

enum {
    DIGIT_BITS = 32,
    SIGNIFICAND_BITS = 53,
};

#define DIGIT_MASK (((uint64_t)1 << DIGIT_BITS) - 1)

/* Digits 0 .. 2^32 - 1, but for the last, which has the sign. */
static void carry(struct ol_exact_sum *s)
{
    int64_t over = 0;
    for (int i = 0; i < OL_EXACT_DIGITS; i++) {
        const int64_t digit = s->digits[i] + over;
        const bool last = i == OL_EXACT_DIGITS - 1;
        s->digits[i] = last ? digit : (int64_t)((uint64_t)digit & DIGIT_MASK);
        over = last ? 0 : (digit - s->digits[i]) / ((int64_t)1 << DIGIT_BITS);
    }
    s->n_added = 1;
}

void ol_exact_sum_add(struct ol_exact_sum *s, double value)
{
    int exponent;
    if (!isfinite(value)) {
        s->unknown = true;
        return;
    }
    if (value == 0)
        return;
    if (s->n_added >= OL_EXACT_MOST_ADDED)
        carry(s);
    s->n_added++;
    const double fraction = frexp(fabs(value), &exponent);
    const uint64_t bits = (uint64_t)ldexp(fraction, SIGNIFICAND_BITS);
    const int at = exponent - SIGNIFICAND_BITS - OL_EXACT_LOWEST, digit = at / DIGIT_BITS,
              shift = at % DIGIT_BITS;
    const int64_t sign = value < 0 ? -1 : 1;
    const uint64_t low = (bits & DIGIT_MASK) << shift,
                   high = (bits >> DIGIT_BITS) << shift; /* 21 bits, shifted */
    s->digits[digit] += sign * (int64_t)(low & DIGIT_MASK);
    s->digits[digit + 1] += sign * (int64_t)((low >> DIGIT_BITS) + (high & DIGIT_MASK));
    s->digits[digit + 2] += sign * (int64_t)(high >> DIGIT_BITS);
}

void ol_exact_sum_join(struct ol_exact_sum *s, const struct ol_exact_sum *other)
{
    struct ol_exact_sum part = *other;
    carry(&part);
    carry(s);
    for (int i = 0; i < OL_EXACT_DIGITS; i++)
        s->digits[i] += part.digits[i];
    s->n_added++;
    s->unknown |= part.unknown;
}

double ol_exact_sum_value(const struct ol_exact_sum *s)
{
    struct ol_exact_sum n = *s;
    if (s->unknown)
        return (double)NAN;
    carry(&n);
    const bool negative = n.digits[OL_EXACT_DIGITS - 1] < 0;
    for (int i = 0; negative && i < OL_EXACT_DIGITS; i++)
        n.digits[i] = -n.digits[i];
    carry(&n);
    int top = OL_EXACT_DIGITS - 1;
    while (top >= 0 && n.digits[top] == 0)
        top--;
    if (top < 0)
        return 0;
    /* 64 bits that begin with the leading one, the last of them set by whatever follows:
     * eleven more than a double has, so that it is rounded as the whole would be. */
    uint64_t bits = 0;
    int n_bits = 0, lowest = OL_EXACT_LOWEST + (top + 1) * DIGIT_BITS;
    bool more = false;
    for (int i = top; i >= 0; i--) {
        const uint64_t digit = (uint64_t)n.digits[i];
        if (n_bits == 0) {
            bits = digit;
            n_bits = 64 - __builtin_clzll(digit);
            lowest -= DIGIT_BITS;
        } else if (n_bits + DIGIT_BITS <= 64) {
            bits = bits << DIGIT_BITS | digit;
            n_bits += DIGIT_BITS;
            lowest -= DIGIT_BITS;
        } else if (n_bits < 64) {
            const int taken = 64 - n_bits;
            bits = bits << taken | digit >> (DIGIT_BITS - taken);
            more |= (digit << taken & DIGIT_MASK) != 0;
            n_bits = 64;
            lowest -= taken;
        } else {
            more |= digit != 0;
        }
    }
    const double value = ldexp((double)(bits | more), lowest);
    return negative ? -value : value;
}
