/* Text files as documents: a line of JSON is one, any other file is one, byte for byte.
 * Neither is ever in memory as a whole file. */
#ifndef OL_DOCUMENTS_H
#define OL_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/options.h"

enum { OL_ENOUGH = 1 };

/* Called with a document's text in order, in pieces of whole characters of valid UTF-8;
 * is_last ends the document (that piece may be empty). 0; OL_ENOUGH ends the reading; -1
 * failed. */
typedef int ol_take_text(void *arg, const char *text, size_t bytes, bool is_last,
                         struct ol_error *err);

/* Read files ("-": stdin) in order. Their lines are JSON with the text under `field` when
 * field is given, or when a name says so (.jsonl, .ndjson, .json, also with .gz or .zst;
 * the field is then "text"); with field "" none are. A file that begins with JSON and was
 * not said to be any is refused. 0 also after OL_ENOUGH. */
int ol_documents_read(const struct ol_texts *files, const char *field, ol_take_text *take,
                      void *arg, struct ol_error *err);

/* "standard input" for "-". */
const char *ol_text_name(const char *path);

#endif
