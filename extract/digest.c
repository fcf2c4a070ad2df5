#include "extract/digest.h"

enum {
    COLUMN_BYTES = 2 * (sizeof(double) + sizeof(float)),
    LISTED_OF = 128,
    LEAST_LISTED = 1024,
    MOST_LISTED = 32768,
};

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t ol_digest_listed(int64_t n_values)
{
    const int64_t listed =
        n_values / LISTED_OF > LEAST_LISTED ? n_values / LISTED_OF : LEAST_LISTED;
    return at_most(at_most(listed, MOST_LISTED), n_values / OL_DIGEST_CODES);
}

int64_t ol_digests_listed(int64_t n_sequences, int64_t n_values)
{
    return at_most(at_most(n_sequences * MOST_LISTED, n_values / OL_DIGEST_CODES),
                   n_sequences * LEAST_LISTED + n_values / LISTED_OF);
}

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
