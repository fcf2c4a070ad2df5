#include "extract/digest.h"

enum {
    COLUMN_BYTES = 2 * (sizeof(double) + sizeof(float)),
};

size_t ol_digest_columns_bytes(int64_t n_cols)
{
    return (size_t)n_cols * COLUMN_BYTES;
}

size_t ol_digest_result_bytes(int64_t n_cols, int64_t listed)
{
    return OL_DIGEST_COLUMNS_AT + ol_digest_columns_bytes(n_cols) +
           (size_t)listed * sizeof(struct ol_occurrence);
}

size_t ol_digest_bytes(int64_t n_rows, int64_t n_cols)
{
    return sizeof(struct ol_digest) + ol_digest_columns_bytes(n_cols) +
           (size_t)(n_rows * n_cols) * sizeof(uint16_t);
}

struct ol_digest *ol_digest_in(void *room, int64_t n_rows, int64_t n_cols)
{
    struct ol_digest *digest = room;
    double *sums = (double *)(digest + 1);
    void *after_sums = sums + 2 * n_cols;
    float *maxima = after_sums;
    void *rest = maxima + 2 * n_cols;
    *digest = (struct ol_digest){
        .n_rows = n_rows,
        .n_cols = n_cols,
        .sums = sums,
        .squares = sums + n_cols,
        .maxima = maxima,
        .minima = maxima + n_cols,
        .listed = true,
        .most_occurrences = n_rows * n_cols / OL_DIGEST_CODES,
        .occurrences = rest,
        .codes = rest,
    };
    return digest;
}
