/* Routers, and how rows go to experts and back, against loops in double precision. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/operations.h"

/* Rows that a router with the weight `identity` [n_experts, n_experts], filled in here,
 * takes for its logits. */
static struct ol_tensor logits_of(struct ol_backend *b, const float *logits, int n,
                                  int n_experts, float *identity)
{
    struct ol_tensor x = tensor(b, b->dtype, n, n_experts);
    test_upload(b, x, logits);
    for (int e = 0; e < n_experts; e++)
        identity[e * n_experts + e] = 1;
    return x;
}

/* Choices with their pairs sorted by expert, among other results: of more bytes than come
 * together, asked for one after another or all at once. */
static size_t left_for_later(struct ol_backend *b, void *bytes)
{
    enum { N = 67, D = 24, E = 9, K = 3, WIDE = 4096, MOST = 12 };
    const struct ol_router_spec router = {
        .score = OL_ROUTER_SOFTMAX, .n_experts = E, .top_k = K, .n_group = 1, .scale = 1};
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, N, D, 1), wide = random_tensor(b, N, WIDE, 1);
    struct ol_weight w = random_weight(OL_DTYPE_F32, E, D, 1);
    const struct ol_weight none = {0};
    const size_t size = ol_tensor_bytes(wide);
    char *copies = ol_xcalloc(MOST, size), *want = test_download(b, wide);
    int64_t offsets[2][E + 1], numbers[MOST];
    static int32_t rows[2][N * K], slots[2][N * K];
    uint16_t ids[N * K];
    float weights[N * K];
    struct ol_permutation p[] = {{E, offsets[0], rows[0], slots[0]},
                                 {E, offsets[1], rows[1], slots[1]}};
    if (b->op->results_room != NULL)
        b->op->results_room(b, (int64_t)size);
    for (int i = 0; i < MOST; i++) {
        OK(b->op->download_later(b, wide, copies + (size_t)i * size, &err));
        numbers[i] = b->n_results;
        if (i == 1)
            OK(b->op->route(b, &router, x, w, none, none, ids, weights, &p[0], &err));
        if (i % 5 == 2)
            OK(b->op->results_send(b, &err));
        if (i % 5 == 4)
            OK(b->op->results_wait(b, numbers[i - 1], &err));
    }
    OK(b->op->zero(b, wide, &err)); /* it may change at once */
    for (int i = 0; i < MOST; i++) {
        OK(b->op->results_wait(b, numbers[i], &err));
        assert_memory_equal(copies + (size_t)i * size, want, size);
    }
    OK(b->op->permute(b, ids, N, K, &p[1], &err));
    assert_memory_equal(offsets[0], offsets[1], sizeof offsets[0]);
    assert_memory_equal(rows[0], rows[1], sizeof rows[0]);
    assert_memory_equal(slots[0], slots[1], sizeof slots[0]);
    /* What is forgotten may have no memory any more. */
    for (int i = 0; i < MOST; i++) {
        char *gone = ol_xmalloc(size);
        OK(b->op->download_later(b, x, gone, &err));
        b->op->results_forget(b);
        free(gone);
    }
    assert_true(test_arrive(b, &err));
    memcpy(bytes, ids, sizeof ids);
    free(copies), free(want);
    free_weight(&w);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &wide);
    return sizeof ids;
}

/* An expert's logit is the row's value in its column: the weight is the identity. */
static size_t route(struct ol_backend *b, void *bytes)
{
    enum { N = 5, E = 6, K = 3 };
    static const float logits[N][E] = {{1, 3, 2, 0, -1, 2.5f},
                                       {4, 4, 4, 4, 4, 4},
                                       {-1, 2, 2, 7, 2, -8},
                                       {0, -5, 6, 6, 1, 2},
                                       {-90, -91, -92, -93, -94, -95}};
    static const uint16_t want[N][K] = {
        {1, 5, 2}, {0, 1, 2}, {3, 1, 2}, {2, 3, 5}, {0, 1, 2}};
    static float identity[E][E];
    struct ol_error err = {0};
    struct ol_tensor x = logits_of(b, logits[0], N, E, identity[0]);
    const struct ol_weight w = ol_weight_plain(identity, OL_DTYPE_F32, E, E);
    const struct ol_weight none = {0};
    struct ol_router_spec router = {
        .score = OL_ROUTER_SOFTMAX, .n_experts = E, .top_k = K, .n_group = 1, .scale = 1};
    uint16_t ids[2][N][K];
    float weights[2][N][K];
    OK(test_route_now(b, &router, x, w, none, none, ids[0][0], weights[0][0], &err));
    router.renormalize = true;
    OK(test_route_now(b, &router, x, w, none, none, ids[1][0], weights[1][0], &err));
    for (int i = 0; i < N; i++) {
        double all = 0, chosen = 0;
        for (int e = 0; e < E; e++)
            all += exp((double)logits[i][e] - (double)logits[i][want[i][0]]);
        for (int k = 0; k < K; k++)
            chosen += exp((double)(logits[i][want[i][k]] - logits[i][want[i][0]]));
        for (int k = 0; k < K; k++) {
            const double e = exp((double)(logits[i][want[i][k]] - logits[i][want[i][0]]));
            assert_int_equal(ids[0][i][k], want[i][k]);
            assert_int_equal(ids[1][i][k], want[i][k]);
            assert_true(fabs((double)weights[0][i][k] - e / all) < 1e-7);
            assert_true(fabs((double)weights[1][i][k] - e / chosen) < 1e-7);
        }
    }
    memcpy(bytes, ids, sizeof ids);
    memcpy((char *)bytes + sizeof ids, weights, sizeof weights);
    b->op->tensor_free(b, &x);
    return sizeof ids + sizeof weights;
}

/* Three groups of two experts, of which two stay; the corrections change the choice, but
 * not the weights. */
static size_t route_sigmoid(struct ol_backend *b, void *bytes)
{
    enum { N = 4, E = 6, K = 2 };
    static const float logits[N][E] = {
        {2, 2, 3, -9, 0, 1}, /* group 1 has the best expert */
        {0, 0, 0, 0, 0, 0},
        {5, -5, 1, 1, 0.5f, 0.5f},
        {-90, -91, 30, 29, -1, 1}};
    static const float corrections[E] = {0, 0, 0, 0, 0.25f, 0};
    static const uint16_t want[N][K] = {{0, 1}, {4, 0}, {4, 2}, {2, 3}};
    static float identity[E][E];
    struct ol_error err = {0};
    struct ol_tensor x = logits_of(b, logits[0], N, E, identity[0]);
    const struct ol_weight w = ol_weight_plain(identity, OL_DTYPE_F32, E, E);
    const struct ol_weight correction = ol_weight_plain(corrections, OL_DTYPE_F32, 1, E),
                           none = {0};
    struct ol_router_spec router = {.score = OL_ROUTER_SIGMOID,
                                    .float_logits = true,
                                    .group_best = 2,
                                    .n_experts = E,
                                    .top_k = K,
                                    .n_group = 3,
                                    .topk_group = 2,
                                    .scale = 2.5};
    uint16_t ids[2][N][K];
    float weights[2][N][K];
    OK(test_route_now(b, &router, x, w, none, correction, ids[0][0], weights[0][0],
                      &err));
    router.renormalize = true;
    OK(test_route_now(b, &router, x, w, none, correction, ids[1][0], weights[1][0],
                      &err));
    for (int i = 0; i < N; i++) {
        double s[K];
        for (int k = 0; k < K; k++)
            s[k] = 1 / (1 + exp(-(double)logits[i][want[i][k]]));
        for (int k = 0; k < K; k++) {
            assert_int_equal(ids[0][i][k], want[i][k]);
            assert_int_equal(ids[1][i][k], want[i][k]);
            assert_true(fabs((double)weights[0][i][k] - 2.5 * s[k]) < 1e-6);
            assert_true(fabs((double)weights[1][i][k] - 2.5 * s[k] / (s[0] + s[1])) <
                        1e-6);
        }
    }
    memcpy(bytes, ids, sizeof ids);
    memcpy((char *)bytes + sizeof ids, weights, sizeof weights);
    b->op->tensor_free(b, &x);
    return sizeof ids + sizeof weights;
}

/* A softmax whose scores are ranked with a correction, which the weights do not show;
 * they are divided by no less than least_sum. Without one, groups are ranked by the sums
 * of their scores: group 0's logits have the larger sum in the last row, group 2's
 * scores. */
static size_t route_scores(struct ol_backend *b, void *bytes)
{
    enum { N = 4, E = 6, K = 2 };
    static const float logits[N][E] = {{2, 2, 3, -9, 0, 1},
                                       {0, 0, 0, 0, 0, 0},
                                       {40, -40, -41, 1, -42, 2},
                                       {2, 2, -7, -8, 4, -3}};
    static const float corrections[E] = {0, 2, 0, 0, 1.5f, 0};
    static const uint16_t want[N][K] = {{1, 4}, {1, 4}, {1, 4}, {4, 1}};
    static const uint16_t grouped[N][K] = {{2, 3}, {0, 1}, {0, 1}, {4, 5}};
    const double least = 0.25;
    static float identity[E][E];
    struct ol_error err = {0};
    struct ol_tensor x = logits_of(b, logits[0], N, E, identity[0]);
    const struct ol_weight w = ol_weight_plain(identity, OL_DTYPE_F32, E, E);
    const struct ol_weight correction = ol_weight_plain(corrections, OL_DTYPE_F32, 1, E),
                           none = {0};
    struct ol_router_spec router = {.score = OL_ROUTER_SOFTMAX,
                                    .float_logits = true,
                                    .renormalize = true,
                                    .least_sum = least,
                                    .n_experts = E,
                                    .top_k = K,
                                    .n_group = 1,
                                    .scale = 2.5};
    uint16_t ids[2][N][K];
    float weights[2][N][K];
    OK(test_route_now(b, &router, x, w, none, correction, ids[0][0], weights[0][0],
                      &err));
    router.n_group = 3;
    router.topk_group = 1;
    router.group_best = 2;
    router.renormalize = false;
    OK(test_route_now(b, &router, x, w, none, none, ids[1][0], weights[1][0], &err));
    for (int i = 0; i < N; i++) {
        double all = 0, s[2][K];
        for (int e = 0; e < E; e++)
            all += exp((double)logits[i][e]);
        for (int k = 0; k < K; k++) {
            s[0][k] = exp((double)logits[i][want[i][k]]) / all;
            s[1][k] = exp((double)logits[i][grouped[i][k]]) / all;
        }
        for (int k = 0; k < K; k++) {
            assert_int_equal(ids[0][i][k], want[i][k]);
            assert_int_equal(ids[1][i][k], grouped[i][k]);
            assert_true(fabs((double)weights[0][i][k] -
                             2.5 * s[0][k] / fmax(least, s[0][0] + s[0][1])) < 1e-6);
            assert_true(fabs((double)weights[1][i][k] - 2.5 * s[1][k]) < 1e-6);
        }
    }
    memcpy(bytes, ids, sizeof ids);
    memcpy((char *)bytes + sizeof ids, weights, sizeof weights);
    b->op->tensor_free(b, &x);
    return sizeof ids + sizeof weights;
}

/* A router that scales what goes into the experts (Llama 4): logits whose sigmoids are
 * all 1 in float are told apart, and weights are activations. */
static size_t route_input(struct ol_backend *b, void *bytes)
{
    enum { N = 3, E = 4, K = 2 };
    static const float logits[N][E] = {
        {20, 30, 25, 18}, {-2, 0.3f, 0.7f, -9}, {1, 1, 1, 1}};
    static const float biases[E] = {0, 0, 0, 16};
    static const uint16_t want[N][K] = {{3, 1}, {3, 2}, {3, 0}};
    static float identity[E][E];
    struct ol_error err = {0};
    struct ol_tensor x = logits_of(b, logits[0], N, E, identity[0]);
    const struct ol_weight w = ol_weight_plain(identity, OL_DTYPE_F32, E, E),
                           bias = ol_weight_plain(biases, OL_DTYPE_F32, 1, E), none = {0};
    const struct ol_router_spec router = {.score = OL_ROUTER_SIGMOID,
                                          .n_experts = E,
                                          .top_k = K,
                                          .n_group = 1,
                                          .scale = 1,
                                          .scales_input = true};
    uint16_t ids[N][K];
    float weights[N][K];
    OK(test_route_now(b, &router, x, w, bias, none, ids[0], weights[0], &err));
    double *xs = tensor_values(b, x);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < K; k++) {
            assert_int_equal(ids[i][k], want[i][k]);
            const int e = want[i][k];
            float logit = (float)xs[i * E + e] + biases[e];
            if (b->dtype == OL_DTYPE_BF16)
                logit = ol_bf16_round(logit);
            float score = (float)(1 / (1 + exp(-(double)logit)));
            if (b->dtype == OL_DTYPE_BF16)
                score = ol_bf16_round(score);
            assert_true(weights[i][k] == score);
        }
    free(xs);
    memcpy(bytes, ids, sizeof ids);
    memcpy((char *)bytes + sizeof ids, weights, sizeof weights);
    b->op->tensor_free(b, &x);
    return sizeof ids + sizeof weights;
}

static size_t experts(struct ol_backend *b, void *bytes)
{
    enum { N = 211, E = 7, K = 3, D = 29 };
    struct ol_error err = {0};
    static uint16_t ids[N * K];
    for (int i = 0; i < N; i++)
        for (int k = 0; k < K; k++) /* distinct within a token; 6 is never chosen */
            ids[i * K + k] = (uint16_t)((i * i + 2 * k) % 6);
    int64_t offsets[E + 1];
    static int32_t rows[N * K], slots[N * K];
    struct ol_permutation p = {E, offsets, rows, slots};
    OK(b->op->permute(b, ids, N, K, &p, &err));
    assert_int_equal(offsets[0], 0);
    assert_int_equal(offsets[E], N * K);
    assert_int_equal(offsets[6], offsets[7]);
    for (int e = 0; e < E; e++)
        for (int64_t i = offsets[e]; i < offsets[e + 1]; i++) {
            assert_int_equal(ids[rows[i] * K + slots[i]], e);
            assert_true(i == offsets[e] || rows[i] > rows[i - 1]);
        }
    struct ol_tensor x = random_tensor(b, N, D, 1), out = tensor(b, b->dtype, N * K, D);
    struct ol_tensor sum = tensor(b, OL_DTYPE_F32, N, D);
    float scales[N * K];
    for (int i = 0; i < N * K; i++)
        scales[i] = uniform();
    OK(b->op->gather(b, x, rows, NULL, out, &err));
    double *xs = tensor_values(b, x), *want = ol_xcalloc(N * D, sizeof *want);
    /* The first experts in one call, the others one by one. */
    OK(b->op->scatter_add(b, ol_tensor_rows(out, 0, offsets[3]), offsets, 3, rows, scales,
                          sum, &err));
    for (int e = 0; e < E; e++) {
        const int64_t first = offsets[e], n = offsets[e + 1] - first, whole[] = {0, n};
        if (e >= 3)
            OK(b->op->scatter_add(b, ol_tensor_rows(out, first, n), whole, 1,
                                  rows + first, scales + first, sum, &err));
        for (int64_t i = first; i < first + n; i++)
            for (int c = 0; c < D; c++)
                want[rows[i] * D + c] += (double)scales[i] * xs[rows[i] * D + c];
    }
    double *found = tensor_values(b, sum);
    compare("gather, scatter_add", OL_DTYPE_F32, found, want, N * D, 2);
    const size_t n = copy_out(b, sum, bytes);
    ids[5] = E;
    assert_int_equal(b->op->permute(b, ids, N, K, &p, &err), -1);
    free(xs), free(want), free(found);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &out);
    b->op->tensor_free(b, &sum);
    return n;
}

static const struct operation operations[] = {
    {"route", route},
    {"route, sigmoid", route_sigmoid},
    {"route, scores", route_scores},
    {"route, input", route_input},
    {"permute, gather, scatter_add", experts},
    {"download_later, route, results_wait", left_for_later},
};

int main(void)
{
    return run_operations(operations, sizeof operations / sizeof operations[0]);
}
