/* The harder kernels of the CUDA backend against loops in double precision, beyond what
 * test_cpu.c and test_mixer_ops.c ask of every backend: heads as wide as models have
 * them, tiles cut by windows and by the end, hundreds of experts in groups, ties, rows
 * without numbers, experts with nothing or everything, and limits. Long: starts early. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "extract/backend.h"
#include "tests/unit/backends.h"

static uint64_t seed;

/* From -1 to 1. */
static float uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(seed >> 11) * 0x1p-52 - 1);
}

#define OK(call)                                                                         \
    do {                                                                                 \
        struct ol_error err = {0};                                                       \
        if ((call) != 0)                                                                 \
            fail_msg("%s", err.text);                                                    \
    } while (0)

/* A tensor, and its values on the host. */
struct matrix {
    int64_t n_rows, n_cols;
    float *values;
    struct ol_tensor t;
};

/* What is in the tensor. */
static void fetch(struct ol_backend *b, struct matrix *m)
{
    void *stored = test_download(b, m->t);
    ol_to_f32(b->dtype, stored, m->values, (size_t)(m->n_rows * m->n_cols));
    free(stored);
}

static struct matrix matrix_of(struct ol_backend *b, int64_t n_rows, int64_t n_cols,
                               const float *values)
{
    struct matrix m = {.n_rows = n_rows, .n_cols = n_cols};
    const size_t n = (size_t)(n_rows * n_cols);
    OK(b->op->tensor_new(b, b->dtype, n_rows, n_cols, &m.t, &err));
    test_upload(b, m.t, values);
    m.values = ol_xcalloc(n, sizeof *m.values);
    fetch(b, &m);
    return m;
}

static struct matrix random_matrix(struct ol_backend *b, int64_t n_rows, int64_t n_cols,
                                   float scale)
{
    const size_t n = (size_t)(n_rows * n_cols);
    float *values = ol_xcalloc(n, sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = scale * uniform();
    const struct matrix m = matrix_of(b, n_rows, n_cols, values);
    free(values);
    return m;
}

static void drop(struct ol_backend *b, struct matrix *m)
{
    b->op->tensor_free(b, &m->t);
    free(m->values);
}

static double at(const struct matrix *m, int64_t row, int64_t col)
{
    return (double)m->values[row * m->n_cols + col];
}

static void near(const char *what, const struct matrix *m, int64_t row, int64_t col,
                 double want, double allowed)
{
    if (!(fabs(at(m, row, col) - want) <= allowed))
        fail_msg("%s [%d, %d]: %.9g, expected %.9g +- %.2g", what, (int)row, (int)col,
                 at(m, row, col), want, allowed);
}

/* ---- attention ---- */

struct attention_case {
    int64_t n;
    int n_heads, n_kv_heads, d, dv;
    enum ol_attention_kind kind;
    int window;
    bool sinks;
};

static int64_t first_key(const struct attention_case *c, int64_t i)
{
    if (c->kind == OL_ATTENTION_SLIDING)
        return i >= c->window ? i - c->window + 1 : 0;
    return c->kind == OL_ATTENTION_CHUNKED ? i - i % c->window : 0;
}

/* Query i of head h. */
static void check_query(const struct attention_case *c, double scale, const float *sinks,
                        const struct matrix *q, const struct matrix *k,
                        const struct matrix *v, const struct matrix *out, int64_t i,
                        int h, double *received)
{
    const bool rounds = out->t.dtype == OL_DTYPE_BF16;
    const int64_t kv = h / (c->n_heads / c->n_kv_heads), first = first_key(c, i);
    double *p = ol_xcalloc((size_t)(i + 1), sizeof *p);
    double top = sinks != NULL ? (double)sinks[h] : -INFINITY, total = 0;
    for (int64_t j = first; j <= i; j++) {
        for (int x = 0; x < c->d; x++)
            p[j] += at(q, i, h * c->d + x) * at(k, j, kv * c->d + x);
        p[j] *= scale;
        top = p[j] > top ? p[j] : top;
    }
    for (int64_t j = first; j <= i; j++)
        total += p[j] = exp(p[j] - top);
    if (sinks != NULL)
        total += exp((double)sinks[h] - top);
    for (int64_t j = first; j <= i; j++)
        received[j * c->n_heads + h] += p[j] / total;
    for (int x = 0; x < c->dv; x++) {
        double sum = 0;
        for (int64_t j = first; j <= i; j++)
            sum += p[j] * at(v, j, kv * c->dv + x);
        /* bf16: the exponentials are rounded, then the mean of values of at most 2. f32:
         * scores are sums of head_dim products. */
        near("attention", out, i, h * c->dv + x, sum / total,
             rounds ? 2 * 0x1p-9 + 0x1p-8 * fabs(sum / total)
                    : 4e-5 * fmax(1, c->d / 256.0));
    }
    free(p);
}

/* What keys receive: sums over queries, of which those count that see the key. */
static void check_received(struct ol_backend *b, const struct attention_case *c,
                           struct ol_tensor t, const double *sums)
{
    float *found = test_download(b, t);
    for (int64_t i = 0; i < c->n * c->n_heads; i++) {
        int64_t n_seeing = 0;
        for (int64_t query = i / c->n_heads; query < c->n; query++)
            n_seeing += first_key(c, query) <= i / c->n_heads;
        const double want = sums[i] / (double)n_seeing;
        if (!(fabs((double)found[i] - want) <= 1e-4 * want + 1e-6))
            fail_msg("received [%d, %d]: %.9g, expected %.9g", (int)(i / c->n_heads),
                     (int)(i % c->n_heads), (double)found[i], want);
    }
    free(found);
}

static void attention_case(struct ol_backend *b, const struct attention_case *c)
{
    const struct ol_attention_args args = {.n_heads = c->n_heads,
                                           .n_kv_heads = c->n_kv_heads,
                                           .head_dim = c->d,
                                           .value_dim = c->dv,
                                           .scale = 0.3,
                                           .kind = c->kind,
                                           .window = c->window};
    float sinks[8];
    for (int h = 0; h < c->n_heads; h++)
        sinks[h] = ol_bf16_round(20 * uniform());
    struct ol_attention_args with = args;
    if (c->sinks)
        with.sinks = ol_weight_plain(sinks, OL_DTYPE_F32, 1, c->n_heads);
    struct matrix q = random_matrix(b, c->n, c->n_heads * c->d, 3),
                  k = random_matrix(b, c->n, c->n_kv_heads * c->d, 3),
                  v = random_matrix(b, c->n, c->n_kv_heads * c->dv, 2),
                  out = random_matrix(b, c->n, c->n_heads * c->dv, 1);
    double *received = ol_xcalloc((size_t)(c->n * c->n_heads), sizeof *received);
    OK(b->op->tensor_new(b, OL_DTYPE_F32, c->n, c->n_heads, &with.received, &err));
    OK(b->op->tensor_new(b, OL_DTYPE_F32, c->n, c->n_heads, &with.to_sink, &err));
    OK(b->op->attention(b, &with, q.t, k.t, v.t, out.t, &err));
    fetch(b, &out);
    for (int64_t i = 0; i < c->n; i++)
        for (int h = 0; h < c->n_heads; h++)
            check_query(c, args.scale, c->sinks ? sinks : NULL, &q, &k, &v, &out, i, h,
                        received);
    check_received(b, c, with.received, received);
    free(received);
    b->op->tensor_free(b, &with.received);
    b->op->tensor_free(b, &with.to_sink);
    drop(b, &q);
    drop(b, &k);
    drop(b, &v);
    drop(b, &out);
}

static void attention(struct ol_backend *b)
{
    static const struct attention_case cases[] = {
        /* as wide as models have them, aligned */
        {70, 1, 1, 32, 32, OL_ATTENTION_FULL, 0, false},
        {193, 4, 1, 64, 64, OL_ATTENTION_SLIDING, 100, true},
        {130, 2, 2, 128, 128, OL_ATTENTION_FULL, 0, false},
        {129, 1, 1, 192, 128, OL_ATTENTION_FULL, 0, false},
        {97, 1, 1, 256, 256, OL_ATTENTION_CHUNKED, 70, false},
        {97, 2, 1, 512, 512, OL_ATTENTION_SLIDING, 40, true},
        /* between the variants, and rows that begin anywhere */
        {66, 1, 1, 96, 80, OL_ATTENTION_FULL, 0, false},
        {65, 2, 1, 33, 3, OL_ATTENTION_FULL, 0, true},
        {5, 1, 1, 129, 40, OL_ATTENTION_FULL, 0, false},
        {3, 1, 1, 8, 200, OL_ATTENTION_FULL, 0, false},
        {66, 2, 1, 320, 300, OL_ATTENTION_FULL, 0, false},
        {35, 1, 1, 264, 128, OL_ATTENTION_FULL, 0, false},
        {35, 1, 1, 21, 511, OL_ATTENTION_FULL, 0, true},
        /* masks that end inside tiles, at their edges, and skip tiles */
        {1, 3, 1, 16, 16, OL_ATTENTION_SLIDING, 1, true},
        {300, 1, 1, 16, 16, OL_ATTENTION_SLIDING, 64, false},
        {300, 1, 1, 16, 16, OL_ATTENTION_SLIDING, 65, false},
        {300, 1, 1, 8, 8, OL_ATTENTION_SLIDING, 2, false},
        {300, 1, 1, 8, 8, OL_ATTENTION_CHUNKED, 128, true},
        {300, 1, 1, 8, 8, OL_ATTENTION_CHUNKED, 1, false},
        {300, 1, 1, 8, 8, OL_ATTENTION_CHUNKED, 301, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        attention_case(b, &cases[i]);
}

/* On devices of capability 8.6 and 8.9 too. */
static void attention_in_little(struct ol_backend *b)
{
    static const struct attention_case cases[] = {
        {97, 1, 1, 256, 256, OL_ATTENTION_CHUNKED, 70, true},
        {70, 2, 1, 250, 249, OL_ATTENTION_FULL, 0, false},
        {65, 1, 1, 256, 128, OL_ATTENTION_FULL, 0, false},
        {129, 1, 1, 192, 128, OL_ATTENTION_FULL, 0, false},
        {97, 2, 1, 512, 512, OL_ATTENTION_CHUNKED, 70, true},
        {66, 1, 1, 511, 257, OL_ATTENTION_FULL, 0, false},
    };
    enum { LITTLE = 99 << 10 };
    const enum ol_dtype dtype = b->dtype;
    cudasim_set_shared(LITTLE);
    struct ol_error err = {0};
    struct ol_backend *little = ol_cuda_open(dtype, 0, 0, 0, &err);
    if (little == NULL)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        attention_case(little, &cases[i]);
    little->op->close(little);
    cudasim_set_shared(227 << 10);
}

/* ---- router ---- */

enum { MAX_E = 512, MAX_K = 32 };

struct route_case {
    struct ol_router_spec router;
    int n_tokens;
    bool corrected, ties;
};

static bool better(float a, int i, float b, int j)
{
    if (isnan(a) || isnan(b))
        return isnan(a) == isnan(b) ? i < j : isnan(b);
    return a > b || (a == b && i < j);
}

/* The n best of `values`, best first, by looking for each anew. */
static void best_of(const float *values, int n_values, int n, int *best)
{
    bool taken[MAX_E] = {false};
    for (int k = 0; k < n; k++) {
        int found = -1;
        for (int i = 0; i < n_values; i++)
            if (!taken[i] && (found < 0 || better(values[i], i, values[found], found)))
                found = i;
        taken[found] = true;
        best[k] = found;
    }
}

static void check_token(const struct ol_router_spec *r, const float *logits,
                        const float *correction, const uint16_t *ids,
                        const float *weights, bool rounds)
{
    float choice[MAX_E], groups[MAX_E];
    double scores[MAX_E], top = -INFINITY, all = 0, sum = 0;
    int best[MAX_E];
    const int size = r->n_experts / r->n_group;
    for (int e = 0; e < r->n_experts; e++)
        top = fmax(top, (double)logits[e]);
    for (int e = 0; e < r->n_experts; e++) {
        scores[e] = r->score == OL_ROUTER_SIGMOID ? 1 / (1 + exp(-(double)logits[e]))
                                                  : exp((double)logits[e] - top);
        all += scores[e];
        choice[e] = correction != NULL ? (float)scores[e] + correction[e] : logits[e];
    }
    for (int g = 0; g < r->n_group && r->n_group > 1; g++) {
        best_of(choice + g * size, size, r->group_best, best);
        groups[g] = 0;
        for (int i = 0; i < r->group_best; i++)
            groups[g] += choice[g * size + best[i]];
    }
    if (r->n_group > 1) {
        bool kept[MAX_E] = {false};
        best_of(groups, r->n_group, r->topk_group, best);
        for (int i = 0; i < r->topk_group; i++)
            kept[best[i]] = true;
        for (int e = 0; e < r->n_experts; e++)
            choice[e] = kept[e / size] ? choice[e] : -INFINITY;
    }
    best_of(choice, r->n_experts, r->top_k, best);
    for (int k = 0; k < r->top_k; k++) {
        assert_int_equal(ids[k], best[k]);
        sum += scores[best[k]];
    }
    for (int k = 0; k < r->top_k; k++) {
        const double total = r->renormalize                  ? sum
                             : r->score == OL_ROUTER_SIGMOID ? 1
                                                             : all;
        const double want = scores[best[k]] / total * r->scale;
        const double unit = rounds ? 0x1p-8 : 0x1p-22;
        assert_true(fabs((double)weights[k] - want) <= unit * want);
    }
}

static void route_case(struct ol_backend *b, const struct route_case *c)
{
    const int n = c->router.n_experts;
    float *identity = ol_xcalloc((size_t)(n * n), sizeof *identity);
    float correction[MAX_E];
    for (int e = 0; e < n; e++) {
        identity[e * n + e] = 1;
        correction[e] = 0.25f * uniform();
    }
    const struct ol_weight none = {0}, w = ol_weight_plain(identity, OL_DTYPE_F32, n, n);
    const struct ol_weight added =
        c->corrected ? ol_weight_plain(correction, OL_DTYPE_F32, 1, n) : none;
    struct matrix x = random_matrix(b, c->n_tokens, n, 4);
    if (c->ties) { /* few different logits, both zeros among them */
        for (int64_t i = 0; i < x.n_rows * x.n_cols; i++)
            x.values[i] = truncf(x.values[i]);
        const struct matrix rounded = matrix_of(b, c->n_tokens, n, x.values);
        drop(b, &x);
        x = rounded;
    }
    uint16_t *ids = ol_xcalloc((size_t)(c->n_tokens * c->router.top_k), sizeof *ids);
    float *weights = ol_xcalloc((size_t)(c->n_tokens * c->router.top_k), sizeof *weights);
    OK(test_route_now(b, &c->router, x.t, w, none, added, ids, weights, &err));
    for (int i = 0; i < c->n_tokens; i++)
        check_token(&c->router, x.values + (int64_t)i * n,
                    c->corrected ? correction : NULL, ids + i * c->router.top_k,
                    weights + i * c->router.top_k,
                    c->router.scales_input && b->dtype == OL_DTYPE_BF16);
    drop(b, &x);
    free(ids);
    free(weights);
    free(identity);
}

static void route(struct ol_backend *b)
{
    const struct ol_router_spec softmax = {.score = OL_ROUTER_SOFTMAX,
                                           .n_group = 1,
                                           .scale = 1},
                                sigmoid = {.score = OL_ROUTER_SIGMOID,
                                           .n_group = 1,
                                           .scale = 2.5};
    struct route_case cases[] = {
        {softmax, 9, false, false}, {softmax, 9, false, true}, {softmax, 5, false, false},
        {sigmoid, 9, true, false},  {sigmoid, 6, true, true},  {sigmoid, 3, false, true},
        {softmax, 7, false, true},  {softmax, 1, false, true}, {sigmoid, 2, true, false},
    };
    static const int shapes[][5] = {
        /* experts, top_k, groups, groups kept, best per group */
        {64, 8, 1, 1, 1},   {60, 4, 1, 1, 1},  {512, 32, 1, 1, 1},
        {256, 8, 8, 4, 2},  {256, 8, 8, 4, 2}, {33, 1, 1, 1, 1},
        {160, 32, 8, 2, 1}, {1, 1, 1, 1, 1},   {510, 16, 255, 100, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ol_router_spec *r = &cases[i].router;
        r->n_experts = shapes[i][0];
        r->top_k = shapes[i][1];
        r->n_group = shapes[i][2];
        r->topk_group = shapes[i][3];
        r->group_best = shapes[i][4];
        r->renormalize = i % 2 == 1;
        r->float_logits = i % 3 == 0;
        r->scales_input = i == 5;
        route_case(b, &cases[i]);
    }
}

/* NaN is the worst logit, infinities are logits like others. */
static void route_strange(struct ol_backend *b)
{
    enum { N = 4, E = 40, K = 3 };
    float values[N][E];
    for (int i = 0; i < N; i++)
        for (int e = 0; e < E; e++)
            values[i][e] = i == 2 ? NAN : -INFINITY;
    values[0][7] = NAN;
    values[0][35] = 1;
    values[1][39] = -1e30f;
    values[1][3] = values[1][4] = INFINITY;
    values[2][38] = -2;
    static const uint16_t want[N][K] = {{35, 0, 1}, {3, 4, 39}, {38, 0, 1}, {0, 1, 2}};
    /* As biases: a product would make a row of NaN of one. */
    const float zeros[E] = {0};
    const struct ol_weight w = ol_weight_plain(zeros, OL_DTYPE_F32, E, 1), none = {0};
    struct matrix x = matrix_of(b, 1, 1, zeros);
    const struct ol_router_spec router = {
        .score = OL_ROUTER_SOFTMAX, .n_experts = E, .top_k = K, .n_group = 1, .scale = 1};
    uint16_t ids[K];
    float weights[K];
    for (int i = 0; i < N; i++) {
        const struct ol_weight bias = ol_weight_plain(values[i], OL_DTYPE_F32, 1, E);
        OK(test_route_now(b, &router, x.t, w, bias, none, ids, weights, &err));
        assert_memory_equal(ids, want[i], sizeof ids);
    }
    drop(b, &x);
}

/* ---- permutation ---- */

static void permute_case(struct ol_backend *b, const uint16_t *ids, int64_t n, int top_k,
                         int n_experts)
{
    const size_t pairs = (size_t)(n * top_k);
    struct ol_permutation p = {.n_experts = n_experts};
    p.offsets = ol_xcalloc((size_t)n_experts + 1, sizeof *p.offsets);
    p.rows = ol_xcalloc(pairs + 1, sizeof *p.rows);
    p.slots = ol_xcalloc(pairs + 1, sizeof *p.slots);
    OK(b->op->permute(b, ids, n, top_k, &p, &err));
    int64_t found = 0;
    for (int e = 0; e < n_experts; e++) {
        assert_int_equal(p.offsets[e], found);
        for (int64_t i = 0; i < n * top_k; i++) {
            if (ids[i] != e)
                continue;
            assert_int_equal(p.rows[found], i / top_k);
            assert_int_equal(p.slots[found], i % top_k);
            found++;
        }
    }
    assert_int_equal(p.offsets[n_experts], n * top_k);
    free(p.offsets);
    free(p.rows);
    free(p.slots);
}

static void permute(struct ol_backend *b)
{
    enum { MOST = 1100 * 8 };
    uint16_t *ids = ol_xcalloc(MOST, sizeof *ids);
    permute_case(b, ids, 1, 1, 1);
    permute_case(b, ids, 0, 2, 5);
    permute_case(b, ids, 1024, 1, 512); /* all to one expert, a whole tile */
    for (int i = 0; i < MOST; i++)
        ids[i] = 511;
    permute_case(b, ids, 1025, 1, 512);
    for (int i = 0; i < MOST; i++)
        ids[i] = (uint16_t)((unsigned)(fabsf(uniform()) * 127) & ~1u); /* half empty */
    permute_case(b, ids, 1100, 8, 128);
    for (int i = 0; i < MOST; i++)
        ids[i] = (uint16_t)(i % 7 * 150 % 1024);
    permute_case(b, ids, 33, 16, 1024);
    free(ids);
}

/* ---- delta net ---- */

static void delta_net_case(struct ol_backend *b, int n, int hk, int hv, int dk, int dv)
{
    float dt_bias[8], a_log[8];
    for (int h = 0; h < hv; h++) {
        dt_bias[h] = ol_bf16_round(uniform());
        a_log[h] = ol_bf16_round(uniform() * 2 - 2);
    }
    /* Softplus is linear there: e^100 is too large for a float. */
    dt_bias[0] = 100;
    a_log[0] = -5;
    const int keys = hk * dk;
    struct matrix mixed = random_matrix(b, n, 2 * keys + hv * dv, 2),
                  beta = random_matrix(b, n, hv, 3), decay = random_matrix(b, n, hv, 3),
                  out = random_matrix(b, n, hv * dv, 1);
    const struct ol_delta_net_args args = {
        .spec = {hk, hv, dk, dv, 4},
        .mixed = mixed.t,
        .beta = beta.t,
        .decay = decay.t,
        .dt_bias = ol_weight_plain(dt_bias, OL_DTYPE_F32, 1, hv),
        .a_log = ol_weight_plain(a_log, OL_DTYPE_F32, 1, hv),
        .out = out.t,
    };
    OK(b->op->delta_net(b, &args, &err));
    fetch(b, &out);
    double *state = ol_xcalloc((size_t)(dk * dv), sizeof *state);
    for (int h = 0; h < hv; h++) {
        const int at_k = h / (hv / hk) * dk;
        memset(state, 0, (size_t)(dk * dv) * sizeof *state);
        for (int t = 0; t < n; t++) {
            double qq = 1e-6, kk = 1e-6;
            for (int i = 0; i < dk; i++) {
                qq += pow(at(&mixed, t, at_k + i), 2);
                kk += pow(at(&mixed, t, keys + at_k + i), 2);
            }
            const double a = at(&decay, t, h) + (double)dt_bias[h];
            const double keep = exp(-exp((double)a_log[h]) * log1p(exp(a)));
            double mix = 1 / (1 + exp(-at(&beta, t, h)));
            if (b->dtype == OL_DTYPE_BF16)
                mix = (double)ol_bf16_round((float)mix);
            for (int j = 0; j < dv; j++) {
                double read = 0, want = 0;
                for (int i = 0; i < dk; i++) {
                    state[i * dv + j] *= keep;
                    read += state[i * dv + j] * at(&mixed, t, keys + at_k + i) / sqrt(kk);
                }
                const double v = at(&mixed, t, 2 * keys + h * dv + j);
                for (int i = 0; i < dk; i++) {
                    state[i * dv + j] +=
                        at(&mixed, t, keys + at_k + i) / sqrt(kk) * mix * (v - read);
                    want += state[i * dv + j] * at(&mixed, t, at_k + i) / sqrt(qq * dk);
                }
                near("delta_net", &out, t, h * dv + j, want,
                     b->dtype == OL_DTYPE_BF16 ? 2 * 0x1p-8 : 80 * 0x1p-24);
            }
        }
    }
    free(state);
    drop(b, &mixed);
    drop(b, &beta);
    drop(b, &decay);
    drop(b, &out);
}

static void delta_net(struct ol_backend *b)
{
    delta_net_case(b, 33, 1, 2, 128, 128);
    delta_net_case(b, 17, 2, 2, 65, 33);
    delta_net_case(b, 1, 1, 1, 1, 1);
    delta_net_case(b, 20, 1, 3, 256, 40);
}

/* ---- limits: refused in a sentence that names what was found ---- */

static void limits(struct ol_backend *b)
{
    struct matrix x = random_matrix(b, 2, 8, 1);
    const struct ol_weight none = {0};
    static const struct {
        int n_experts, top_k, n_group;
        const char *text;
    } routers[] = {
        {513, 1, 1, "cuda: route: 513 experts, expected at most 512"},
        {512, 33, 1, "cuda: route: 33 experts per token, expected at most 32"},
        {512, 1, 512, "cuda: route: 512 groups of experts, expected at most 256"},
    };
    for (int i = 0; i < 3; i++) {
        const struct ol_router_spec r = {.n_experts = routers[i].n_experts,
                                         .top_k = routers[i].top_k,
                                         .n_group = routers[i].n_group,
                                         .scale = 1};
        struct ol_error err = {0};
        assert_int_equal(test_route_now(b, &r, x.t, none, none, none, NULL, NULL, &err),
                         -1);
        assert_string_equal(err.text, routers[i].text);
    }
    static const struct {
        struct ol_attention_args args;
        const char *text;
    } attentions[] = {
        {{1, 1, 513, 8, 1, OL_ATTENTION_FULL, 0, {0}, {0}, {0}, {0}, {0}},
         "cuda: attention: heads of 513 and 8 values, expected at most 512"},
        {{1, 1, 8, 8, 1, OL_ATTENTION_SLIDING, 0, {0}, {0}, {0}, {0}, {0}},
         "cuda: attention: window is 0, expected at least 1"},
        {{1, 1, 8, 8, 0, OL_ATTENTION_FULL, 0, {0}, {0}, {0}, {0}, {0}},
         "cuda: attention: scale is 0, expected more than 0"},
    };
    for (int i = 0; i < 3; i++) {
        struct ol_error err = {0};
        assert_int_equal(
            b->op->attention(b, &attentions[i].args, x.t, x.t, x.t, x.t, &err), -1);
        assert_string_equal(err.text, attentions[i].text);
    }
    const uint16_t ids[] = {0, 3};
    int64_t offsets[1026];
    int32_t rows[2], slots[2];
    struct ol_permutation p = {3, offsets, rows, slots};
    struct ol_error wrong = {0}, many = {0}, wide = {0};
    assert_int_equal(b->op->permute(b, ids, 2, 1, &p, &wrong), -1);
    assert_string_equal(wrong.text, "cuda: permute: expert 3 of 3");
    p.n_experts = 1025;
    assert_int_equal(b->op->permute(b, ids, 2, 1, &p, &many), -1);
    assert_string_equal(many.text, "cuda: permute: 1025 experts, expected at most 1024");
    const struct ol_delta_net_args delta = {.spec = {1, 1, 257, 8, 4}};
    assert_int_equal(b->op->delta_net(b, &delta, &wide), -1);
    assert_string_equal(wide.text,
                        "cuda: delta_net: keys of 257 values, expected at most 256");
    const struct ol_mamba_args mamba = {.spec = {1, 1, 8, 257, 4, 0, 1}};
    struct ol_error deep = {0};
    assert_int_equal(b->op->mamba(b, &mamba, &deep), -1);
    assert_string_equal(deep.text,
                        "cuda: mamba: states of 257 values, expected at most 256");
    drop(b, &x);
}

/* In both precisions, whenever the device does its work. */
static void all_ways(void (*test)(struct ol_backend *b))
{
    for (int i = 0; i < 2 * TEST_WAYS; i++) {
        struct ol_backend *b =
            test_backend_open(TEST_CUDA, i % 2 ? OL_DTYPE_F32 : OL_DTYPE_BF16, i / 2);
        seed = 7;
        test(b);
        test_backend_close(b);
    }
}

#define TEST(name)                                                                       \
    static void test_##name(void **state)                                                \
    {                                                                                    \
        (void)state;                                                                     \
        all_ways(name);                                                                  \
    }
TEST(attention)
TEST(attention_in_little)
TEST(route)
TEST(route_strange)
TEST(permute)
TEST(delta_net)
TEST(limits)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention), cmocka_unit_test(test_attention_in_little),
        cmocka_unit_test(test_route),     cmocka_unit_test(test_route_strange),
        cmocka_unit_test(test_permute),   cmocka_unit_test(test_delta_net),
        cmocka_unit_test(test_limits),
    };
    /* A tool that slows a device down tries one of them. */
    const char *only = getenv("OL_TEST_FILTER");
    if (only != NULL && only[0] != '\0')
        cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
