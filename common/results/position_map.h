/* The block "position_map" of the results (ol-results.5). */
#ifndef OL_RESULTS_POSITION_MAP_H
#define OL_RESULTS_POSITION_MAP_H

#include "common/results/field.h"

/* clang-format off */
#define OL_POSITION_FEATURE_FIELDS(F) \
    F(COUNT, feature, 0, "")          \
    F(COUNTS(1), n_outliers, 0 OL_PER("bucket_edges"), "by bucket: tokens with an occurrence at any site")
OL_STRUCT(ol_position_feature, OL_POSITION_FEATURE_FIELDS, "")

#define OL_POSITION_SITE_FIELDS(F) \
    F(COUNT, layer, 0, "")         \
    F(SITE, site, 0, "")           \
    F(COUNTS(1), occurrences, 0 OL_PER("bucket_edges"), "by bucket, of any feature")
OL_STRUCT(ol_position_site, OL_POSITION_SITE_FIELDS, "")

#define OL_POSITION_MAP_FIELDS(F)                                               \
    F(COUNTS(1), bucket_edges, OL_AT_MOST(64), "first position of each bucket") \
    F(COUNTS(1), n_tokens, OL_AT_MOST(64) OL_PER("bucket_edges"), "by bucket")  \
    F(LIST(ol_position_feature), features, OL_NULL | OL_AT_MOST(64), "")        \
    F(LIST(ol_position_site), sites, OL_NULL, "")
OL_STRUCT(ol_position_map, OL_POSITION_MAP_FIELDS,
          "Where in a sequence each outlier feature is found, and occurrences at each "
          "site")
/* clang-format on */

#endif
