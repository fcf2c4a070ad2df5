/* route: logits by the backend's products, then one warp per token chooses the top_k
 * experts and weighs them, by a softmax over all experts or sigmoids, in double.
 *
 * A candidate is one number: what it is ranked by, and below that its index turned
 * round, so that the largest number is the best candidate and ties go to the lower
 * index. Choosing is finding the largest number below the one chosen before. */
#include <float.h>

#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

/* A lane has every 32nd expert and at most one of those chosen. */
enum { MAX_EXPERTS = 512, MAX_TOP_K = OL_WARP, MAX_GROUPS = OL_MAX_GROUPS, WARPS = 4 };

struct router {
    enum ol_router_score score;
    int n_experts, top_k;
    int n_group, topk_group, group_best;
    bool scored; /* ol_router_scores */
    bool renormalize, scales_input;
    const uint16_t *given; /* [n_tokens, top_k] or NULL */
    double scale, least_sum;
    const float *correction; /* [n_experts] or NULL */
};

/* A token's part of shared memory. */
struct token {
    float logit[MAX_EXPERTS];
    float choice[MAX_EXPERTS]; /* what experts are ranked by */
    float group[MAX_GROUPS];
    bool kept[MAX_GROUPS];
    float chosen[MAX_TOP_K]; /* logits or scores of those chosen */
};

/* Larger for a larger value, equal for both zeros; NaN is below everything. Never 0. */
static __device__ __forceinline__ uint64_t candidate(float value, int index)
{
    const unsigned bits = __float_as_uint(value);
    unsigned rank = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
    if (value == 0)
        rank = 0x80000000u;
    if (value != value)
        rank = 0;
    return (uint64_t)rank << 32 | (0xffffffffu - (unsigned)index);
}

static __device__ __forceinline__ int index_of(uint64_t best)
{
    return (int)(0xffffffffu - (unsigned)best);
}

/* The best of n values that is below `limit`, by one lane ... */
static __device__ uint64_t best_below(const float *value, int first, int n, int step,
                                      uint64_t limit)
{
    uint64_t best = 0;
    for (int i = first; i < n; i += step) {
        const uint64_t c = candidate(value[i], i);
        best = c < limit && c > best ? c : best;
    }
    return best;
}

/* ... and by a whole warp. */
static __device__ uint64_t best_of_warp(const float *value, int n, uint64_t limit)
{
    const int lane = (int)(threadIdx.x % OL_WARP);
    uint64_t best = best_below(value, lane, n, OL_WARP, limit);
    for (int apart = OL_WARP / 2; apart > 0; apart /= 2) {
        const uint64_t other = __shfl_xor_sync(OL_FULL_WARP, best, apart);
        best = other > best ? other : best;
    }
    return best;
}

/* From the logits of a softmax router to its scores. */
static __device__ void take_softmax(const struct router &r, struct token *t)
{
    const int lane = (int)(threadIdx.x % OL_WARP);
    float largest = t->logit[0];
    for (int e = lane; e < r.n_experts; e += OL_WARP)
        largest = fmaxf(largest, t->logit[e]);
    const double top = (double)ol_warp_max(largest);
    double total = 0;
    for (int e = lane; e < r.n_experts; e += OL_WARP)
        total += exp((double)t->logit[e] - top);
    total = ol_warp_sum(total);
    for (int e = lane; e < r.n_experts; e += OL_WARP)
        t->logit[e] = (float)(exp((double)t->logit[e] - top) / total);
    __syncwarp();
}

/* sqrt(ln(1 + e^x)); of large x the exponential would overflow. */
static __device__ float sqrt_softplus(float x)
{
    return (float)sqrt((x > 0 ? (double)x : 0) + log1p(exp(-fabs((double)x))));
}

/* What experts are ranked by: logits, which rise with their scores and are never equal
 * where large scores are, or scores with their correction. Logits become scores where the
 * router has them. */
static __device__ void rank_experts(const struct router &r, struct token *t)
{
    const int lane = (int)(threadIdx.x % OL_WARP);
    if (r.scored && r.score == OL_ROUTER_SOFTMAX)
        take_softmax(r, t);
    for (int e = lane; e < r.n_experts; e += OL_WARP) {
        const float ranked = t->logit[e];
        if (r.score == OL_ROUTER_SIGMOID)
            t->logit[e] = (float)(1 / (1 + exp(-(double)ranked)));
        else if (r.score == OL_ROUTER_SQRT_SOFTPLUS)
            t->logit[e] = sqrt_softplus(ranked);
        t->choice[e] = r.correction != NULL ? t->logit[e] + r.correction[e] : ranked;
    }
    __syncwarp();
}

/* -inf for the experts of all groups but the best. */
static __device__ void keep_groups(const struct router &r, struct token *t)
{
    const int lane = (int)(threadIdx.x % OL_WARP), size = r.n_experts / r.n_group;
    const int n_best = size < r.group_best ? size : r.group_best;
    for (int g = lane; g < r.n_group; g += OL_WARP) {
        uint64_t best = UINT64_MAX;
        float sum = 0;
        for (int i = 0; i < n_best; i++) {
            best = best_below(t->choice + g * size, 0, size, 1, best);
            sum += t->choice[g * size + index_of(best)];
        }
        t->group[g] = sum;
        t->kept[g] = false;
    }
    __syncwarp();
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < r.topk_group; i++) {
        best = best_of_warp(t->group, r.n_group, best);
        if (lane == 0)
            t->kept[index_of(best)] = true;
    }
    __syncwarp();
    for (int e = lane; e < r.n_experts; e += OL_WARP)
        if (!t->kept[e / size])
            t->choice[e] = -INFINITY;
    __syncwarp();
}

/* -inf for all experts but those given. */
static __device__ void keep_given(const struct router &r, const uint16_t *given,
                                  struct token *t)
{
    const int lane = (int)(threadIdx.x % OL_WARP);
    const int own = lane < r.top_k ? given[lane] : 0;
    const float kept = lane < r.top_k ? t->choice[own] : 0;
    __syncwarp();
    for (int e = lane; e < r.n_experts; e += OL_WARP)
        t->choice[e] = -INFINITY;
    __syncwarp();
    if (lane < r.top_k)
        t->choice[own] = isnan(kept) || isinf(kept) ? -FLT_MAX : kept;
    __syncwarp();
}

/* The weight of the lane's expert among those chosen, whose logits are in t->chosen. */
static __device__ float weigh_softmax(const struct router &r, const struct token *t,
                                      float own)
{
    const int lane = (int)(threadIdx.x % OL_WARP);
    /* Not the first chosen: groups may have taken the largest out. */
    float largest = t->chosen[0];
    for (int e = lane; e < r.n_experts; e += OL_WARP)
        largest = fmaxf(largest, t->logit[e]);
    const double top = (double)ol_warp_max(largest);
    double total = 0;
    if (r.renormalize) {
        for (int k = 0; k < r.top_k; k++)
            total += exp((double)t->chosen[k] - top);
    } else {
        for (int e = lane; e < r.n_experts; e += OL_WARP)
            total += exp((double)t->logit[e] - top);
        total = ol_warp_sum(total);
    }
    return (float)(exp((double)own - top) / total * r.scale);
}

static __device__ float weigh_scores(const struct router &r, const struct token *t,
                                     float own)
{
    double total = 0;
    for (int k = 0; k < r.top_k; k++)
        total += (double)t->chosen[k];
    /* The references' guards against a sum of nothing. */
    total = fmax(total + 1e-20, r.least_sum);
    const double factor = (r.renormalize ? 1 / total : 1) * r.scale;
    return (float)((double)own * factor);
}

/* L: the logits' type, T: the activations'. */
template <typename L, typename T>
static __global__ void __launch_bounds__(WARPS *OL_WARP)
    route_kernel(const struct router r, const L *logits, int64_t n_tokens, uint16_t *ids,
                 float *weights)
{
    OL_SHARED(struct token, tokens, WARPS);
    const int lane = (int)(threadIdx.x % OL_WARP);
    const int64_t row = ol_thread_index() / OL_WARP;
    struct token *t = &tokens[threadIdx.x / OL_WARP];
    if (row >= n_tokens)
        return;
    for (int e = lane; e < r.n_experts; e += OL_WARP)
        t->logit[e] = ol_value(logits[row * r.n_experts + e]);
    __syncwarp();
    rank_experts(r, t);
    if (r.n_group > 1)
        keep_groups(r, t);
    if (r.given != NULL)
        keep_given(r, r.given + row * r.top_k, t);
    uint64_t best = UINT64_MAX;
    int own = 0;
    for (int k = 0; k < r.top_k; k++) {
        best = best_of_warp(t->choice, r.n_experts, best);
        own = lane == k ? index_of(best) : own;
    }
    if (lane < r.top_k)
        t->chosen[lane] = t->logit[own];
    __syncwarp();
    const float weight =
        r.scored ? weigh_scores(r, t, t->logit[own]) : weigh_softmax(r, t, t->logit[own]);
    if (lane < r.top_k) {
        ids[row * r.top_k + lane] = (uint16_t)own;
        weights[row * r.top_k + lane] = r.scales_input ? ol_round_as<T>(weight) : weight;
    }
}

/* ---- launch ---- */

static int check(const struct ol_router_spec *router, struct ol_error *err)
{
    if (router->n_experts > MAX_EXPERTS)
        return ol_fail(err, "cuda: route: %d experts, expected at most %d",
                       router->n_experts, MAX_EXPERTS);
    if (router->top_k > MAX_TOP_K)
        return ol_fail(err, "cuda: route: %d experts per token, expected at most %d",
                       router->top_k, MAX_TOP_K);
    if (router->n_group > MAX_GROUPS)
        return ol_fail(err, "cuda: route: %d groups of experts, expected at most %d",
                       router->n_group, MAX_GROUPS);
    return 0;
}

/* What is chosen, one behind the other in a result; offsets, rows and slots only where
 * the pairs are to be sorted by expert. */
struct chosen {
    float *weights;
    int64_t *offsets;
    int32_t *rows, *slots;
    uint16_t *ids;
};

/* Where they go, and how many bytes they are in all. */
static struct ol_cuda_places places_of(int64_t n_pairs, uint16_t *ids, float *weights,
                                       const struct ol_permutation *p, size_t *bytes)
{
    const size_t n = (size_t)n_pairs, n_sorted = p == NULL ? 0 : n;
    const size_t n_offsets = p == NULL ? 0 : (size_t)p->n_experts + 1;
    struct ol_cuda_places places = {
        5,
        {{p != NULL ? p->offsets : NULL, 0, n_offsets * sizeof *p->offsets},
         {weights, 0, n * sizeof *weights},
         {p != NULL ? p->rows : NULL, 0, n_sorted * sizeof *p->rows},
         {p != NULL ? p->slots : NULL, 0, n_sorted * sizeof *p->slots},
         {ids, 0, n * sizeof *ids}}};
    *bytes = 0;
    for (int i = 0; i < places.n; i++) {
        places.of[i].at = *bytes;
        *bytes += places.of[i].bytes;
    }
    return places;
}

template <typename L, typename T>
static int choose(struct ol_cuda *cuda, const struct router *r, struct ol_tensor logits,
                  const struct chosen *to, struct ol_error *err)
{
    return ol_launch(cuda, err, "route", route_kernel<L, T>,
                     ol_cuda_blocks(logits.n_rows, WARPS), WARPS * OL_WARP, 0, *r,
                     (const L *)logits.data, logits.n_rows, to->ids, to->weights);
}

int ol_cuda_route(struct ol_backend *b, const struct ol_router_spec *router,
                  struct ol_tensor x, struct ol_weight weight, struct ol_weight bias,
                  struct ol_weight correction, uint16_t *ids, float *weights,
                  struct ol_permutation *p, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const int64_t n_pairs = x.n_rows * router->top_k;
    size_t bytes;
    const struct ol_cuda_places places = places_of(n_pairs, ids, weights, p, &bytes);
    if (check(router, err) != 0)
        return -1;
    char *result = (char *)ol_cuda_result_begin(cuda, bytes, err);
    if (result == NULL)
        return -1;
    const struct chosen to = {(float *)(void *)(result + places.of[1].at),
                              (int64_t *)(void *)(result + places.of[0].at),
                              (int32_t *)(void *)(result + places.of[2].at),
                              (int32_t *)(void *)(result + places.of[3].at),
                              (uint16_t *)(void *)(result + places.of[4].at)};
    struct router r = {.score = router->score,
                       .n_experts = router->n_experts,
                       .top_k = router->top_k,
                       .n_group = router->n_group,
                       .topk_group = router->topk_group,
                       .group_best = router->group_best,
                       .scored = ol_router_scores(router, correction.data != NULL),
                       .renormalize = router->renormalize,
                       .scales_input = router->scales_input,
                       .given = NULL,
                       .scale = router->scale,
                       .least_sum = router->least_sum,
                       .correction = NULL};
    struct ol_tensor logits = {NULL, router->float_logits ? OL_DTYPE_F32 : b->dtype,
                               x.n_rows, router->n_experts};
    logits.data = ol_cuda_scratch(cuda, ol_cuda_bytes(logits), err);
    if (logits.data == NULL)
        return -1;
    if (correction.data != NULL) {
        r.correction = ol_cuda_values(cuda, &correction, OL_DTYPE_F32, err);
        if (r.correction == NULL)
            return -1;
    }
    if (router->given) {
        const size_t n = (size_t)x.n_rows * (size_t)r.top_k;
        r.given = (const uint16_t *)ol_cuda_put(cuda, ids, n * sizeof *ids, err);
        if (r.given == NULL)
            return -1;
    }
    const struct ol_matmul product = {x, weight, bias, logits, 0};
    if (ol_cuda_products(cuda, &product, 1, err) != 0)
        return -1;
    const int status =
        b->dtype == OL_DTYPE_F32 ? choose<float, float>(cuda, &r, logits, &to, err)
        : router->float_logits
            ? choose<float, struct ol_bf16>(cuda, &r, logits, &to, err)
            : choose<struct ol_bf16, struct ol_bf16>(cuda, &r, logits, &to, err);
    if (status != 0 ||
        (p != NULL && ol_cuda_sort_pairs(cuda, to.ids, n_pairs, p->n_experts, r.top_k,
                                         to.offsets, to.rows, to.slots, err) != 0))
        return -1;
    return ol_cuda_result_end_places(cuda, &places, err);
}
