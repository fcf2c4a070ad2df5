/* route: logits by matmul, then per token the top_k experts and their weights, from a
 * softmax over all experts, or sigmoids, in double; ties to the lower expert. */
#include "extract/cpu/cpu.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/real_math.h"

struct job {
    struct ol_cpu *cpu;
    enum ol_dtype dtype; /* of activations */
    const struct ol_router_spec *router;
    struct ol_tensor logits;
    const float *correction; /* [n_experts] or NULL */
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

static void weigh_softmax(const struct ol_router_spec *router, const float *logits,
                          const uint16_t *ids, float *weights)
{
    /* Not the first chosen: groups may have taken the largest out. */
    float largest = logits[ids[0]];
    for (int e = 0; e < router->n_experts; e++)
        largest = logits[e] > largest ? logits[e] : largest;
    const double top = (double)largest;
    double total = 0;
    if (router->renormalize)
        for (int k = 0; k < router->top_k; k++)
            total += ol_real_exp((double)logits[ids[k]] - top);
    else
        for (int e = 0; e < router->n_experts; e++)
            total += ol_real_exp((double)logits[e] - top);
    for (int k = 0; k < router->top_k; k++)
        weights[k] =
            (float)(ol_real_exp((double)logits[ids[k]] - top) / total * router->scale);
}

/* -inf for the experts of all groups but the best. */
static void keep_groups(const struct ol_router_spec *router, float *choice, float *groups)
{
    const int size = router->n_experts / router->n_group;
    uint16_t kept[OL_MAX_GROUPS], best[OL_MAX_TOP_K];
    for (int g = 0; g < router->n_group; g++) {
        const int n = size < router->group_best ? size : router->group_best;
        choose(choice + g * size, size, n, best);
        groups[g] = 0;
        for (int i = 0; i < n; i++)
            groups[g] += choice[g * size + best[i]];
    }
    choose(groups, router->n_group, router->topk_group, kept);
    for (int g = 0; g < router->n_group; g++) {
        bool keep = false;
        for (int i = 0; i < router->topk_group; i++)
            keep = keep || kept[i] == g;
        for (int e = g * size; !keep && e < (g + 1) * size; e++)
            choice[e] = -INFINITY;
    }
}

static void weigh_scores(const struct ol_router_spec *router, const float *scores,
                         const uint16_t *ids, float *weights)
{
    double total = 0;
    for (int k = 0; k < router->top_k; k++)
        total += (double)scores[ids[k]];
    /* The references' guards against a sum of nothing. */
    total = fmax(total + 1e-20, router->least_sum);
    const double factor = (router->renormalize ? 1 / total : 1) * router->scale;
    for (int k = 0; k < router->top_k; k++)
        weights[k] = (float)((double)scores[ids[k]] * factor);
}

/* sqrt(ln(1 + e^x)); of large x the exponential would overflow. */
static float sqrt_softplus(float x)
{
    const double most = x > 0 ? (double)x : 0;
    return (float)sqrt(most + ol_real_log1p(ol_real_exp(-fabs((double)x))));
}

/* From logits to scores. */
static void score(const struct ol_router_spec *router, float *values)
{
    const int n = router->n_experts;
    if (router->score == OL_ROUTER_SIGMOID) {
        for (int e = 0; e < n; e++)
            values[e] = (float)(1 / (1 + ol_real_exp(-(double)values[e])));
        return;
    }
    if (router->score == OL_ROUTER_SQRT_SOFTPLUS) {
        for (int e = 0; e < n; e++)
            values[e] = sqrt_softplus(values[e]);
        return;
    }
    float top = values[0];
    double total = 0;
    for (int e = 1; e < n; e++)
        top = values[e] > top ? values[e] : top;
    for (int e = 0; e < n; e++)
        total += ol_real_exp((double)values[e] - (double)top);
    for (int e = 0; e < n; e++)
        values[e] = (float)(ol_real_exp((double)values[e] - (double)top) / total);
}

/* What experts are ranked by: logits, which rise with their scores and are never equal
 * where large scores are, or scores with their correction. `scores` are logits, and on
 * return scores where the router has them. */
static void rank(const struct job *j, float *scores, float *choice)
{
    const int n = j->router->n_experts;
    const bool scored = ol_router_scores(j->router, j->correction != NULL);
    memcpy(choice, scores, (size_t)n * sizeof *choice);
    if (scored)
        score(j->router, scores);
    if (scored && j->router->score == OL_ROUTER_SOFTMAX)
        memcpy(choice, scores, (size_t)n * sizeof *choice);
    for (int e = 0; j->correction != NULL && e < n; e++)
        choice[e] = scores[e] + j->correction[e];
    if (j->router->n_group > 1)
        keep_groups(j->router, choice, choice + n);
}

/* -inf for all experts but those given. */
static void keep_given(const struct ol_router_spec *router, const uint16_t *ids,
                       float *choice)
{
    float kept[OL_MAX_TOP_K];
    for (int k = 0; k < router->top_k; k++)
        kept[k] = choice[ids[k]];
    for (int e = 0; e < router->n_experts; e++)
        choice[e] = -INFINITY;
    for (int k = 0; k < router->top_k; k++)
        choice[ids[k]] = isnan(kept[k]) || isinf(kept[k]) ? -FLT_MAX : kept[k];
}

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const struct ol_router_spec *r = j->router;
    const int n = r->n_experts, top_k = r->top_k;
    float *scores = ol_cpu_scratch(j->cpu, thread, (size_t)(2 * n + r->n_group));
    float *choice = scores + n;
    for (int64_t i = first; i < end; i++) {
        uint16_t *ids = j->ids + i * top_k;
        float *weights = j->weights + i * top_k;
        ol_to_f32(j->logits.dtype, ol_cpu_row(j->logits, i), scores, (size_t)n);
        rank(j, scores, choice);
        if (r->given)
            keep_given(r, ids, choice);
        choose(choice, n, top_k, ids);
        if (ol_router_scores(r, j->correction != NULL))
            weigh_scores(r, scores, ids, weights);
        else
            weigh_softmax(r, scores, ids, weights);
        for (int k = 0; r->scales_input && k < top_k; k++)
            weights[k] = ol_cpu_round(j->dtype, weights[k]);
    }
}

int ol_cpu_route(struct ol_backend *b, const struct ol_router_spec *router,
                 struct ol_tensor x, struct ol_weight weight, struct ol_weight bias,
                 struct ol_weight correction, uint16_t *ids, float *weights,
                 struct ol_permutation *p, struct ol_error *err)
{
    struct ol_tensor logits;
    if (b->op->tensor_new(b, router->float_logits ? OL_DTYPE_F32 : b->dtype, x.n_rows,
                          router->n_experts, &logits, err) != 0)
        return -1;
    float *corrections = NULL;
    if (correction.data != NULL) {
        corrections = ol_xcalloc((size_t)router->n_experts, sizeof *corrections);
        ol_cpu_decode(&correction, 0, 1, corrections);
    }
    const struct ol_matmul product = {x, weight, bias, .out = logits};
    int status = ol_cpu_matmul(b, &product, 1, err);
    if (status == 0) {
        struct job job = {ol_cpu_of(b), b->dtype, router, logits,
                          corrections,  ids,      weights};
        ol_cpu_rows(job.cpu, x.n_rows, router->n_experts, rows, &job);
    }
    free(corrections);
    b->op->tensor_free(b, &logits);
    if (status == 0 && p != NULL)
        status = ol_cpu_permute(b, ids, x.n_rows, router->top_k, p, err);
    return status;
}
