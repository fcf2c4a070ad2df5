/* The block "sites" of the results (ol-results.5). */
#ifndef OL_RESULTS_SITES_H
#define OL_RESULTS_SITES_H

#include "common/results/field.h"

/* clang-format off */
#define OL_SITE_VALUES_FIELDS(F)                                                            \
    F(COUNT, layer, OL_NEEDED, "")                                                          \
    F(SITE, site, 0, "")                                                                    \
    F(COUNT, occurrences, OL_NULL, "null: all values are NaN")                              \
    F(REAL, max_magnitude, OL_NULL, "null: infinite, or not known when all values are NaN") \
    F(COUNT, n_nan, OL_NEEDED, "")                                                          \
    F(COUNT, n_inf, OL_NEEDED, "")
OL_STRUCT(ol_site_values, OL_SITE_VALUES_FIELDS, "")
/* clang-format on */

#endif
