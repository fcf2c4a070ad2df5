/* What formats of E2M1 codes share: codes [.., n_cols / 2], two to a byte, the low half
 * first, and for every group of block_cols inputs one scale of a byte. */
#ifndef OL_E2M1_H
#define OL_E2M1_H

#include "extract/weights/formats/dequant.h"

/* What multiplies the codes of a group whose scale is stored as `code`. */
typedef float ol_e2m1_scale(const struct ol_weight *w, uint8_t code);

void ol_e2m1_rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst,
                  ol_e2m1_scale *scale);
void ol_e2m1_rows_bf16(const struct ol_weight *w, int64_t row, int64_t n, uint16_t *dst,
                       ol_e2m1_scale *scale);
void ol_e2m1_cut(const struct ol_weight *w, int64_t row, int64_t n,
                 struct ol_weight_cut *cut);

#endif
