/* What formats of E4M3 codes share: codes [n_rows, n_cols] with scales of blocks, of
 * rows, or one:
 *
 *     value = code * scales[r / block_rows][c / block_cols]
 *
 * the product in float. A block that is cut off by an edge is a block. */
#ifndef OL_E4M3_H
#define OL_E4M3_H

#include "extract/weights/formats/formats.h"

/* What the scales of a format may be. */
struct ol_e4m3_scales {
    int64_t block_rows, block_cols; /* 0: of rows or one, as their shape tells */
    bool only_inv;                  /* they are called ".weight_scale_inv" */
    bool bytes_are_exponents;       /* U8 is E8M0 */
    bool only_exponents;            /* and nothing else will do */
};

/* Under the expected name, or all experts in one tensor: 1, 0 or -1 as formats have it,
 * with an encoding of FP8. */
int ol_e4m3_find(const struct ol_format_search *s, const struct ol_e4m3_scales *kind,
                 struct ol_weight *weight);

/* The scales of a tensor that is not fused, or NULL. */
const struct ol_stored_tensor *ol_e4m3_find_scales(const struct ol_format_search *s,
                                                   const struct ol_e4m3_scales *kind);

void ol_e4m3_rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst);
bool ol_e4m3_rows_bf16(const struct ol_weight *w, int64_t row, int64_t n, uint16_t *dst,
                       float *scratch);
void ol_e4m3_cut(const struct ol_weight *w, int64_t row, int64_t n,
                 struct ol_weight_cut *cut);

#endif
