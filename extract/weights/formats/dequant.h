/* How stored weights become numbers: what a backend sees of a format. */
#ifndef OL_DEQUANT_H
#define OL_DEQUANT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "extract/weights/weight.h"

/* Rows that are decoded to float at a time: a word's worth, so that formats that pack
 * eight rows into a word read it once. */
enum { OL_DEQUANT_ROWS = 8 };

/* `n` pieces of `bytes` each, `stride` apart. */
struct ol_weight_run {
    const void *src;
    int64_t n;
    size_t bytes;
    int64_t stride;
};

/* Some rows of a weight cut out of what is stored, and how they lie without the gaps. */
struct ol_weight_cut {
    struct ol_weight_run runs[OL_WEIGHT_RUNS]; /* data, scales, zeros, groups; n 0: no */
    int64_t row_step, col_step;                /* PLAIN */
    int64_t n_groups;  /* scales of a row, or of a row of blocks */
    int64_t first_row; /* rows before the first in its block of scales, or its word */
    bool turned;       /* neighbours in memory are neighbours in a column */
};

struct ol_dequant {
    /* dst [n, n_cols] = rows [row, row + n): exact in float but for products that the
     * format itself rounds. */
    void (*rows)(const struct ol_weight *w, int64_t row, int64_t n, float *dst);
    /* The same rounded to bf16, faster than by way of float; false: not this weight.
     * scratch: OL_DEQUANT_ROWS rows of floats. NULL: no such way. */
    bool (*rows_bf16)(const struct ol_weight *w, int64_t row, int64_t n, uint16_t *dst,
                      float *scratch);
    /* All but groups, for any rows; *cut is zeros before. */
    void (*cut)(const struct ol_weight *w, int64_t row, int64_t n,
                struct ol_weight_cut *cut);
    bool by_words; /* a word holds the codes of several rows: they are cut at its edges */
};

const struct ol_dequant *ol_dequant_of(const struct ol_weight *w);

/* What the first of the rows that are cut must be a multiple of. */
int64_t ol_dequant_row_multiple(const struct ol_weight *w);

void ol_dequant_cut(const struct ol_weight *w, int64_t row, int64_t n,
                    struct ol_weight_cut *cut);

/* ---- what decoders share ---- */

static inline int64_t ol_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Number i of words of 32 bits, which may be unaligned. */
static inline uint32_t ol_dequant_word(const void *words, int64_t i)
{
    uint32_t word;
    memcpy(&word, (const char *)words + 4 * i, sizeof word);
    return word;
}

static inline float ol_dequant_scale(const struct ol_weight *w, int64_t i)
{
    float scale;
    ol_to_f32(w->scale_dtype,
              (const char *)w->scales + (size_t)i * ol_dtype_size(w->scale_dtype), &scale,
              1);
    return scale;
}

/* To the type of the scales, where the format says so. */
static inline float ol_dequant_rounded(const struct ol_weight *w, float x)
{
    if (!w->rounds || w->scale_dtype == OL_DTYPE_F32)
        return x;
    return w->scale_dtype == OL_DTYPE_BF16 ? ol_bf16_round(x)
                                           : ol_f16_to_f32(ol_f16_from_f32(x));
}

/* The same of n values. */
void ol_dequant_round(const struct ol_weight *w, float *x, int64_t n);

/* The group of scales that input c belongs to. */
static inline int64_t ol_dequant_group(const struct ol_weight *w, int64_t c)
{
    return w->groups != NULL ? (int64_t)ol_dequant_word(w->groups, c) : c / w->block_cols;
}

/* n pieces of `bytes` from byte `first` of data. */
struct ol_weight_run ol_dequant_run(const void *data, int64_t first, int64_t n,
                                    int64_t bytes, int64_t stride);

#endif
