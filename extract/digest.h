/* What a summary (summary.h) keeps of the rows of one sequence at a site, rounded to
 * bf16: gathered by the backend where the rows are, so that these need not leave it.
 *
 * Sums are the same wherever they are made, and whoever has which sequences: a column's
 * sum in double over OL_DIGEST_RUN rows for rising rows, the runs' sums added for rising
 * runs; a summary adds those of sequences for rising sequences. */
#ifndef OL_DIGEST_H
#define OL_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows that a device adds up beside others. */
enum { OL_DIGEST_RUN = 64 };

struct ol_occurrence {
    int32_t row;
    uint16_t column, code;
};

/* Codes that are as long as an occurrence. */
enum { OL_DIGEST_CODES = sizeof(struct ol_occurrence) / sizeof(uint16_t) };

struct ol_digest {
    int64_t n_rows, n_cols;
    bool uncounted; /* its codes are in nobody's histogram */
    /* Of each column; one behind the other in memory. NaN is neither the largest nor the
     * smallest, and of zeros of either sign the upper row's is. Without one: -inf, inf.
     */
    double *sums, *squares;
    float *maxima, *minima;
    /* The occurrences, in any order; but of more than most_occurrences, which would be
     * longer than the rows themselves, all codes of the rows instead, in the same
     * memory. */
    bool listed;
    int64_t n_occurrences, most_occurrences;
    struct ol_occurrence *occurrences;
    uint16_t *codes; /* [n_rows, n_cols] */
};

/* Occurrences of so many values that a device brings back at once, one in 128 of many; of
 * more the rows are looked at again. */
int64_t ol_digest_listed(int64_t n_values);
/* Of several sequences, which have so many values together, at most. */
int64_t ol_digests_listed(int64_t n_sequences, int64_t n_values);

/* A histogram as a device leaves it until it arrives takes at most. */
enum { OL_HISTOGRAM_RESULT_BYTES = 96 << 10 };

/* Bytes of a digest with all that it points to, and one laid out in so many. */
size_t ol_digest_bytes(int64_t n_rows, int64_t n_cols);
struct ol_digest *ol_digest_in(void *room, int64_t n_rows, int64_t n_cols);

/* Of its columns alone; and as a device leaves it until it arrives (backend.h), with so
 * many occurrences listed: their number, columns, the list. */
enum { OL_DIGEST_COLUMNS_AT = 256 };
size_t ol_digest_columns_bytes(int64_t n_cols);
size_t ol_digest_result_bytes(int64_t n_cols, int64_t listed);

#endif
