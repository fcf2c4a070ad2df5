/* The block "onset" of the results (ol-results.5). */
#ifndef OL_RESULTS_ONSET_H
#define OL_RESULTS_ONSET_H

#include "common/results/field.h"

/* clang-format off */
#define OL_ONSET_CAUSE_FIELDS(F)        \
    F(COUNT, since_layer, OL_NULL, "")  \
    F(REAL, normed_growth, OL_NULL, "") \
    F(REAL, gain_growth, OL_NULL, "")   \
    F(REAL, stream_growth, OL_NULL, "") \
    F(WORD("gain|stream"), by, OL_NULL, "")
OL_STRUCT(ol_onset_cause, OL_ONSET_CAUSE_FIELDS, "")

#define OL_ONSET_AT_FIELDS(F)         \
    F(COUNT, layer, 0, "")            \
    F(SITE, site, 0, "")              \
    F(SHARE, share, OL_NULL, "")      \
    F(REAL, gain, OL_NULL, "")        \
    F(SIZE, normed_rms, OL_NULL, "")  \
    F(REAL, stream_mean, OL_NULL, "") \
    F(SIZE, stream_rms, OL_NULL, "")
OL_STRUCT(ol_onset_at, OL_ONSET_AT_FIELDS, "")

#define OL_ONSET_FEATURE_FIELDS(F)                \
    F(COUNT, feature, 0, "")                      \
    F(COUNT, first_layer, OL_NULL, "")            \
    F(SITE, first_site, OL_NULL, "")              \
    F(COUNT, last_layer, OL_NULL, "")             \
    F(COUNT, n_sites, 0, "")                      \
    F(OBJECT(ol_onset_cause), cause, OL_NULL, "") \
    F(LIST(ol_onset_at), sites, 0, "")
OL_STRUCT(ol_onset_feature, OL_ONSET_FEATURE_FIELDS, "")

#define OL_ONSET_SITE_FIELDS(F) \
    F(COUNT, layer, 0, "")      \
    F(SITE, site, 0, "")        \
    F(COUNT, n_features, 0, "") \
    F(COUNT, occurrences, 0, "")
OL_STRUCT(ol_onset_site, OL_ONSET_SITE_FIELDS, "")

#define OL_ONSET_FIELDS(F)                     \
    F(SHARE, min_share, OL_NULL, "")           \
    F(LIST(ol_onset_feature), features, 0, "") \
    F(LIST(ol_onset_site), by_site, 0, "")
OL_STRUCT(ol_onset, OL_ONSET_FIELDS,
          "Where outlier features set in and end, at min_share of the tokens or more")
/* clang-format on */

#endif
