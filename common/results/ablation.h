/* The block "ablation" of the results (ol-results.5). */
#ifndef OL_RESULTS_ABLATION_H
#define OL_RESULTS_ABLATION_H

#include "common/results/field.h"

/* clang-format off */
#define OL_ABLATION_RUN_FIELDS(F)                                               \
    F(TEXT, arm, OL_NULL, "what was changed; null: nothing")                    \
    F(COUNT, n_tokens, 0, "that have a likelihood")                             \
    F(REAL, mean_nll, OL_NULL, "nats per token")                                \
    F(REAL, perplexity, OL_NULL, "")                                            \
    F(REAL, mean_nll_difference, OL_NULL, "to the baseline, on tokens of both") \
    F(COUNT, pairs, OL_NULL, "null: recorded by another threshold")             \
    F(COUNT, unique, OL_NULL, "")                                               \
    F(COUNT, pooled, OL_NULL, "")                                               \
    F(COUNT, strict, OL_NULL, "")
OL_STRUCT(ol_ablation_run, OL_ABLATION_RUN_FIELDS, "")

#define OL_ABLATION_FIELDS(F)                   \
    F(OBJECT(ol_ablation_run), baseline, 0, "") \
    F(LIST(ol_ablation_run), arms, 0, "")
OL_STRUCT(ol_ablation, OL_ABLATION_FIELDS, "What changes of the run come to")
/* clang-format on */

#endif
