/* JSON members that several statistics share: where in the text a value is, and which
 * part of the model wrote it. */
#ifndef OL_ANALYZE_DESCRIBE_H
#define OL_ANALYZE_DESCRIBE_H

#include "analyze/stream.h"
#include "common/json.h"
#include "common/tally.h"

/* The token's id there; -1 when there is no such place. */
int32_t ol_describe_token_id(const struct ol_parts *parts, int64_t sequence,
                             int64_t position);

/* A token's text, borrowed; NULL when not known. */
const char *ol_describe_piece(const struct ol_parts *parts, int32_t token_id);

/* Set token_id and piece, the token's text; null when not known. */
void ol_describe_token(struct ol_json *object, const struct ol_parts *parts,
                       int32_t token_id);

/* Set sequence, position, token_id and piece; null when there is no such place. */
void ol_describe_place(struct ol_json *object, const struct ol_parts *parts,
                       int64_t sequence, int64_t position);

/* "expert", "shared", "mlp" or "attention" of a unit of a layer. */
const char *ol_describe_kind(const struct ol_parts *parts, int i_layer, int unit);

/* Set kind and expert, which is null for what is no routed expert. */
void ol_describe_unit(struct ol_json *object, const struct ol_parts *parts, int i_layer,
                      int unit);

/* A number, or null when it is negative: none. */
struct ol_json *ol_describe_index(int64_t value);

/* Tokens by id, most first: the first `most`, with token_id, piece, n_tokens. */
struct ol_json *ol_describe_tokens(const struct ol_parts *parts,
                                   const struct ol_tally *tokens, size_t most);

#endif
