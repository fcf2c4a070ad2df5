/* Texts as documents: a line of JSON is one, a row of a Parquet file's column is one, any
 * other file is one, byte for byte. None is ever in memory as a whole file. */
#ifndef OL_DOCUMENTS_H
#define OL_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/options.h"

enum { OL_ENOUGH = 1 };

/* Under which a text lies in lines of JSON and in Parquet files, unless one is named. */
#define OL_DEFAULT_FIELD "text"

/* Called with a document's text in order, in pieces of whole characters of valid UTF-8;
 * is_last ends the document (that piece may be empty). 0; OL_ENOUGH ends the reading; -1
 * failed. */
typedef int ol_take_text(void *arg, const char *text, size_t bytes, bool is_last,
                         struct ol_error *err);

/* Read texts in order: files ("-": stdin), FILE#COLUMN of a Parquet file, and what is at
 * the Hub (remote.h). Lines are JSON with the text under `field` when field is given, or
 * when a name says so (.jsonl, .ndjson, .json, also with .gz or .zst; the field is then
 * "text"); with field "" none are. A file that begins with JSON and was not said to be
 * any is refused. Of a Parquet file `field` is the column, unless its name says one. 0
 * also after OL_ENOUGH. *source, to be freed: for people, where they come from, of what
 * is at the Hub the files that were read, by their commits; source may be NULL. */
int ol_documents_read(const struct ol_texts *texts, const char *field, ol_take_text *take,
                      void *arg, char **source, struct ol_error *err);

/* One file that is no Parquet file. 0, OL_ENOUGH or -1. */
int ol_documents_read_file(const char *path, const char *field, ol_take_text *take,
                           void *arg, struct ol_error *err);

/* Say of what is at the Hub, and not in the cache, how it will be fetched, and where to:
 * whether there is any. */
bool ol_documents_announce(const struct ol_texts *texts, const char *field);

/* Append to a list for people, "a, b"; *list may be NULL. */
void ol_documents_append(char **list, const char *text);

/* "standard input" for "-". */
const char *ol_text_name(const char *path);

#endif
