/* What a run has to do, counted before it begins: weights by kind, bytes that it reads,
 * operations. */
#ifndef OL_WORKLOAD_H
#define OL_WORKLOAD_H

#include "extract/model/role.h"
#include "extract/run/plan.h"
#include "extract/run/roofline.h"

struct ol_workload {
    int64_t bytes[OL_N_ROLE_KINDS], all_bytes; /* of the weights, as they are stored */
    int64_t read_bytes;                        /* of these, at most */
    int64_t parameters[OL_N_ROLE_KINDS], all_parameters;
    int64_t active_parameters; /* that one token meets */
    double operations;
    /* [n_layers + 1], the last of what belongs to no layer; owned. */
    struct ol_roofline_work *work;
};

/* The sequences pass once, and once for every arm of an ablation. */
int64_t ol_workload_passes(const struct ol_plan_request *request);

void ol_workload_count(const struct ol_plan_request *request, struct ol_workload *w);
void ol_workload_clear(struct ol_workload *w);

#endif
