/* What formats of E2M1 codes share: codes [.., n_cols / 2], two to a byte, the low half
 * first, and for every group of block_cols inputs one scale of a byte. Functions are
 * inlined with the scale of a format. */
#ifndef OL_E2M1_H
#define OL_E2M1_H

#include "common/narrow.h"
#include "extract/weights/formats/dequant.h"
#include "extract/weights/formats/lookup.h"

/* What multiplies the codes of a group whose scale is stored as `code`. */
typedef float ol_e2m1_scale(const struct ol_weight *w, uint8_t code);

/* Of a row. */
static inline const uint8_t *ol_e2m1_codes(const struct ol_weight *w, int64_t r)
{
    return (const uint8_t *)w->data + r * w->row_step / 2;
}

static inline const uint8_t *ol_e2m1_scales(const struct ol_weight *w, int64_t r)
{
    return (const uint8_t *)w->scales + r * w->row_step / w->block_cols;
}

static inline void ol_e2m1_rows(const struct ol_weight *w, int64_t row, int64_t n,
                                float *dst, ol_e2m1_scale *scale)
{
    const int64_t groups = w->n_cols / w->block_cols, half = w->block_cols / 2;
    for (int64_t r = row; r < row + n; r++, dst += w->n_cols) {
        const uint8_t *codes = ol_e2m1_codes(w, r), *scales = ol_e2m1_scales(w, r);
        for (int64_t g = 0; g < groups; g++) {
            const float multiplier = scale(w, scales[g]);
            float table[16];
            for (int i = 0; i < 16; i++)
                table[i] = ol_e2m1_value((uint32_t)i) * multiplier;
            for (int64_t i = 0; i < half; i++) {
                const uint8_t byte = codes[g * half + i];
                dst[g * w->block_cols + 2 * i] = table[byte & 15];
                dst[g * w->block_cols + 2 * i + 1] = table[byte >> 4];
            }
        }
    }
}

/* The 16 numbers of every scale that has come up. */
struct ol_e2m1_tables {
    uint16_t numbers[256][16];
    bool known[256];
};

static inline const uint16_t *ol_e2m1_numbers(const struct ol_weight *w,
                                              struct ol_e2m1_tables *t, uint8_t code,
                                              ol_e2m1_scale *scale)
{
    if (t->known[code])
        return t->numbers[code];
    const float multiplier = scale(w, code);
    for (int i = 0; i < 16; i++)
        t->numbers[code][i] = ol_bf16_from_f32(ol_e2m1_value((uint32_t)i) * multiplier);
    t->known[code] = true;
    return t->numbers[code];
}

static inline void ol_e2m1_rows_bf16(const struct ol_weight *w, int64_t row, int64_t n,
                                     uint16_t *dst, ol_e2m1_scale *scale)
{
    const int64_t size = w->block_cols, groups = w->n_cols / size;
    struct ol_e2m1_tables tables;
    memset(tables.known, 0, sizeof tables.known);
    for (int64_t r = row; r < row + n; r++, dst += w->n_cols) {
        const uint8_t *codes = ol_e2m1_codes(w, r), *scales = ol_e2m1_scales(w, r);
        for (int64_t g = 0; g < groups; g++)
            ol_lookup_fp4(codes + g * size / 2,
                          ol_e2m1_numbers(w, &tables, scales[g], scale), size,
                          dst + g * size);
    }
}

static inline void ol_e2m1_cut(const struct ol_weight *w, int64_t row, int64_t n,
                               struct ol_weight_cut *cut)
{
    const int64_t codes = w->row_step / 2, scales = w->row_step / w->block_cols;
    cut->n_groups = w->n_cols / w->block_cols;
    cut->runs[0] = ol_dequant_run(w->data, row * codes, n, w->n_cols / 2, codes);
    cut->runs[1] = ol_dequant_run(w->scales, row * scales, n, cut->n_groups, scales);
}

#endif
