/* The block "links" of the results (ol-results.5). */
#ifndef OL_RESULTS_LINKS_H
#define OL_RESULTS_LINKS_H

#include "common/results/field.h"
#include "common/results/shared.h"

/* clang-format off */
#define OL_LINK_SITE_FIELDS(F) \
    F(COUNT, layer, 0, "")     \
    F(SITE, site, 0, "")
OL_STRUCT(ol_link_site, OL_LINK_SITE_FIELDS, "")

#define OL_LINK_WRITER_FIELDS(F)               \
    F(MEMBERS(ol_named_component), who, 0, "") \
    F(REAL, share, OL_NULL, "")
OL_STRUCT(ol_link_writer, OL_LINK_WRITER_FIELDS, "")

#define OL_LINK_FIELDS(F)                          \
    F(COUNT, feature, 0, "")                       \
    F(REAL, max_magnitude, OL_NULL, "")            \
    F(COUNT, onset_layer, 0, "")                   \
    F(COUNT, event_tokens, 0, "")                  \
    F(SIZE, normed_median, OL_NULL, "")            \
    F(SIZE, normed_max, OL_NULL, "")               \
    F(SHARE, share_with_occurrence, OL_NULL, "")   \
    F(OBJECT(ol_link_site), ln_site, OL_NULL, "")  \
    F(REAL, norm_gain, OL_NULL, "")                \
    F(MAYBE, is_outlier_feature, OL_NULL, "")      \
    F(OBJECT(ol_link_writer), writer, OL_NULL, "") \
    F(MAYBE, is_super_expert, OL_NULL, "")
OL_STRUCT(ol_link, OL_LINK_FIELDS, "")
/* clang-format on */

#endif
