/* A column of a Parquet file as documents: each row is one, a null is none. */
#ifndef OL_COLUMN_H
#define OL_COLUMN_H

#include <stdbool.h>

#include "common/error.h"
#include "extract/text/documents.h"
#include "extract/text/parquet/parquet.h"

/* FILE#COLUMN, where no file has that whole name: the file's part of it, to be freed, and
 * the column in *column, borrowed from item; else a copy of item, and NULL. */
char *ol_column_split(const char *item, const char **column);

/* Whether path is a regular file that begins as Parquet files do. */
bool ol_column_is_parquet(const char *path);

/* All rows of a file, as ol_documents_read says of the rest. column NULL: "text". */
int ol_column_read_file(const char *path, const char *column, ol_take_text *take,
                        void *arg, struct ol_error *err);

/* Those of a reader that is open; name, column: for messages. Once *enough is true, only
 * what has been fetched is still read; then OL_ENOUGH. */
struct ol_column {
    struct ol_parquet *parquet;
    const char *name, *column;
    const bool *enough; /* NULL: never */
};
int ol_column_read(const struct ol_column *c, ol_take_text *take, void *arg,
                   struct ol_error *err);

#endif
