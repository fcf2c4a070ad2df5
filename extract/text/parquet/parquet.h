/* One flat column of strings out of a Parquet file, read by ranges wherever the file is:
 * its footer, and then page after page, as far as values are asked for.
 *
 * Read are data pages of version 1 and 2, plain or by a dictionary, with nulls,
 * uncompressed or by snappy, gzip or zstd. All else is refused by its name. */
#ifndef OL_PARQUET_H
#define OL_PARQUET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct ol_parquet;

/* A file's bytes: read() fetches n of them from `offset` on, all inside of the file.
 * Borrowed as long as the reader is open. */
struct ol_parquet_file {
    const char *name; /* for messages */
    int64_t size;
    void *user;
    int (*read)(void *user, int64_t offset, size_t n, void *bytes, struct ol_error *err);
};

/* Read the footer; no byte of a page is asked for. NULL on failure. */
struct ol_parquet *ol_parquet_open(const struct ol_parquet_file *file, const char *column,
                                   struct ol_error *err);
void ol_parquet_close(struct ol_parquet *p); /* NULL is fine */

int64_t ol_parquet_n_rows(const struct ol_parquet *p);

struct ol_parquet_value {
    const char *text; /* NULL: null; else any bytes, borrowed until the next call */
    size_t bytes;
    int64_t row;
};

/* The next row's value: 1, 0 at the end, -1. */
int ol_parquet_next(struct ol_parquet *p, struct ol_parquet_value *value,
                    struct ol_error *err);

/* Whether the next value is of a page that has been fetched. */
bool ol_parquet_has_more(const struct ol_parquet *p);

/* Where reading goes on when it has not: the next row, and the page that it is in. */
struct ol_parquet_place {
    int64_t row;
    int64_t offset; /* of that page in the file; of no account where a chunk begins */
};
struct ol_parquet_place ol_parquet_place(const struct ol_parquet *p);
/* Go on at such a place of the same file, before anything was read. false, and nothing
 * done, where none can be. */
bool ol_parquet_go_on(struct ol_parquet *p, struct ol_parquet_place place);

#endif
