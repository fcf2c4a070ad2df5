/* What tokenizer.json does with text before it is split: a list of steps. */
#ifndef OL_TOKENIZER_NORMALISER_H
#define OL_TOKENIZER_NORMALISER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/json.h"

struct ol_normaliser;

/* section.json: the value of "normalizer", may be null. NULL on failure. */
struct ol_normaliser *ol_normaliser_new(struct ol_json_section section,
                                        struct ol_error *err);
void ol_normaliser_free(struct ol_normaliser *n);

/* text (valid UTF-8) after all steps; the caller frees. NULL on failure. */
char *ol_normaliser_run(const struct ol_normaliser *n, const char *text, size_t bytes,
                        size_t *result_bytes, struct ol_error *err);

/* A text in parts: the first (is_first) and those behind it, cut where
 * ol_normaliser_may_cut says so, give together what the whole gives, if
 * ol_normaliser_streams. */
bool ol_normaliser_streams(const struct ol_normaliser *n);
bool ol_normaliser_may_cut(const void *n, const char *text, size_t bytes, size_t at);
char *ol_normaliser_run_part(const struct ol_normaliser *n, const char *text,
                             size_t bytes, bool is_first, size_t *result_bytes,
                             struct ol_error *err);

/* All places where `from` stands in text replaced by `to`; the caller frees. */
char *ol_text_replace(const char *text, size_t bytes, const char *from, const char *to,
                      size_t *result_bytes);

#endif
