/* Weights as they are stored, as numbers: each format decodes its own
 * (formats/dequant.h). */
#include "extract/cpu/cpu.h"

void ol_cpu_decode(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    ol_dequant_of(w)->rows(w, row, n, dst);
}

void ol_cpu_decode_rounded(const struct ol_weight *w, enum ol_dtype dtype, int64_t row,
                           int64_t n, float *dst)
{
    ol_cpu_decode(w, row, n, dst);
    if (dtype == OL_DTYPE_BF16 &&
        !(w->encoding == OL_ENCODING_PLAIN && w->dtype == OL_DTYPE_BF16))
        for (int64_t i = 0; i < n * w->n_cols; i++)
            dst[i] = ol_bf16_round(dst[i]);
}

void ol_cpu_decode_bf16(const struct ol_weight *w, int64_t row, int64_t n, uint16_t *dst,
                        float *scratch)
{
    const struct ol_dequant *decoder = ol_dequant_of(w);
    if (decoder->rows_bf16 != NULL && decoder->rows_bf16(w, row, n, dst, scratch))
        return;
    for (int64_t r = row, past; r < row + n; r = past) {
        const int64_t end = r / OL_DEQUANT_ROWS * OL_DEQUANT_ROWS + OL_DEQUANT_ROWS;
        past = end < row + n ? end : row + n;
        decoder->rows(w, r, past - r, scratch);
        ol_from_f32(OL_DTYPE_BF16, scratch, dst + (r - row) * w->n_cols,
                    (size_t)((past - r) * w->n_cols));
    }
}
