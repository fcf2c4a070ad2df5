/* Codes of few bits to bfloat16 by tables of the numbers that they stand for. */
#ifndef OL_CPU_LOOKUP_H
#define OL_CPU_LOOKUP_H

#include <stdint.h>

/* n codes of a sign and 7 bits; table: what the 7 bits stand for. */
void ol_lookup_fp8(const uint8_t *codes, const uint16_t table[128], int64_t n,
                   uint16_t *dst);

/* n codes of 4 bits, two in a byte, the lower half first; n is even. */
void ol_lookup_fp4(const uint8_t *codes, const uint16_t table[16], int64_t n,
                   uint16_t *dst);

#endif
