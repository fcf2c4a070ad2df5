/* The text that a line of JSON holds under some key. Read here and not by the JSON
 * library (common/json.h), because data sets hold what Python writes and that library
 * refuses: NaN and Infinity, numbers of any size, a key twice, halves of surrogate pairs.
 */
#ifndef OL_JSON_LINE_H
#define OL_JSON_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* Start from {0}; the string is overwritten by the next line. */
struct ol_json_line {
    char *text; /* valid UTF-8 */
    size_t bytes, room;
    int64_t n_surrogates; /* that became U+FFFD, in all lines */
};

/* Find the string that `line` (an object) holds under `field`: a key, or keys of nested
 * objects joined by dots ("data.text"; a key may hold dots itself). Of several the last
 * counts, as in Python. `place` ("x.jsonl: line 3") begins the messages. */
int ol_json_line_read(struct ol_json_line *l, const char *line, size_t bytes,
                      const char *field, const char *place, struct ol_error *err);
void ol_json_line_clear(struct ol_json_line *l);

enum ol_json_beginning { OL_BEGINS_NO_JSON, OL_BEGINS_OBJECT, OL_BEGINS_ARRAY };

/* What a text that begins with these bytes begins with; an object has at least one key,
 * an array begins with an object, a string or an array, and nothing stands behind it. */
enum ol_json_beginning ol_json_beginning(const char *text, size_t bytes, bool is_all);

/* The keys under which the object at the beginning of text holds strings, as they would
 * be asked for: "text", "meta.url"; a few of them. The caller frees. */
char *ol_json_string_keys(const char *text, size_t bytes);

#endif
