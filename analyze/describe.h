/* Members that several blocks share: where in the text a value is, and which component of
 * the model wrote it. What is negative is absent. */
#ifndef OL_ANALYZE_DESCRIBE_H
#define OL_ANALYZE_DESCRIBE_H

#include "analyze/stream.h"
#include "common/results/shared.h"
#include "common/tally.h"

/* The token's id there; -1 when there is no such place. */
int32_t ol_describe_token_id(const struct ol_parts *parts, int64_t sequence,
                             int64_t position);

/* A token with its text, borrowed from the parts. */
struct ol_named_token ol_describe_token(const struct ol_parts *parts, int32_t token_id);
struct ol_token_place ol_describe_place(const struct ol_parts *parts, int64_t sequence,
                                        int64_t position);

/* A unit of a layer (index into the layout's), or OL_UNIT_ATTENTION. */
struct ol_named_component ol_describe_component(const struct ol_parts *parts, int i_layer,
                                                int unit);

int64_t ol_describe_index(int64_t value);

/* Tokens by id, most first: the first `most`, struct ol_counted_token. */
void ol_describe_tokens(const struct ol_parts *parts, const struct ol_tally *tokens,
                        size_t most, struct ol_list *list, struct ol_arena *arena);

#endif
