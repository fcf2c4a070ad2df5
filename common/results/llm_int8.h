/* The block "llm_int8" of the results (ol-results.5). */
#ifndef OL_RESULTS_LLM_INT8_H
#define OL_RESULTS_LLM_INT8_H

#include "common/results/field.h"

/* clang-format off */
#define OL_INT8_PAIRS_FIELDS(F)                                                                \
    F(COUNT, count, 0, "")                                                                     \
    F(SHARE, mean_layer_fraction, OL_NULL, "of the sites; null without pairs")                 \
    F(SHARE, median_layer_fraction, OL_NULL, "")                                               \
    F(SHARE, mean_position_fraction, OL_NULL, "")                                              \
    F(SHARE, median_position_fraction, OL_NULL, "")                                            \
    F(SHARE, mean_distinct_layer_fraction, OL_NULL | OL_OLD, "of the layers that have a site") \
    F(SHARE, median_distinct_layer_fraction, OL_NULL | OL_OLD, "")
OL_STRUCT(ol_int8_pairs, OL_INT8_PAIRS_FIELDS, "")

#define OL_INT8_EXTENT_FIELDS(F)                                      \
    F(COUNT, n_sites, 0, "")                                          \
    F(COUNT, n_layers, 0, "with an occurrence at one of their sites") \
    F(SHARE, distinct_layer_fraction, 0, "n_layers of the layers that have a site")
OL_STRUCT(ol_int8_extent, OL_INT8_EXTENT_FIELDS, "")

#define OL_BATCH_FEATURE_FIELDS(F)                                \
    F(COUNT, feature, OL_NEEDED, "")                              \
    F(REAL, max_magnitude, OL_NULL | OL_INFINITE | OL_NEEDED, "") \
    F(SHARE, layer_fraction, OL_NEEDED, "")                       \
    F(SHARE, position_fraction, OL_NEEDED, "")                    \
    F(COUNT, occurrences, OL_NEEDED, "")                          \
    F(MEMBERS(ol_int8_extent), extent, 0, "")
OL_STRUCT(ol_batch_feature, OL_BATCH_FEATURE_FIELDS, "")

#define OL_INT8_BATCH_FIELDS(F)    \
    F(COUNTS(1), sequences, 0, "") \
    F(COUNT, count, OL_NEEDED, "") \
    F(LIST(ol_batch_feature), features, OL_NEEDED, "")
OL_STRUCT(ol_int8_batch, OL_INT8_BATCH_FIELDS, "")

#define OL_FEATURE_SITE_FIELDS(F)        \
    F(COUNT, layer, OL_NEEDED, "")       \
    F(SITE, site, 0, "")                 \
    F(COUNT, occurrences, OL_NEEDED, "") \
    F(REAL, max_magnitude, OL_NULL | OL_INFINITE, "")
OL_STRUCT(ol_feature_site, OL_FEATURE_SITE_FIELDS, "")

#define OL_INT8_FEATURE_FIELDS(F)                     \
    F(COUNT, feature, OL_NEEDED, "")                  \
    F(COUNT, batches, OL_NEEDED, "")                  \
    F(REAL, max_magnitude, OL_NULL | OL_INFINITE, "") \
    F(SHARE, layer_fraction, OL_NEEDED, "")           \
    F(SHARE, position_fraction, OL_NEEDED, "")        \
    F(COUNT, occurrences, OL_NEEDED, "")              \
    F(MEMBERS(ol_int8_extent), extent, 0, "")         \
    F(BOOL, one_sided, 0, "")                         \
    F(REALS(1), quartiles, OL_NULL OL_PER("3"), "")   \
    F(LIST(ol_feature_site), sites, OL_NEEDED, "")
OL_STRUCT(ol_int8_feature, OL_INT8_FEATURE_FIELDS,
          "Numbers over all sequences; max_magnitude null is infinity")

#define OL_INT8_FEATURES_FIELDS(F) \
    F(COUNT, count, OL_NEEDED, "") \
    F(LIST(ol_int8_feature), features, OL_NEEDED, "")
OL_STRUCT(ol_int8_features, OL_INT8_FEATURES_FIELDS, "")

#define OL_LLM_INT8_FIELDS(F)                          \
    F(OBJECT(ol_int8_pairs), pairs, OL_NEEDED, "")     \
    F(OBJECT(ol_int8_features), unique, OL_NEEDED, "") \
    F(OBJECT(ol_int8_features), pooled, OL_NEEDED, "") \
    F(OBJECT(ol_int8_features), strict, OL_NEEDED, "") \
    F(LIST(ol_int8_batch), batches, OL_NEEDED, "")
OL_STRUCT(ol_llm_int8, OL_LLM_INT8_FIELDS,
          "Outlier features by the criterion of LLM.int8 (arXiv 2208.07339)")
/* clang-format on */

#endif
