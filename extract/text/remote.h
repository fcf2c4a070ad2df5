/* Texts at the Hub: files of data sets by their address, and data sets that have a name
 * here. Of Parquet only the footer and the pages of one column are fetched that are
 * needed; other files are fetched whole. */
#ifndef OL_REMOTE_H
#define OL_REMOTE_H

#include <stdbool.h>

#include "common/error.h"
#include "extract/text/documents.h"

/* An address, hf://..., or such a name ("fineweb-edu"). */
bool ol_remote_is(const char *item);

/* Say what will be fetched of it, and where to; false, and nothing said, when that is
 * there, or the environment says offline. */
bool ol_remote_announce(const char *item, const char *field);

/* As ol_documents_read, of one item; what was read of it, with its commit, is appended to
 * *source. */
int ol_remote_read(const char *item, const char *field, ol_take_text *take, void *arg,
                   char **source, struct ol_error *err);

#endif
