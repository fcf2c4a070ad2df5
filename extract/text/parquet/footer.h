/* What a Parquet file's footer says of one flat column of strings: where its pages are.
 * https://parquet.apache.org/docs/file-format/ has the structures and their numbers. */
#ifndef OL_PARQUET_FOOTER_H
#define OL_PARQUET_FOOTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "extract/text/unpack.h"

/* The pages of a column in one row group. */
struct ol_parquet_chunk {
    int64_t start, end; /* bytes of the file */
    int64_t n_values;   /* rows: the column is flat */
    enum ol_packing packing;
};

struct ol_parquet_column {
    bool optional; /* it may have nulls: its pages have definition levels */
    struct ol_parquet_chunk *chunks; /* [n_chunks] */
    size_t n_chunks;
    int64_t n_rows;
};

/* Read the footer's n bytes: nothing in it may lie behind `end`, the byte of the file at
 * which it begins. name: of the file, for messages. Start from {0}; clear also after a
 * failure. */
struct ol_parquet_footer {
    const char *name;
    const unsigned char *bytes;
    size_t n;
    int64_t end;
};
int ol_parquet_footer_read(const struct ol_parquet_footer *footer, const char *column,
                           struct ol_parquet_column *c, struct ol_error *err);
void ol_parquet_column_clear(struct ol_parquet_column *c);

#endif
