/* Codes of few bits to bfloat16 by tables of the numbers that they stand for. */
#ifndef OL_CPU_LOOKUP_H
#define OL_CPU_LOOKUP_H

#include <stdint.h>

/* Codes of E4M3, [n_rows, n] in rows of step; table: what their lower 7 bits stand for.
 * dst [n_rows, n] in rows of step. */
void ol_lookup_fp8(const uint8_t *codes, const uint16_t table[128], int64_t n,
                   int64_t n_rows, int64_t step, uint16_t *dst);

/* n codes of 4 bits, two in a byte, the lower half first; n is even. */
void ol_lookup_fp4(const uint8_t *codes, const uint16_t table[16], int64_t n,
                   uint16_t *dst);

#endif
