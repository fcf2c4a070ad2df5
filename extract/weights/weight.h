/* One weight as the checkpoint holds it: where its bytes are and how they are read as a
 * matrix. */
#ifndef OL_WEIGHT_H
#define OL_WEIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"

/* How a value is made of what is stored: the head of formats/NAME.c says it. Value (r, c)
 * is what multiplies input c into output r. Words have 32 bits, little-endian. */
enum ol_encoding {
#define OL_FORMAT(NAME, name) OL_ENCODING_##NAME,
#include "extract/weights/formats/list.h"
    OL_N_ENCODINGS
};

/* Bytes of a checkpoint's file. */
struct ol_span {
    const void *data; /* mapped; NULL: none */
    size_t bytes;
};

/* What a value is made of, and with that what is only looked at. */
enum { OL_WEIGHT_RUNS = 4, OL_WEIGHT_SPANS = OL_WEIGHT_RUNS + 1 };

/* Pointers may be unaligned for what they point to. Vectors have n_rows 1. */
struct ol_weight {
    const void *data; /* NULL: the model has no such tensor */
    enum ol_encoding encoding;
    enum ol_dtype dtype;       /* PLAIN: of the values */
    enum ol_dtype scale_dtype; /* others: of the scales */
    int64_t n_rows, n_cols;
    /* PLAIN, MXFP4 and NVFP4: stored values from a row to the next, and from a column to
     * the next; n_cols and 1 unless several matrices lie in one tensor, or it is
     * transposed. */
    int64_t row_step, col_step;
    const void *scales, *zeros;
    const void *groups; /* I32 [n_cols], the group g of input c; NULL: c / block_cols */
    int64_t block_rows, block_cols; /* values that share a scale */
    int bits;                       /* codes in words: 4 or 8 */
    int zero_offset;                /* GPTQ: added to stored zero points */
    float factor;                   /* NVFP4, of all scales */
    bool divides;                   /* NVFP4: they are divided by it */
    bool rounds;                    /* code * scale is rounded to scale_dtype */
    bool unseen; /* what follows from its bytes is not known yet (weights.h) */
    /* All bytes that a use of it touches; `sharers` weights have the same spans. */
    struct ol_span spans[OL_WEIGHT_SPANS];
    int sharers;
};

/* A contiguous plain matrix. */
struct ol_weight ol_weight_plain(const void *data, enum ol_dtype dtype, int64_t n_rows,
                                 int64_t n_cols);

/* Whether it is PLAIN, and its rows and values follow each other without gaps. */
bool ol_weight_is_contiguous(const struct ol_weight *w);

/* Its part of the checkpoint, without what is only looked at: of shared spans, one
 * sharer's share. */
int64_t ol_weight_bytes(const struct ol_weight *w);

/* "BF16", "FP8", "MXFP4", ... */
const char *ol_weight_format_name(const struct ol_weight *w);

/* The integers of a row of a plain matrix of type I32 or I64, whose bytes are resident.
 */
void ol_weight_integers(const struct ol_weight *weight, int64_t row, int64_t *values);

/* The values of a vector that is stored plain, whose bytes are resident. */
void ol_weight_numbers(const struct ol_weight *weight, float *values);

#endif
