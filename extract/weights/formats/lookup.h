/* Codes of few bits to bfloat16 by tables of the numbers that they stand for. */
#ifndef OL_LOOKUP_H
#define OL_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

/* What codes of E4M3 stand for. */
struct ol_lookup {
    uint16_t table[128]; /* of the lower 7 bits; the eighth is the sign */
    /* Where numbers of one mantissa only double from an exponent to the next: those of
     * exponent 1, less what doubling adds, and those of exponent 0. */
    bool doubles;
    uint16_t of_mantissa[16];
};

/* Fill in what follows from the table. */
void ol_lookup_prepare(struct ol_lookup *l);

/* n codes. */
void ol_lookup_fp8(const uint8_t *codes, const struct ol_lookup *l, int64_t n,
                   uint16_t *dst);

/* n codes of 4 bits, two in a byte, the lower half first; n is even. */
void ol_lookup_fp4(const uint8_t *codes, const uint16_t table[16], int64_t n,
                   uint16_t *dst);

#endif
