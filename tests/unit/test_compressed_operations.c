/* The operations of DeepSeek-V4 against loops in double precision, at odd sizes, in both
 * precisions: a residual stream of several streams, compressed keys, attention to them,
 * products by groups, experts that are given. */
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
#include "extract/cpu/cpu.h"
#include "tests/unit/known.h"

/* Floats of the host, as a weight. */
static struct ol_weight weight(float *values, int64_t n_rows, int64_t n_cols, float scale)
{
    for (int64_t i = 0; i < n_rows * n_cols; i++)
        values[i] = scale * uniform();
    return ol_weight_plain(values, OL_DTYPE_F32, n_rows, n_cols);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* ---- several streams ---- */

struct streams {
    int n_rows, n, d, n_iterations;
};

enum { MOST = OL_MAX_STREAMS, MOST_OUT = MOST * (2 + MOST), MOST_WIDTH = MOST * 300 };

/* One row's weights: pre [n], post [n], exchange [n, n]. */
struct row_weights {
    double pre[MOST], post[MOST], exchange[MOST][MOST];
};

static void divide(double m[MOST][MOST], int n, bool rows, double eps)
{
    for (int i = 0; i < n; i++) {
        double sum = eps;
        for (int k = 0; k < n; k++)
            sum += rows ? m[i][k] : m[k][i];
        for (int k = 0; k < n; k++)
            *(rows ? &m[i][k] : &m[k][i]) /= sum;
    }
}

static struct row_weights weights_of(const struct streams *s, struct known x, int row,
                                     const struct ol_connection *c)
{
    const float *fn = c->fn.data, *base = c->base.data, *scale = c->scale.data;
    const int width = s->n * s->d, n = s->n;
    double f[MOST_OUT] = {0}, squares = 0;
    for (int i = 0; i < width; i++) {
        squares += at(x, row, i) * at(x, row, i);
        for (int o = 0; o < c->fn.n_rows; o++)
            f[o] += (double)fn[o * width + i] * at(x, row, i);
    }
    const double r = 1 / sqrt(squares / width + c->norm_eps);
    struct row_weights w = {{0}, {0}, {{0}}};
    for (int i = 0; i < n; i++)
        w.pre[i] = sigmoid(f[i] * r * (double)scale[0] + (double)base[i]) + c->eps;
    if (c->fn.n_rows == n)
        return w;
    for (int i = 0; i < n; i++) {
        double total = 0;
        w.post[i] = 2 * sigmoid(f[n + i] * r * (double)scale[1] + (double)base[n + i]);
        for (int k = 0; k < n; k++) {
            const int o = 2 * n + i * n + k;
            total += w.exchange[i][k] =
                exp(f[o] * r * (double)scale[2] + (double)base[o]);
        }
        for (int k = 0; k < n; k++)
            w.exchange[i][k] = w.exchange[i][k] / total + c->eps;
    }
    divide(w.exchange, n, false, c->eps);
    for (int i = 1; i < c->n_iterations; i++) {
        divide(w.exchange, n, true, c->eps);
        divide(w.exchange, n, false, c->eps);
    }
    return w;
}

static void check_collapse(const struct streams *s, struct known x, struct known out,
                           const float *mixing, const struct ol_connection *c)
{
    const int n = s->n, n_mixing = n + n * n;
    for (int row = 0; row < s->n_rows; row++) {
        const struct row_weights w = weights_of(s, x, row, c);
        for (int k = 0; k < s->d; k++) {
            double sum = 0;
            for (int i = 0; i < n; i++)
                sum += w.pre[i] * at(x, row, i * s->d + k);
            near("collapse", out, row, k, sum, 3 * n,
                 out.t.dtype == OL_DTYPE_F32 ? 9 : 1);
        }
        for (int i = 0; mixing != NULL && i < n; i++) {
            const float *own = mixing + row * n_mixing;
            assert_true(fabs((double)own[i] - w.post[i]) < 4e-6);
            for (int k = 0; k < n; k++)
                assert_true(fabs((double)own[n + i * n + k] - w.exchange[i][k]) < 4e-6);
        }
    }
}

static void check_expand(struct ol_backend *b, const struct streams *s, struct known x,
                         const float *mixing, struct ol_tensor mixing_there,
                         bool float_sum)
{
    struct ol_error err = {0};
    const int n = s->n, d = s->d, n_mixing = n + n * n;
    struct known y = tensor(b, s->n_rows, d, 4), mean = tensor(b, s->n_rows, d, 1);
    struct ol_tensor sum;
    OK(b->op->tensor_new(b, OL_DTYPE_F32, s->n_rows, d, &sum, &err));
    test_upload(b, sum, y.values);
    double *before = ol_xcalloc((size_t)(s->n_rows * n * d), sizeof *before);
    for (int i = 0; i < s->n_rows * n * d; i++)
        before[i] = (double)x.values[i];
    OK(b->op->expand(b, x.t, float_sum ? sum : y.t, mixing_there, mean.t, &err));
    look(b, &x), look(b, &mean);
    for (int i = 0; i < s->n_rows * d; i++) {
        double want = 0;
        for (int j = 0; j < n; j++)
            want += at(x, i / d, j * d + i % d) / n;
        near("mean", mean, i / d, i % d, want, 24, 2);
    }
    for (int row = 0; row < s->n_rows; row++)
        for (int j = 0; j < n; j++)
            for (int k = 0; k < d; k++) {
                const float *own = mixing + row * n_mixing;
                double want = (double)own[j] * at(y, row, k);
                for (int i = 0; i < n; i++)
                    want += (double)own[n + i * n + j] * before[(row * n + i) * d + k];
                near("expand", x, row, j * d + k, want, 12, 2);
            }
    b->op->tensor_free(b, &sum);
    free(before);
    free_tensor(b, &y), free_tensor(b, &mean);
}

static void streams(struct ol_backend *b)
{
    static const struct streams cases[] = {
        {1, 1, 1, 1}, {37, 4, 131, 20}, {9, 3, 300, 2}, {5, 8, 17, 5}};
    static float fn[MOST_OUT * MOST_WIDTH];
    float base[MOST_OUT], scale[3];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ol_error err = {0};
        const struct streams *s = &cases[i];
        const int n = s->n, n_out = n * (2 + n);
        for (int head = 0; head < 2; head++) {
            const struct ol_connection c = {
                .n_streams = n,
                .n_iterations = s->n_iterations,
                .norm_eps = 1e-6,
                .eps = 1e-3,
                .fn = weight(fn, head ? n : n_out, n * s->d, 0.1f),
                .base = weight(base, 1, head ? n : n_out, 1),
                .scale = weight(scale, 1, head ? 1 : 3, 2)};
            struct known x = tensor(b, s->n_rows, n * s->d, 3),
                         out = tensor(b, s->n_rows, s->d, 1);
            struct ol_tensor mixing;
            const struct ol_tensor none = {0};
            OK(b->op->tensor_new(b, OL_DTYPE_F32, s->n_rows, n + n * n, &mixing, &err));
            OK(b->op->collapse(b, &c, x.t, out.t, head ? none : mixing, &err));
            look(b, &out);
            float *found = test_download(b, mixing);
            check_collapse(s, x, out, head ? NULL : found, &c);
            if (!head) {
                check_expand(b, s, x, found, mixing, false);
                check_expand(b, s, x, found, mixing, true);
            }
            free(found);
            b->op->tensor_free(b, &mixing);
            free_tensor(b, &x), free_tensor(b, &out);
        }
    }
}

/* ---- compressed keys ---- */

/* Entry e of what rows stand for, as the rule is written: over windows laid side by side.
 */
static double entry(struct known gates, struct known values, const float *bias, int rate,
                    bool overlaps, int e, int d, int channel)
{
    const int width = overlaps ? 2 * d : d;
    double total = 0, sum = 0, top = -INFINITY;
    for (int walk = 0; walk < 2; walk++)
        for (int slot = 0; slot < rate; slot++)
            for (int part = 0; part < (overlaps ? 2 : 1); part++) {
                /* The first part is the window before's. */
                const int window = overlaps && part == 0 ? e - 1 : e;
                const int column = part * d + channel;
                if (window < 0)
                    continue;
                const int row = window * rate + slot;
                const double gate =
                    at(gates, row, column) + (double)bias[slot * width + column];
                top = walk == 0 ? fmax(top, gate) : top;
                total += walk == 0 ? 0 : exp(gate - top);
                sum += walk == 0 ? 0 : exp(gate - top) * at(values, row, column);
            }
    return sum / total;
}

static void compress(struct ol_backend *b)
{
    static const struct {
        int n, rate, d;
        bool overlaps;
    } cases[] = {{1, 1, 1, false},   {100, 4, 131, true},  {3, 4, 8, true},
                 {77, 7, 33, false}, {130, 128, 5, false}, {9, 2, 300, true}};
    static float bias[128 * 600];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ol_error err = {0};
        const int n = cases[i].n, rate = cases[i].rate, d = cases[i].d,
                  width = cases[i].overlaps ? 2 * d : d, n_entries = n / rate;
        struct known values = tensor(b, n, width, 3), gates = tensor(b, n, width, 4),
                     out = tensor(b, n_entries > 0 ? n_entries : 1, d, 1);
        struct ol_tensor entries = out.t;
        entries.n_rows = n_entries;
        const struct ol_compress_args args = {.rate = rate,
                                              .overlaps = cases[i].overlaps,
                                              .bias = weight(bias, rate, width, 2),
                                              .values = values.t,
                                              .gates = gates.t,
                                              .out = entries};
        OK(b->op->compress(b, &args, &err));
        look(b, &out);
        for (int e = 0; e < n_entries; e++)
            for (int c = 0; c < d; c++)
                near("compress", out, e, c,
                     entry(gates, values, bias, rate, cases[i].overlaps, e, d, c), 3,
                     b->dtype == OL_DTYPE_BF16 ? 3 : 12);
        free_tensor(b, &values), free_tensor(b, &gates), free_tensor(b, &out);
    }
}

struct attention {
    int n, heads, d, window, rate;
    int chosen; /* one in so many entries is; 0: all that are whole */
};

/* Bits that say nothing of a pattern; of those that a query does not see too. */
static bool is_chosen(const struct attention *a, int query, int e)
{
    return a->chosen == 0 || (query * 31 + e * 17) % a->chosen == 0;
}

/* Of a head, once with what is asked of its softmax: what keys of the window receive. */
struct looked {
    const float *received, *to_sink; /* [n, heads] */
};

static void check_attention(const struct attention *a, struct known q, struct known keys,
                            struct known entries, const float *sinks, struct known out,
                            struct looked found)
{
    const double scale = 0.7;
    double *sum = ol_xcalloc((size_t)a->d, sizeof *sum),
           *part = ol_xcalloc((size_t)a->window, sizeof *part),
           *received = ol_xcalloc((size_t)(a->n * a->heads), sizeof *received);
    for (int t = 0; t < a->n; t++)
        for (int h = 0; h < a->heads; h++) {
            const int whole = a->rate > 0 ? (t + 1) / a->rate : 0;
            double total = exp((double)sinks[h]);
            memset(sum, 0, (size_t)a->d * sizeof *sum);
            for (int i = -a->window + 1; i <= whole; i++) {
                /* Keys up to the query's, then entries. */
                const bool key = i <= 0;
                const int row = key ? t + i : i - 1;
                if (row < 0 || (!key && !is_chosen(a, t, row)))
                    continue;
                const struct known from = key ? keys : entries;
                double score = 0;
                for (int c = 0; c < a->d; c++)
                    score += at(q, t, h * a->d + c) * at(from, row, c);
                const double p = exp(scale * score);
                total += p;
                if (key)
                    part[-i] = p;
                for (int c = 0; c < a->d; c++)
                    sum[c] += p * at(from, row, c);
            }
            for (int i = 0; i < a->window && i <= t; i++)
                received[(t - i) * a->heads + h] += part[i] / total;
            for (int c = 0; c < a->d; c++)
                near("compressed_attention", out, t, h * a->d + c, sum[c] / total, 1,
                     out.t.dtype == OL_DTYPE_BF16 ? 2 : 90);
            assert_true(fabs((double)found.to_sink[t * a->heads + h] -
                             exp((double)sinks[h]) / total) < 1e-5);
        }
    for (int key = 0; key < a->n; key++)
        for (int h = 0; h < a->heads; h++) {
            const int left = a->n - key, n_seeing = left < a->window ? left : a->window;
            const double want = received[key * a->heads + h] / n_seeing;
            if (!(fabs((double)found.received[key * a->heads + h] - want) < 2e-5))
                fail_msg("key %d of %d, head %d: receives %.9g, expected %.9g", key, a->n,
                         h, (double)found.received[key * a->heads + h], want);
        }
    free(sum), free(part), free(received);
}

static void compressed_attention(struct ol_backend *b)
{
    static const struct attention cases[] = {
        {1, 1, 1, 1, 0, 0},     {150, 4, 18, 7, 4, 0},  {150, 5, 20, 300, 7, 3},
        {90, 37, 64, 33, 2, 5}, {40, 2, 250, 20, 4, 2}, {70, 3, 512, 16, 8, 0},
        {30, 3, 16, 5, 64, 0},  {150, 3, 12, 9, 1, 64},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ol_error err = {0};
        const struct attention *a = &cases[i];
        const int n = a->n, n_entries = a->rate > 0 ? n / a->rate : 0,
                  words = (n_entries + 31) / 32 + 1;
        float sinks[64];
        const float size = 1.5f / sqrtf((float)a->d);
        struct known q = tensor(b, n, a->heads * a->d, size),
                     keys = tensor(b, n, a->d, 1),
                     entries = tensor(b, n_entries + 1, a->d, 1),
                     out = tensor(b, n, a->heads * a->d, 1);
        struct ol_tensor chosen = {0}, to_sink, received;
        OK(b->op->tensor_new(b, OL_DTYPE_F32, n, a->heads, &to_sink, &err));
        OK(b->op->tensor_new(b, OL_DTYPE_F32, n, a->heads, &received, &err));
        OK(b->op->tensor_new(b, OL_DTYPE_I32, n, words, &chosen, &err));
        uint32_t *bits = ol_xcalloc((size_t)(n * words), sizeof *bits);
        for (int t = 0; t < n; t++)
            for (int e = 0; e < n_entries; e++)
                if (is_chosen(a, t, e))
                    bits[t * words + e / 32] |= 1u << (e % 32);
        OK(b->op->upload(b, chosen, bits, &err));
        free(bits);
        struct ol_compressed_attention_args args = {
            .n_heads = a->heads,
            .head_dim = a->d,
            .scale = 0.7,
            .window = a->window,
            .rate = a->rate,
            .sinks = weight(sinks, 1, a->heads, 2),
            .q = q.t,
            .keys = keys.t,
            .entries = ol_tensor_rows(entries.t, 0, n_entries),
            .out = out.t,
            .received = received,
            .to_sink = to_sink};
        if (a->chosen > 0)
            args.chosen = chosen;
        OK(b->op->compressed_attention(b, &args, &err));
        look(b, &out);
        float *shares = test_download(b, received), *rest = test_download(b, to_sink);
        check_attention(a, q, keys, entries, sinks, out, (struct looked){shares, rest});
        free(shares), free(rest);
        b->op->tensor_free(b, &chosen);
        b->op->tensor_free(b, &to_sink);
        b->op->tensor_free(b, &received);
        free_tensor(b, &q), free_tensor(b, &keys);
        free_tensor(b, &entries), free_tensor(b, &out);
    }
}

/* What does not fit into the memory of a device's block is refused. */
static void limits(struct ol_backend *b)
{
    struct ol_error err = {0};
    struct ol_compressed_attention_args args = {
        .n_heads = 1, .head_dim = 513, .scale = 1, .window = 1};
    const bool cuda = strcmp(b->op->name, "cpu") != 0;
    struct known q = tensor(b, 1, 513, 1), out = tensor(b, 1, 513, 1);
    float sink = 0;
    args.sinks = ol_weight_plain(&sink, OL_DTYPE_F32, 1, 1);
    args.q = args.keys = args.entries = q.t;
    args.out = out.t;
    const int status = b->op->compressed_attention(b, &args, &err);
    assert_int_equal(status, cuda ? -1 : 0);
    if (cuda)
        assert_string_equal(err.text, "cuda: compressed_attention: heads of 513 values, "
                                      "expected at most 512");
    free_tensor(b, &q), free_tensor(b, &out);
}

/* An indexer of entries: as many as a query may see, and the best of them. */
static void indexed_entries(struct ol_backend *b)
{
    static const struct {
        int n, heads, dim, top_k, rate;
    } cases[] = {{70, 5, 11, 3, 4}, {333, 3, 16, 20, 4}, {40, 2, 6, 9, 7}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ol_error err = {0};
        const int n = cases[i].n, heads = cases[i].heads, d = cases[i].dim,
                  rate = cases[i].rate, m = n / rate, words = (m + 31) / 32 + 1;
        struct known q = tensor(b, n, heads * d, 1), k = tensor(b, m, d, 1),
                     w = tensor(b, n, heads, 1);
        struct ol_tensor scores, chosen;
        OK(b->op->tensor_new(b, OL_DTYPE_F32, OL_INDEX_ROWS, m, &scores, &err));
        OK(b->op->tensor_new(b, OL_DTYPE_I32, n, words, &chosen, &err));
        const struct ol_index_args args = {heads, d,   cases[i].top_k, rate,  q.t,
                                           k.t,   w.t, scores,         chosen};
        OK(b->op->index(b, &args, &err));
        uint32_t *bits = test_download(b, chosen);
        for (int t = 0; t < n; t++) {
            const int whole = (t + 1) / rate;
            int n_chosen = 0;
            double least = INFINITY, most_left = -INFINITY;
            for (int s = 0; s < words * 32; s++) {
                const bool set = (bits[t * words + s / 32] >> (s % 32) & 1) != 0;
                assert_true(!set || s < whole);
                n_chosen += set;
                double score = 0;
                for (int h = 0; h < heads && s < whole; h++) {
                    double product = 0;
                    for (int c = 0; c < d; c++)
                        product += at(q, t, h * d + c) * at(k, s, c);
                    score += at(w, t, h) / sqrt(heads) * fmax(product, 0) / sqrt(d);
                }
                least = set ? fmin(least, score) : least;
                most_left = !set && s < whole ? fmax(most_left, score) : most_left;
            }
            assert_int_equal(n_chosen, whole < cases[i].top_k ? whole : cases[i].top_k);
            assert_true(most_left <= least + 1e-5);
        }
        free(bits);
        b->op->tensor_free(b, &scores);
        b->op->tensor_free(b, &chosen);
        free_tensor(b, &q), free_tensor(b, &k), free_tensor(b, &w);
    }
}

/* ---- experts ---- */

/* Of experts that are given the weights alone are found; slots fall. */
static void given_experts(struct ol_backend *b)
{
    enum { N = 67, D = 29, E = 45, K = 6 };
    struct ol_error err = {0};
    float rows[E * D];
    const struct ol_weight none = {0};
    struct ol_weight w = weight(rows, E, D, 1);
    for (int i = 0; i < E * D; i++)
        rows[i] = ol_bf16_round(rows[i]);
    const struct ol_router_spec router = {.score = OL_ROUTER_SQRT_SOFTPLUS,
                                          .n_experts = E,
                                          .top_k = K,
                                          .float_logits = true,
                                          .renormalize = true,
                                          .n_group = 1,
                                          .topk_group = 1,
                                          .scale = 1.5,
                                          .given = true};
    struct known x = tensor(b, N, D, 9);
    uint16_t ids[N][K], given[N][K];
    float weights[N][K];
    for (int i = 0; i < N; i++)
        for (int k = 0; k < K; k++)
            given[i][k] = ids[i][k] = (uint16_t)((i * 7 + k * 11) % E);
    OK(test_route_now(b, &router, x.t, w, none, none, ids[0], weights[0], &err));
    for (int i = 0; i < N; i++) {
        double scores[K], total = 0, before = INFINITY;
        for (int k = 0; k < K; k++) {
            double logit = 0;
            for (int c = 0; c < D; c++)
                logit += (double)rows[ids[i][k] * D + c] * at(x, i, c);
            scores[k] = sqrt(fmax(logit, 0) + log1p(exp(-fabs(logit))));
            total += scores[k];
            assert_true(scores[k] <= before * (1 + 1e-5));
            before = scores[k];
            bool is_given = false;
            for (int j = 0; j < K; j++)
                is_given = is_given || given[i][j] == ids[i][k];
            assert_true(is_given);
            for (int j = 0; j < k; j++)
                assert_int_not_equal(ids[i][j], ids[i][k]);
        }
        for (int k = 0; k < K; k++)
            assert_true(fabs((double)weights[i][k] - 1.5 * scores[k] / total) <
                        2e-6 * 1.5);
    }
    free_tensor(b, &x);
}

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* A limit of silu's. */
static void limited_glu(struct ol_backend *b)
{
    enum { N = 29, D = 35 };
    struct ol_error err = {0};
    const struct ol_glu_spec glu = {.function = OL_GLU_SILU, .limit = 1.5};
    struct known gate = tensor(b, N, D, 4), up = tensor(b, N, D, 4);
    double want[N][D], size[N][D];
    for (int i = 0; i < N; i++)
        for (int c = 0; c < D; c++) {
            const double g = clamp(at(gate, i, c), -INFINITY, 1.5),
                         u = clamp(at(up, i, c), -1.5, 1.5);
            want[i][c] = u * g / (1 + exp(-g));
            size[i][c] = fabs(u) * fabs(g);
        }
    OK(b->op->glu(b, &glu, gate.t, up.t, &err));
    look(b, &gate);
    for (int i = 0; i < N; i++)
        for (int c = 0; c < D; c++)
            near("glu", gate, i, c, want[i][c], size[i][c], 4);
    free_tensor(b, &gate), free_tensor(b, &up);
}

/* Parts of a weight's rows that multiply columns of their own; more than a tile of it. */
static void grouped_product(struct ol_backend *b)
{
    static const struct {
        int n, groups, rows, k;
    } cases[] = {{37, 3, 29, 45}, {5, 2, 450, 33}, {3, 6, 400, 700}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ol_error err = {0};
        const int n = cases[i].n, groups = cases[i].groups, rows = cases[i].rows,
                  k = cases[i].k;
        float *values = ol_xcalloc((size_t)(groups * rows * k), sizeof *values);
        const struct ol_weight w = weight(values, groups * rows, k, 1), none = {0};
        for (int j = 0; j < groups * rows * k; j++)
            values[j] = ol_bf16_round(values[j]);
        struct known x = tensor(b, n, groups * k, 1),
                     out = tensor(b, n, groups * rows, 1);
        const struct ol_matmul product = {x.t, w, none, .out = out.t};
        OK(b->op->matmul(b, &product, 1, &err));
        look(b, &out);
        for (int row = 0; row < n; row++)
            for (int o = 0; o < groups * rows; o++) {
                double want = 0;
                for (int c = 0; c < k; c++)
                    want += (double)values[o * k + c] * at(x, row, o / rows * k + c);
                near("matmul", out, row, o, want, k, 1);
            }
        free(values);
        free_tensor(b, &x), free_tensor(b, &out);
    }
}

/* A norm's weight that bfloat16 does not have stays what it is. */
static void stored_norm(struct ol_backend *b)
{
    enum { N = 5, D = 131 };
    struct ol_error err = {0};
    float values[D];
    const struct ol_weight w = weight(values, 1, D, 1);
    struct known x = tensor(b, N, D, 3), out = tensor(b, N, D, 1);
    OK(b->op->norm(b, OL_NORM_RMS_STORED, 1e-3, x.t, w, out.t, &err));
    look(b, &out);
    for (int i = 0; i < N; i++) {
        double squares = 0;
        for (int c = 0; c < D; c++)
            squares += at(x, i, c) * at(x, i, c) / D;
        for (int c = 0; c < D; c++) {
            const double want = at(x, i, c) / sqrt(squares + 1e-3) * (double)values[c];
            /* One rounding, whose error is at most half a unit in the last of 8 places.
             */
            near("norm", out, i, c, want, fabs(want),
                 b->dtype == OL_DTYPE_BF16 ? 1.001 : 4);
        }
    }
    free_tensor(b, &x), free_tensor(b, &out);
}

/* A plan asks for what a thread takes where a query sees many keys. */
static void planned_scratch(void **state)
{
    (void)state;
    enum { N = 700, HEADS = 5, D = 20, WINDOW = 400, RATE = 2, SEEN = WINDOW + N / RATE };
    struct ol_error err = {0};
    struct ol_backend *b = ol_cpu_open(OL_DTYPE_BF16, 1, &err);
    assert_non_null(b);
    float sinks[HEADS];
    struct known q = tensor(b, N, HEADS * D, 1), keys = tensor(b, N, D, 1),
                 entries = tensor(b, N / RATE, D, 1), out = tensor(b, N, HEADS * D, 1);
    const struct ol_compressed_attention_args args = {.n_heads = HEADS,
                                                      .head_dim = D,
                                                      .scale = 1,
                                                      .window = WINDOW,
                                                      .rate = RATE,
                                                      .sinks = weight(sinks, 1, HEADS, 1),
                                                      .q = q.t,
                                                      .keys = keys.t,
                                                      .entries = entries.t,
                                                      .out = out.t};
    OK(b->op->compressed_attention(b, &args, &err));
    const int64_t taken = (int64_t)(ol_cpu_of(b)->scratch[0].n * sizeof(float)),
                  asked = ol_cpu_compressed_attention_scratch(HEADS, D, SEEN);
    assert_in_range(taken, asked, asked + 4096);
    /* Of a million tokens it is more than products take. */
    const struct ol_product_sizes few = {.deepest = 64}, many = {.deepest = 64,
                                                                 .compressed_heads = 64,
                                                                 .compressed_dim = 512,
                                                                 .compressed_keys = 8192};
    const int64_t products = ol_cpu_matmul_scratch(OL_DTYPE_BF16, 64),
                  seen = ol_cpu_compressed_attention_scratch(64, 512, 8192);
    assert_true(seen > products);
    assert_int_equal(b->op->scratch_bytes(b, many).tensors -
                         b->op->scratch_bytes(b, few).tensors,
                     seen - products);
    free_tensor(b, &q), free_tensor(b, &keys);
    free_tensor(b, &entries), free_tensor(b, &out);
    b->op->close(b);
}

TEST(streams)
TEST(compress)
TEST(compressed_attention)
TEST(limits)
TEST(indexed_entries)
TEST(given_experts)
TEST(limited_glu)
TEST(grouped_product)
TEST(stored_norm)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_streams),
        cmocka_unit_test(cuda_streams),
        cmocka_unit_test(cpu_compress),
        cmocka_unit_test(cuda_compress),
        cmocka_unit_test(cpu_compressed_attention),
        cmocka_unit_test(cuda_compressed_attention),
        cmocka_unit_test(planned_scratch),
        cmocka_unit_test(cpu_limits),
        cmocka_unit_test(cuda_limits),
        cmocka_unit_test(cpu_indexed_entries),
        cmocka_unit_test(cuda_indexed_entries),
        cmocka_unit_test(cpu_given_experts),
        cmocka_unit_test(cuda_given_experts),
        cmocka_unit_test(cpu_limited_glu),
        cmocka_unit_test(cuda_limited_glu),
        cmocka_unit_test(cpu_grouped_product),
        cmocka_unit_test(cuda_grouped_product),
        cmocka_unit_test(cpu_stored_norm),
        cmocka_unit_test(cuda_stored_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
