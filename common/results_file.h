/* THE results file (ol-results.5): JSON written by ol-analyze, read by
 * ol-report. */
#ifndef OL_RESULTS_FILE_H
#define OL_RESULTS_FILE_H

#include "common/json.h"

/* A new results object with format, format_version, tool_version and command_line set, in
 * the order in which they stand in the file. Owned by the caller. */
struct ol_json *ol_results_new(const char *command_line);

/* Write to path by a temporary name and rename, or to stdout when path is NULL or "-". */
int ol_results_write(const struct ol_json *results, const char *path,
                     struct ol_error *err);

/* Read path, or stdin when it is "-"; another format or format_version is refused by
 * name, with the version that it needs. Blocks that a reader does not know are simply
 * there. NULL on failure. */
struct ol_json *ol_results_read(const char *path, struct ol_error *err);
/* The same of a text; name is used in messages. */
struct ol_json *ol_results_parse(const char *text, size_t bytes, const char *name,
                                 struct ol_error *err);

#endif
