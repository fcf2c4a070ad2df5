/* route: logits by matmul in the activation type, then per token a softmax over all
 * experts in double and the top_k largest, ties to the lower expert. */
#include "extract/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>

struct job {
    struct ol_cpu *cpu;
    const struct ol_router_spec *router;
    struct ol_tensor logits;
    uint16_t *ids;
    float *weights;
};

/* The top_k largest of n logits, falling; NaN ranks below everything. Selection keeps the
 * lower index on ties because only a strictly larger value displaces one. */
static void choose(const float *logits, int n, int top_k, uint16_t *ids)
{
    int n_chosen = 0;
    for (int e = 0; e < n; e++) {
        int at = n_chosen;
        while (at > 0 && (logits[e] > logits[ids[at - 1]] ||
                          (isnan(logits[ids[at - 1]]) && !isnan(logits[e]))))
            at--;
        if (at >= top_k)
            continue;
        if (n_chosen < top_k)
            n_chosen++;
        for (int i = n_chosen - 1; i > at; i--)
            ids[i] = ids[i - 1];
        ids[at] = (uint16_t)e;
    }
}

static void weigh(const struct ol_router_spec *router, const float *logits,
                  const uint16_t *ids, float *weights)
{
    const double top = (double)logits[ids[0]];
    double total = 0;
    if (router->renormalize)
        for (int k = 0; k < router->top_k; k++)
            total += exp((double)logits[ids[k]] - top);
    else
        for (int e = 0; e < router->n_experts; e++)
            total += exp((double)logits[e] - top);
    for (int k = 0; k < router->top_k; k++)
        weights[k] = (float)(exp((double)logits[ids[k]] - top) / total);
}

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int n = j->router->n_experts, top_k = j->router->top_k;
    float *logits = ol_cpu_scratch(j->cpu, thread, (size_t)n);
    for (int64_t i = first; i < end; i++) {
        ol_to_f32(j->logits.dtype, ol_cpu_row(j->logits, i), logits, (size_t)n);
        choose(logits, n, top_k, j->ids + i * top_k);
        weigh(j->router, logits, j->ids + i * top_k, j->weights + i * top_k);
    }
}

int ol_cpu_route(struct ol_backend *b, const struct ol_router_spec *router,
                 struct ol_tensor x, struct ol_weight weight, uint16_t *ids,
                 float *weights, struct ol_error *err)
{
    if (router->score != OL_ROUTER_SOFTMAX)
        return ol_fail(err, "cpu: router score %d is not known", (int)router->score);
    struct ol_tensor logits;
    if (b->op->tensor_new(b, b->dtype, x.n_rows, router->n_experts, &logits, err) != 0)
        return -1;
    const struct ol_matmul product = {.x = x, .weight = weight, .out = logits};
    int status = ol_cpu_matmul(b, &product, 1, err);
    if (status == 0) {
        struct job job = {ol_cpu_of(b), router, logits, ids, weights};
        ol_cpu_rows(job.cpu, x.n_rows, router->n_experts, rows, &job);
    }
    b->op->tensor_free(b, &logits);
    return status;
}
