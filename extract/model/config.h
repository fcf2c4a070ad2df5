/* The reader of config.json, the only one that families see. It notes every key that it
 * gives out; what no family read is judged at the end (ol_config_check), so that a key
 * which changes the computation cannot be passed over. Ranges of numbers are checked
 * here, and nowhere else. */
#ifndef OL_CONFIG_H
#define OL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"

struct ol_config_reads;

/* An object of config.json. */
struct ol_config {
    const char *file;              /* borrowed, for messages */
    const struct ol_json *json;    /* borrowed; NULL or null: an object without keys */
    struct ol_config_reads *reads; /* borrowed; what was read of the whole file */
};

/* The JSON of a config.json as Python writes it: Infinity, -Infinity and NaN, also as
 * {"__float__": "Infinity"}, are read as strings of those words, which no reader of
 * numbers takes. NULL with err. */
struct ol_json *ol_config_parse(const char *text, size_t bytes, const char *path,
                                struct ol_error *err);

struct ol_config_reads *ol_config_reads_new(void);
void ol_config_reads_free(struct ol_config_reads *reads); /* NULL is fine */

/* Each reads c.key into *value, with the rules of common/json.h: absent or null, _need
 * fails and _or stores the fallback; a wrong type or a number outside [low, high] fails.
 */
int ol_config_need_int(struct ol_config c, const char *key, int64_t low, int64_t high,
                       int64_t *value, struct ol_error *err);
int ol_config_int_or(struct ol_config c, const char *key, int64_t low, int64_t high,
                     int64_t fallback, int64_t *value, struct ol_error *err);
int ol_config_bool_or(struct ol_config c, const char *key, bool fallback, bool *value,
                      struct ol_error *err);
/* The string is borrowed from the JSON. */
int ol_config_string_or(struct ol_config c, const char *key, const char *fallback,
                        const char **value, struct ol_error *err);

/* What a real number may be. */
struct ol_config_range {
    double low, high;
    bool above; /* low itself is outside */
};
int ol_config_need_real(struct ol_config c, const char *key, struct ol_config_range range,
                        double *value, struct ol_error *err);
int ol_config_real_or(struct ol_config c, const char *key, struct ol_config_range range,
                      double fallback, double *value, struct ol_error *err);

/* A family computes this way only: the key is absent, null, or that value. */
int ol_config_expect_bool(struct ol_config c, const char *key, bool expected,
                          struct ol_error *err);
int ol_config_expect_string(struct ol_config c, const char *key, const char *expected,
                            struct ol_error *err);

/* Names of keys, joined by ", "; owned, NULL: there are none. */
struct ol_config_notes {
    char *unknown;     /* nothing is known of them */
    char *activations; /* by which others quantise activations (config_keys.h) */
};
void ol_config_notes_clear(struct ol_config_notes *notes);

/* A member as a whole, NULL when absent: the caller judges all that is in it. */
const struct ol_json *ol_config_whole(struct ol_config c, const char *key);

/* A member that is an object, whose keys are read and judged one by one: fails when it is
 * something else; json is NULL when it is absent or null. */
int ol_config_section(struct ol_config c, const char *key, struct ol_config *section,
                      struct ol_error *err);

/* Judge the keys that nobody read: harmless ones pass; one that changes the computation
 * must have the value that does not, else it is refused by name and value. */
int ol_config_check(struct ol_config c, const char *family, struct ol_config_notes *notes,
                    struct ol_error *err);

#endif
