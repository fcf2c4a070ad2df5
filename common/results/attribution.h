/* The block "attribution" of the results (ol-results.5). */
#ifndef OL_RESULTS_ATTRIBUTION_H
#define OL_RESULTS_ATTRIBUTION_H

#include "common/results/field.h"
#include "common/results/shared.h"

/* clang-format off */
#define OL_LAYER_TOKENS_FIELDS(F) \
    F(COUNT, layer, 0, "")        \
    F(COUNT, n_tokens, 0, "")
OL_STRUCT(ol_layer_tokens, OL_LAYER_TOKENS_FIELDS, "")

#define OL_STREAM_WRITER_FIELDS(F)                      \
    F(MEMBERS(ol_named_component), who, 0, "")          \
    F(COUNT, n_tokens, 0, "on which it is known")       \
    F(REAL, sum, OL_NULL, "along the sign of the peak") \
    F(REAL, share, OL_NULL, "of magnitude")
OL_STRUCT(ol_stream_writer, OL_STREAM_WRITER_FIELDS, "")

#define OL_OTHER_WRITERS_FIELDS(F) \
    F(COUNT, n_writers, 0, "")     \
    F(REAL, sum, OL_NULL, "")      \
    F(REAL, share, OL_NULL, "")
OL_STRUCT(ol_other_writers, OL_OTHER_WRITERS_FIELDS, "Writers that a list leaves out")

#define OL_OTHERS_FIELDS(F)                             \
    F(OBJECT(ol_other_writers), made_by, 0, "")         \
    F(OBJECT(ol_other_writers), counteracted_by, 0, "") \
    F(OBJECT(ol_other_writers), erased_by, 0, "")
OL_STRUCT(ol_others, OL_OTHERS_FIELDS, "Writers that the lists leave out")

#define OL_ATTRIBUTED_FEATURE_FIELDS(F)                                         \
    F(COUNT, feature, 0, "")                                                    \
    F(WORD("massive|outlier|all"), event, 0, "")                                \
    F(REAL, max_magnitude, OL_NULL, "")                                         \
    F(COUNT, n_tokens, 0, "")                                                   \
    F(COUNT, at_first_token, 0, "")                                             \
    F(COUNT, n_values, 0, "peaks in the sums")                                  \
    F(COUNT, n_unknown_values, 0, "")                                           \
    F(WORD("+|-|both"), sign, OL_NULL, "")                                      \
    F(SIZE, magnitude, OL_NULL, "sum of |x| at the peaks")                      \
    F(LIST(ol_layer_tokens), peak_layers, 0, "")                                \
    F(LIST(ol_layer_tokens), onset_layers, 0, "")                               \
    F(LIST(ol_stream_writer), made_by, 0, "positive, up to the peak")           \
    F(LIST(ol_stream_writer), counteracted_by, 0, "negative, up to the peak")   \
    F(LIST(ol_stream_writer), erased_by, 0, "negative, after the peak")         \
    F(OBJECT(ol_others), others, 0, "Writers that the lists leave out")         \
    F(REAL, embedding, OL_NULL, "")                                             \
    F(REAL, unknown, OL_NULL, "not recorded: magnitude less all that is known") \
    F(LIST(ol_counted_token), tokens, 0, "")
OL_STRUCT(ol_attributed_feature, OL_ATTRIBUTED_FEATURE_FIELDS, "")

#define OL_ATTRIBUTION_LAYER_FIELDS(F)           \
    F(COUNT, feature, 0, "")                     \
    F(WORD("massive|outlier|all"), event, 0, "") \
    F(COUNT, layer, 0, "")                       \
    F(REAL, attention, OL_NULL, "")              \
    F(REAL, mlp, OL_NULL, "")
OL_STRUCT(ol_attribution_layer, OL_ATTRIBUTION_LAYER_FIELDS, "")

#define OL_ATTRIBUTION_FIELDS(F)                    \
    F(LIST(ol_attributed_feature), features, 0, "") \
    F(LIST(ol_attribution_layer), layers, 0, "")
OL_STRUCT(ol_attribution, OL_ATTRIBUTION_FIELDS,
          "Who makes a dimension on its own tokens, and who erases it")
/* clang-format on */

#endif
