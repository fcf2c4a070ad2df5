/* The block "attention_sinks" of the results (ol-results.5). */
#ifndef OL_RESULTS_ATTENTION_SINKS_H
#define OL_RESULTS_ATTENTION_SINKS_H

#include "common/results/shared.h"

/* clang-format off */
#define OL_SINK_HEAD_FIELDS(F)                                                        \
    F(COUNT, head, 0, "")                                                             \
    F(SHARE, first, OL_NULL, "of the first token, mean over the sequences")           \
    F(SHARE, first_sink, OL_NULL, "of the sequences: whose first token is a sink")    \
    F(SIZE, sinks, 0, "keys that are sinks, mean over the sequences")                 \
    F(SHARE, learned, OL_NULL, "of the learned sink; null: there is none")            \
    F(SHARE, gate, OL_NULL, "mean over tokens; null: not gated")                      \
    F(SHARE, gate_first, OL_NULL, "of first tokens")                                  \
    F(SHARE, gate_sinks, OL_NULL, "of tokens that are its sinks, of at most 4 per sequence")
OL_STRUCT(ol_sink_head, OL_SINK_HEAD_FIELDS, "")

#define OL_SINK_LAYER_FIELDS(F)                                                         \
    F(COUNT, layer, 0, "")                                                              \
    F(TEXT, attention, 0, "full, sliding, chunked, compressed")                                     \
    F(SHARE, first, OL_NULL, "mean over the heads")                                     \
    F(SHARE, sink_heads, OL_NULL, "of (head, sequence): whose first token is a sink")   \
    F(SHARE, learned, OL_NULL, "mean over the heads")                                   \
    F(SHARE, gate, OL_NULL, "mean over the heads")                                      \
    F(LIST(ol_sink_head), heads, 0, "")
OL_STRUCT(ol_sink_layer, OL_SINK_LAYER_FIELDS, "")

#define OL_SINK_KEY_FIELDS(F)                                                            \
    F(MEMBERS(ol_token_place), at, 0, "")                                                \
    F(COUNT, n_heads, 0, "(layer, head) pairs of which it is a sink")                    \
    F(SHARE, share, 0, "of all these pairs")                                             \
    F(SHARE, received, OL_NULL, "mean over all these pairs")                             \
    F(MAYBE, massive, OL_NULL | OL_OLD, "it has a massive value; null: not known")
OL_STRUCT(ol_sink_key, OL_SINK_KEY_FIELDS, "")

#define OL_SINKS_AND_MASSIVE_FIELDS(F)                                          \
    F(COUNT, n_sinks, 0, "tokens that are sinks of any head, first ones too")   \
    F(COUNT, n_massive, 0, "tokens with a massive value after any layer")       \
    F(COUNT, n_both, 0, "tokens that are both")                                 \
    F(COUNT, n_both_first, 0, "of which first tokens")                          \
    F(COUNT, n_pairs, 0, "(layer, head, token): a sink of that head")           \
    F(COUNT, n_pairs_massive, 0, "of which the token has a massive value")
OL_STRUCT(ol_sinks_and_massive, OL_SINKS_AND_MASSIVE_FIELDS,
          "Whether sinks are the tokens with massive activations")

#define OL_ATTENTION_SINKS_FIELDS(F)                                                     \
    F(SHARE, min_share, 0, "of a sink")                                                  \
    F(COUNT, min_queries, 0, "that see a sink, but the first token")                     \
    F(BOOL, bos, 0, "sequences begin with special tokens")                               \
    F(COUNT, n_heads, 0, "(layer, head) pairs")                                          \
    F(SHARE, first, OL_NULL, "mean over all of them")                                    \
    F(SHARE, sink_heads, OL_NULL,                                                        \
      "of (layer, head, sequence): whose first token is a sink")                         \
    F(COUNT, n_keys, 0, "that are sinks of any head, first tokens left out")             \
    F(LIST(ol_sink_layer), layers, 0, "")                                                \
    F(LIST(ol_sink_key), keys, OL_AT_MOST(16),                                           \
      "not first tokens: sinks of the most pairs first")                                 \
    F(LIST(ol_counted_token), tokens, OL_AT_MOST(16),                                    \
      "of which the n_keys are, the most first")                                         \
    F(OBJECT(ol_sinks_and_massive), massive, OL_NULL | OL_OLD, "null: not known")
OL_STRUCT(ol_attention_sinks, OL_ATTENTION_SINKS_FIELDS,
          "Which tokens heads of attention look at whatever they look for")
/* clang-format on */

#endif
