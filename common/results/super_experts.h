/* The block "super_experts" of the results (ol-results.5). */
#ifndef OL_RESULTS_SUPER_EXPERTS_H
#define OL_RESULTS_SUPER_EXPERTS_H

#include "common/results/field.h"
#include "common/results/shared.h"

/* clang-format off */
#define OL_SUPER_LIMITS_FIELDS(F) \
    F(REAL, percentile, 0, "")    \
    F(REAL, min_share, 0, "")     \
    F(REAL, first_layers, 0, "")
OL_STRUCT(ol_super_limits, OL_SUPER_LIMITS_FIELDS, "")

#define OL_SUPER_EXPERT_FIELDS(F)              \
    F(MEMBERS(ol_named_component), who, 0, "") \
    F(REAL, output, OL_NULL, "")               \
    F(COUNT, feature, OL_NULL, "")             \
    F(MEMBERS(ol_token_place), at, 0, "")      \
    F(REAL, input, OL_NULL, "")                \
    F(COUNT, input_column, OL_NULL, "")        \
    F(COUNT, n_tokens, 0, "")                  \
    F(REAL, gate_mean, OL_NULL, "")            \
    F(REAL, share_of_max, OL_NULL, "")         \
    F(REAL, share_of_median, OL_NULL, "")      \
    F(REAL, z, OL_NULL, "")
OL_STRUCT(ol_super_expert, OL_SUPER_EXPERT_FIELDS, "")

#define OL_SUPER_NOISE_FIELDS(F)       \
    F(COUNT, n_experts, 0, "")         \
    F(COUNT, n_above, 0, "")           \
    F(SIZE, expected, OL_NULL, "")     \
    F(SHARE, probability, OL_NULL, "") \
    F(BOOL, meaningful, 0, "false: the largest output is always listed")
OL_STRUCT(ol_super_noise, OL_SUPER_NOISE_FIELDS,
          "What the published rule would list by chance alone")

#define OL_ROBUST_EXPERT_FIELDS(F)             \
    F(MEMBERS(ol_named_component), who, 0, "") \
    F(REAL, output, OL_NULL, "")               \
    F(REAL, share_of_median, OL_NULL, "")      \
    F(REAL, z, OL_NULL, "")
OL_STRUCT(ol_robust_expert, OL_ROBUST_EXPERT_FIELDS, "")

#define OL_SUPER_ROBUST_FIELDS(F) \
    F(REAL, min_z, 0, "")         \
    F(REAL, median, OL_NULL, "")  \
    F(REAL, mad, OL_NULL, "")     \
    F(LIST(ol_robust_expert), experts, 0, "")
OL_STRUCT(ol_super_robust, OL_SUPER_ROBUST_FIELDS, "")

#define OL_SUPER_UNIT_FIELDS(F)     \
    F(COMPONENT, kind, 0, "")       \
    F(COUNT, expert, OL_NULL, "")   \
    F(COUNT, n_tokens, 0, "")       \
    F(REAL, gate_mean, OL_NULL, "") \
    F(REAL, input, OL_NULL, "")     \
    F(REAL, output, OL_NULL, "")
OL_STRUCT(ol_super_unit, OL_SUPER_UNIT_FIELDS, "")

#define OL_SUPER_LAYER_FIELDS(F) \
    F(COUNT, layer, 0, "")       \
    F(LIST(ol_super_unit), units, 0, "")
OL_STRUCT(ol_super_layer, OL_SUPER_LAYER_FIELDS, "")

#define OL_SUPER_BLOCK_FIELDS(F)                                        \
    F(OBJECT(ol_super_limits), criterion, 0, "")                        \
    F(REAL, limit, OL_NULL, "")                                         \
    F(REAL, max_output, OL_NULL, "")                                    \
    F(LIST(ol_super_expert), experts, 0, "")                            \
    F(REAL, median_output, OL_NULL, "magnitude, of all routed experts") \
    F(OBJECT(ol_super_noise), noise, 0,                                 \
      "What the published rule would list by chance alone")             \
    F(OBJECT(ol_super_robust), robust, OL_NULL | OL_OLD, "")            \
    F(LIST(ol_super_layer), layers, 0, "")
OL_STRUCT(ol_super_block, OL_SUPER_BLOCK_FIELDS,
          "Experts with the largest outputs (arXiv 2507.23279)")
/* clang-format on */

#endif
