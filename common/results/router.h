/* The block "router" of the results (ol-results.5). */
#ifndef OL_RESULTS_ROUTER_H
#define OL_RESULTS_ROUTER_H

#include "common/results/field.h"

/* clang-format off */
#define OL_ROUTER_LOADS_FIELDS(F)                              \
    F(COUNT, layer, 0, "")                                     \
    F(COUNT, n_pairs, 0, "")                                   \
    F(REAL, entropy, OL_NULL, "null: nothing was routed")      \
    F(REAL, max_load, OL_NULL, "")                             \
    F(COUNT, n_outside, 0, "")                                 \
    F(COUNTS(1), never_chosen, 0, "")                          \
    F(COUNTS(1), tokens, 0 OL_PER("n_experts"), "[n_experts]") \
    F(REALS(1), mean_weight, OL_NULLS OL_PER("n_experts"), "[n_experts]; null: never chosen")
OL_STRUCT(ol_router_loads, OL_ROUTER_LOADS_FIELDS, "")

#define OL_ROUTING_FIELDS(F)   \
    F(COUNT, n_experts, 0, "") \
    F(COUNT, top_k, 0, "")     \
    F(LIST(ol_router_loads), layers, 0, "")
OL_STRUCT(ol_routing, OL_ROUTING_FIELDS, "How routers share out tokens")
/* clang-format on */

#endif
