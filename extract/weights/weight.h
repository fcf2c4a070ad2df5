/* One weight as the checkpoint holds it: where its bytes are and how they are read as a
 * matrix. */
#ifndef OL_WEIGHT_H
#define OL_WEIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"

/* How a value is made of what is stored. Value (r, c) is what multiplies input c into
 * output r. Codes of 4 bits lie eight to a little-endian 32-bit word. */
enum ol_encoding {
    OL_ENCODING_PLAIN, /* F32, BF16 or F16 */
    /* E4M3 codes [n_rows, n_cols]; value = code * scales[r / block_rows][c / block_cols],
     * the product in float. A block that is cut off by an edge is a block. */
    OL_ENCODING_FP8,
    /* E2M1 codes [.., n_cols / 2], two to a byte, low half first; value = code *
     * 2^(scales[r][c / 32] - 127) */
    OL_ENCODING_MXFP4,
    /* Codes as MXFP4's, scales E4M3 [n_rows, n_cols / block_cols]; value = code * (scale
     * * factor), or code * (scale / factor), in float */
    OL_ENCODING_NVFP4,
    /* words [n_rows, n_cols / 8], lowest bits first; value = (code - zero) *
     * scales[r][g], zero 8 or zeros [n_rows / 8, groups], packed along the rows */
    OL_ENCODING_INT4,
    /* words [n_cols / 8, n_rows], lowest bits first; value = (code - zeros[g][r] -
     * zero_offset) * scales[g][r], zeros [groups, n_rows / 8] */
    OL_ENCODING_GPTQ,
    /* words [n_cols, n_rows / 8], rows in the order 0 2 4 6 1 3 5 7; zeros alike; scales
     * [groups, n_rows] */
    OL_ENCODING_AWQ,
};

/* Bytes of a checkpoint's file. */
struct ol_span {
    const void *data; /* mapped; NULL: none */
    size_t bytes;
};

enum { OL_WEIGHT_SPANS = 4 };

/* Pointers may be unaligned for what they point to. Vectors have n_rows 1. */
struct ol_weight {
    const void *data; /* NULL: the model has no such tensor */
    enum ol_encoding encoding;
    enum ol_dtype dtype; /* PLAIN: of the values; else of the scales (not MXFP4, NVFP4) */
    int64_t n_rows, n_cols;
    /* PLAIN, MXFP4 and NVFP4: stored values from a row to the next, and from a column to
     * the next; n_cols and 1 unless several matrices lie in one tensor, or it is
     * transposed.
     */
    int64_t row_step, col_step;
    const void *scales, *zeros;
    const void *groups; /* INT4, GPTQ: I32 [n_cols], the group g of input c; NULL: c /
                           block_cols */
    int64_t block_rows, block_cols;
    int zero_offset;
    float factor; /* NVFP4, of all scales */
    bool divides; /* NVFP4: they are divided by it */
    bool rounds;  /* code * scale is rounded to dtype */
    /* All bytes that a use of it touches; `sharers` weights have the same spans. */
    struct ol_span spans[OL_WEIGHT_SPANS];
    int sharers;
};

/* A contiguous plain matrix. */
struct ol_weight ol_weight_plain(const void *data, enum ol_dtype dtype, int64_t n_rows,
                                 int64_t n_cols);

/* Whether it is PLAIN, and its rows and values follow each other without gaps. */
bool ol_weight_is_contiguous(const struct ol_weight *w);

/* Its part of the checkpoint: of shared spans, one sharer's share. */
int64_t ol_weight_bytes(const struct ol_weight *w);

/* "BF16", "FP8", "MXFP4", ... */
const char *ol_weight_format_name(const struct ol_weight *w);

#endif
