/* The operations of delta nets, Mamba-2, latent attention, indexers and experts against
 * loops in double precision, at odd sizes, in both precisions. */
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
#include "extract/model/rope_table.h"
#include "tests/unit/known.h"

static void layer_norm(struct ol_backend *b)
{
    enum { N = 37, D = 131 };
    struct ol_error err = {0};
    float weight[D], bias[D];
    for (int c = 0; c < D; c++) {
        weight[c] = ol_bf16_round(1 + uniform());
        bias[c] = ol_bf16_round(uniform());
    }
    struct known x = tensor(b, N, D, 3), out = tensor(b, N, D, 1);
    OK(b->op->layer_norm(b, 1e-3, x.t, ol_weight_plain(weight, OL_DTYPE_F32, 1, D),
                         ol_weight_plain(bias, OL_DTYPE_F32, 1, D), out.t, &err));
    look(b, &out);
    for (int i = 0; i < N; i++) {
        double mean = 0, variance = 0;
        for (int c = 0; c < D; c++)
            mean += at(x, i, c) / D;
        for (int c = 0; c < D; c++)
            variance += (at(x, i, c) - mean) * (at(x, i, c) - mean) / D;
        for (int c = 0; c < D; c++)
            near("layer_norm", out, i, c,
                 (at(x, i, c) - mean) / sqrt(variance + 1e-3) * (double)weight[c] +
                     (double)bias[c],
                 8, 1);
    }
    free_tensor(b, &x), free_tensor(b, &out);
}

struct indexer {
    int n, heads, dim, top_k;
};

/* Which keys an indexer chose, [n, n]. Checked: as many as it is to, and of those that
 * are in doubt only such as lie within the rounding of the last one's score; of equal
 * scores the first. */
static bool *choose(struct ol_backend *b, struct indexer x, struct ol_tensor *chosen)
{
    struct ol_error err = {0};
    const int64_t words = (x.n + 31) / 32 + 1; /* more than are needed */
    struct known q = tensor(b, x.n, x.heads * x.dim, 1), k = tensor(b, x.n, x.dim, 1),
                 w = tensor(b, x.n, x.heads, 1);
    /* Many scores are zero, and equal. */
    for (int i = 0; i < x.n * x.heads; i++)
        w.values[i] = i / x.heads % 3 == 0 ? 0 : w.values[i];
    test_upload(b, w.t, w.values);
    struct ol_tensor scores;
    OK(b->op->tensor_new(b, OL_DTYPE_F32, OL_INDEX_ROWS, x.n + 5, &scores, &err));
    OK(b->op->tensor_new(b, OL_DTYPE_I32, x.n, words, chosen, &err));
    const struct ol_index_args args = {x.heads, x.dim, x.top_k, 1,      q.t,
                                       k.t,     w.t,   scores,  *chosen};
    OK(b->op->index(b, &args, &err));
    uint32_t *bits = test_download(b, *chosen);
    bool *is = ol_xcalloc((size_t)(x.n * x.n), sizeof *is);
    double *score = ol_xcalloc((size_t)x.n, sizeof *score);
    for (int t = 0; t < x.n; t++) {
        int n_chosen = 0;
        double least = INFINITY;
        for (int s = 0; s < words * 32; s++) {
            const bool set = (bits[t * words + s / 32] >> (s % 32) & 1) != 0;
            assert_true(!set || s <= t);
            n_chosen += set;
            if (s > t)
                continue;
            is[t * x.n + s] = set;
            score[s] = 0;
            for (int h = 0; h < x.heads; h++) {
                double product = 0;
                for (int c = 0; c < x.dim; c++)
                    product += at(q, t, h * x.dim + c) * at(k, s, c);
                score[s] += at(w, t, h) / sqrt(x.heads) * fmax(product, 0) / sqrt(x.dim);
            }
            if (set && score[s] < least)
                least = score[s];
        }
        assert_int_equal(n_chosen, t + 1 < x.top_k ? t + 1 : x.top_k);
        bool left_out = false; /* a key whose score is exactly zero */
        for (int s = 0; s <= t; s++) {
            const bool set = is[t * x.n + s];
            assert_true(set || score[s] <= least + 1e-5);
            assert_true(!(set && score[s] == 0 && left_out));
            left_out = left_out || (!set && score[s] == 0);
        }
    }
    b->op->tensor_free(b, &scores);
    free(score), free(bits);
    free_tensor(b, &q), free_tensor(b, &k), free_tensor(b, &w);
    return is;
}

/* An indexer, and attention to the keys that it chose. */
static void chosen_keys(struct ol_backend *b)
{
    enum { HEADS = 3, D = 18, V = 10 };
    static const struct indexer cases[] = {
        {1, 1, 1, 1}, {70, 5, 11, 8}, {333, 3, 16, 1}, {530, 9, 10, 130}, {40, 2, 6, 99},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ol_error err = {0};
        const int n = cases[i].n;
        struct ol_tensor chosen, received, to_sink;
        bool *is = choose(b, cases[i], &chosen);
        OK(b->op->tensor_new(b, OL_DTYPE_F32, n, HEADS, &received, &err));
        OK(b->op->tensor_new(b, OL_DTYPE_F32, n, HEADS, &to_sink, &err));
        struct known q = tensor(b, n, HEADS * D, 1), k = tensor(b, n, HEADS * D, 1),
                     v = tensor(b, n, HEADS * V, 1), out = tensor(b, n, HEADS * V, 1);
        const struct ol_attention_args args = {.n_heads = HEADS,
                                               .n_kv_heads = HEADS,
                                               .head_dim = D,
                                               .value_dim = V,
                                               .scale = 0.8,
                                               .kind = OL_ATTENTION_FULL,
                                               .chosen = chosen,
                                               .received = received,
                                               .to_sink = to_sink};
        OK(b->op->attention(b, &args, q.t, k.t, v.t, out.t, &err));
        look(b, &out);
        double *shares = ol_xcalloc((size_t)(n * HEADS), sizeof *shares);
        for (int t = 0; t < n; t++)
            for (int h = 0; h < HEADS; h++) {
                double total = 0, sum[V] = {0}, *p = ol_xcalloc((size_t)n, sizeof *p);
                for (int s = 0; s <= t; s++) {
                    double score = 0;
                    for (int c = 0; c < D && is[t * n + s]; c++)
                        score += at(q, t, h * D + c) * at(k, s, h * D + c);
                    p[s] = is[t * n + s] ? exp(0.8 * score) : 0;
                    total += p[s];
                    for (int c = 0; c < V; c++)
                        sum[c] += p[s] * at(v, s, h * V + c);
                }
                for (int c = 0; c < V; c++)
                    near("chosen keys", out, t, h * V + c, sum[c] / total, 1,
                         b->dtype == OL_DTYPE_BF16 ? 2 : 60);
                for (int s = 0; s <= t; s++)
                    shares[s * HEADS + h] += p[s] / total / (n - s);
                free(p);
            }
        float *told = test_download(b, received);
        for (int s = 0; s < n * HEADS; s++)
            if (!(fabs((double)told[s] - shares[s]) <= 4e-5))
                fail_msg("chosen keys: key %d, head %d received %.9g, expected %.9g",
                         s / HEADS, s % HEADS, (double)told[s], shares[s]);
        free(told), free(shares);
        b->op->tensor_free(b, &received);
        b->op->tensor_free(b, &to_sink);
        b->op->tensor_free(b, &chosen);
        free(is);
        free_tensor(b, &q), free_tensor(b, &k);
        free_tensor(b, &v), free_tensor(b, &out);
    }
}

/* Token by token, as the rule is written. More than two chunks. */
static void delta_net(struct ol_backend *b)
{
    enum { N = 150, HK = 2, HV = 6, DK = 10, DV = 7, KEYS = HK * DK };
    struct ol_error err = {0};
    float dt_bias[HV], a_log[HV];
    for (int h = 0; h < HV; h++) {
        dt_bias[h] = ol_bf16_round(uniform());
        a_log[h] = ol_bf16_round(uniform() * 2 - 2);
    }
    struct known mixed = tensor(b, N, 2 * KEYS + HV * DV, 2),
                 beta_in = tensor(b, N, HV, 3), decay = tensor(b, N, HV, 3),
                 result = tensor(b, N, HV * DV, 1);
    const struct ol_delta_net_args args = {
        .spec = {HK, HV, DK, DV, 4},
        .mixed = mixed.t,
        .beta = beta_in.t,
        .decay = decay.t,
        .dt_bias = ol_weight_plain(dt_bias, OL_DTYPE_F32, 1, HV),
        .a_log = ol_weight_plain(a_log, OL_DTYPE_F32, 1, HV),
        .out = result.t,
    };
    OK(b->op->delta_net(b, &args, &err));
    look(b, &result);
    for (int h = 0; h < HV; h++) {
        double state[DK][DV] = {{0}};
        const int key_head = h / (HV / HK);
        for (int t = 0; t < N; t++) {
            double q[DK], k[DK], qq = 1e-6, kk = 1e-6;
            for (int i = 0; i < DK; i++) {
                q[i] = at(mixed, t, key_head * DK + i);
                k[i] = at(mixed, t, KEYS + key_head * DK + i);
                qq += q[i] * q[i];
                kk += k[i] * k[i];
            }
            const double a = at(decay, t, h) + (double)dt_bias[h];
            const double keep = exp(-exp((double)a_log[h]) * log1p(exp(a)));
            double beta = 1 / (1 + exp(-at(beta_in, t, h)));
            if (b->dtype == OL_DTYPE_BF16)
                beta = (double)ol_bf16_round((float)beta);
            for (int j = 0; j < DV; j++) {
                double read = 0, out = 0;
                for (int i = 0; i < DK; i++) {
                    state[i][j] *= keep;
                    read += state[i][j] * k[i] / sqrt(kk);
                }
                const double v = at(mixed, t, 2 * KEYS + h * DV + j);
                for (int i = 0; i < DK; i++) {
                    state[i][j] += k[i] / sqrt(kk) * beta * (v - read);
                    out += state[i][j] * q[i] / sqrt(qq * DK);
                }
                near("delta_net", result, t, h * DV + j, out, 2,
                     b->dtype == OL_DTYPE_BF16 ? 1 : 40);
            }
        }
    }
    free_tensor(b, &mixed), free_tensor(b, &beta_in);
    free_tensor(b, &decay), free_tensor(b, &result);
}

/* The time that a token takes, rounded as the reference rounds. */
static double step_of(enum ol_dtype dtype, double x, double least, double most)
{
    const bool rounds = dtype == OL_DTYPE_BF16;
    const double shifted = rounds ? (double)ol_bf16_round((float)x) : (double)(float)x;
    const double soft = shifted > 20 ? shifted : log1p(exp(shifted));
    const double step = rounds ? (double)ol_bf16_round((float)soft) : soft;
    least = rounds ? (double)ol_bf16_round((float)least) : (double)(float)least;
    most = rounds ? (double)ol_bf16_round((float)most) : (double)(float)most;
    return fmin(fmax(step, least), most);
}

/* Token by token, as the rule is written; `size` grows as sums do without signs. */
static void mamba_case(struct ol_backend *b, int n, const struct ol_mamba_spec *spec)
{
    const int heads = spec->n_heads, p = spec->head_dim, states = spec->state_dim;
    const int groups = spec->n_groups, first_b = heads * p;
    const int first_c = first_b + groups * states;
    struct ol_error err = {0};
    float dt_bias[8], a_log[8], skip[8];
    for (int h = 0; h < heads; h++) {
        dt_bias[h] = ol_bf16_round(uniform() - 2);
        a_log[h] = ol_bf16_round(uniform() * 3);
        skip[h] = ol_bf16_round(uniform());
    }
    /* Softplus is linear there: e^100 is too large for a float. */
    dt_bias[0] = 100;
    a_log[0] = -5;
    struct known mixed = tensor(b, n, first_c + groups * states, 1),
                 step = tensor(b, n, heads, 4),
                 out = tensor_of(b, OL_DTYPE_F32, n, heads * p, 1);
    const struct ol_mamba_args args = {
        .spec = *spec,
        .mixed = mixed.t,
        .step = step.t,
        .dt_bias = ol_weight_plain(dt_bias, OL_DTYPE_F32, 1, heads),
        .a_log = ol_weight_plain(a_log, OL_DTYPE_F32, 1, heads),
        .skip = ol_weight_plain(skip, OL_DTYPE_F32, 1, heads),
        .out = out.t,
    };
    OK(b->op->mamba(b, &args, &err));
    look(b, &out);
    double *state = ol_xcalloc((size_t)(2 * p * states), sizeof *state),
           *sizes = state + p * states;
    int n_least = 0, n_most = 0;
    for (int h = 0; h < heads; h++) {
        const int group = h / (heads / groups);
        memset(state, 0, (size_t)(2 * p * states) * sizeof *state);
        for (int t = 0; t < n; t++) {
            const double dt = step_of(b->dtype, at(step, t, h) + (double)dt_bias[h],
                                      spec->least_step, spec->most_step);
            const double keep = exp(-exp((double)a_log[h]) * dt);
            n_least += dt < 1.01 * spec->least_step;
            n_most += dt > 0.99 * spec->most_step;
            for (int i = 0; i < p; i++) {
                const double x = at(mixed, t, h * p + i);
                double want = (double)skip[h] * x, size = fabs(want);
                for (int s = 0; s < states; s++) {
                    const double put =
                                     dt * x * at(mixed, t, first_b + group * states + s),
                                 c = at(mixed, t, first_c + group * states + s);
                    double *to = &state[i * states + s], *of = &sizes[i * states + s];
                    *to = keep * *to + put;
                    *of = keep * *of + fabs(put);
                    want += *to * c;
                    size += *of * fabs(c);
                }
                near("mamba", out, t, h * p + i, want, size, 30);
            }
        }
    }
    if (n > 30 && heads > 1)
        assert_true(n_least > n / 10 && n_most > n / 10);
    free(state);
    free_tensor(b, &mixed), free_tensor(b, &step), free_tensor(b, &out);
}

/* More than two chunks of either backend, and less than one; states of every width that
 * has a kernel of its own. */
static void mamba(struct ol_backend *b)
{
    static const struct {
        int n;
        struct ol_mamba_spec spec;
    } cases[] = {
        {150, {6, 2, 7, 10, 4, 0.02, 90}},  {67, {4, 4, 33, 128, 4, 0.02, 90}},
        {1, {1, 1, 1, 1, 4, 0, 1e30}},      {40, {3, 1, 20, 65, 4, 0.02, 90}},
        {37, {2, 1, 40, 200, 4, 0.02, 90}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        mamba_case(b, cases[i].n, &cases[i].spec);
}

static void gated_norm(struct ol_backend *b)
{
    enum { N = 37, GROUPS = 3, GROUP = 43, D = GROUPS * GROUP };
    struct ol_error err = {0};
    float weight[D];
    for (int c = 0; c < D; c++)
        weight[c] = ol_bf16_round(1 + uniform());
    struct known x = tensor_of(b, OL_DTYPE_F32, N, D, 3), gate = tensor(b, N, D, 5),
                 out = tensor(b, N, D, 1);
    OK(b->op->gated_norm(b, GROUPS, 1e-3, x.t, gate.t,
                         ol_weight_plain(weight, OL_DTYPE_F32, 1, D), out.t, &err));
    look(b, &out);
    for (int i = 0; i < N; i++)
        for (int g = 0; g < D; g += GROUP) {
            double y[GROUP], mean = 0;
            for (int c = 0; c < GROUP; c++) {
                const double z = at(gate, i, g + c);
                y[c] = at(x, i, g + c) * z / (1 + exp(-z));
                mean += y[c] * y[c] / GROUP;
            }
            for (int c = 0; c < GROUP; c++) {
                const double want = (double)weight[g + c] * y[c] / sqrt(mean + 1e-3);
                /* One rounding in bf16. */
                near("gated_norm", out, i, g + c, want, fabs(want),
                     b->dtype == OL_DTYPE_BF16 ? 1.01 : 12);
            }
        }
    free_tensor(b, &x), free_tensor(b, &gate), free_tensor(b, &out);
}

static void causal_conv_case(struct ol_backend *b, bool biased)
{
    enum { N = 41, C = 23, K = 4 };
    struct ol_error err = {0};
    float weight[C * K], bias[C];
    for (int i = 0; i < C * K; i++)
        weight[i] = ol_bf16_round(uniform() * 2);
    for (int i = 0; i < C; i++)
        bias[i] = biased ? ol_bf16_round(uniform() * 3) : 0;
    struct known x = tensor(b, N, C, 3), out = tensor(b, N, C, 1);
    const struct ol_weight none = {0};
    OK(b->op->causal_conv(b, x.t, ol_weight_plain(weight, OL_DTYPE_F32, C, K),
                          biased ? ol_weight_plain(bias, OL_DTYPE_F32, 1, C) : none,
                          out.t, &err));
    look(b, &out);
    for (int t = 0; t < N; t++)
        for (int c = 0; c < C; c++) {
            double sum = (double)bias[c], size = fabs(sum);
            for (int k = 0; k < K; k++) {
                if (t - K + 1 + k < 0)
                    continue;
                const double term = (double)weight[c * K + k] * at(x, t - K + 1 + k, c);
                sum += term;
                size += fabs(term);
            }
            near("causal_conv", out, t, c, sum / (1 + exp(-sum)), size, 4);
        }
    free_tensor(b, &x), free_tensor(b, &out);
}

static void causal_conv(struct ol_backend *b)
{
    causal_conv_case(b, false);
    causal_conv_case(b, true);
}

/* Pairs of neighbours, behind values that are left alone. */
static void rope_pairs(struct ol_backend *b)
{
    enum { N = 33, HEADS = 3, D = 11, FIRST = 4, ROTARY = 6 };
    struct ol_error err = {0};
    const struct ol_rope_spec spec = {.rotary_dim = ROTARY, .theta = 100};
    struct ol_rope_table table = {.n_positions = N, .rotary_dim = ROTARY};
    OK(b->op->tensor_new(b, OL_DTYPE_F32, N, ROTARY / 2, &table.cos, &err));
    OK(b->op->tensor_new(b, OL_DTYPE_F32, N, ROTARY / 2, &table.sin, &err));
    float cosines[N * ROTARY / 2], sines[N * ROTARY / 2];
    ol_rope_fill(&spec, 0, N, cosines, sines);
    test_upload(b, table.cos, cosines);
    test_upload(b, table.sin, sines);
    for (int once = 0; once < 2; once++) {
        struct known x = tensor(b, N, HEADS * D, 4);
        double before[N][HEADS * D];
        for (int i = 0; i < N; i++)
            for (int c = 0; c < HEADS * D; c++)
                before[i][c] = at(x, i, c);
        const struct ol_rope_args args = {.kind =
                                              once ? OL_ROPE_PAIRS_ONCE : OL_ROPE_PAIRS,
                                          .table = &table,
                                          .head_dim = D,
                                          .first = FIRST};
        OK(b->op->rope(b, &args, x.t, &err));
        look(b, &x);
        for (int i = 0; i < N; i++)
            for (int c = 0; c < HEADS * D; c++) {
                const int inner = c % D - FIRST;
                if (inner < 0 || inner >= ROTARY) {
                    assert_true(at(x, i, c) == before[i][c]);
                    continue;
                }
                const double angle = i * pow(100, -(double)(inner / 2 * 2) / ROTARY);
                const double other = before[i][inner % 2 == 0 ? c + 1 : c - 1];
                const double want = before[i][c] * cos(angle) +
                                    (inner % 2 == 0 ? -other : other) * sin(angle);
                /* PAIRS_ONCE in bf16: one rounding of the result, and no more. */
                const double size =
                    once ? fabs(want) + 1e-3 : fabs(before[i][c]) + fabs(other);
                near("rope", x, i, c, want, size,
                     once && b->dtype == OL_DTYPE_BF16 ? 1.01
                     : b->dtype == OL_DTYPE_BF16       ? 3
                                                       : 2e4);
            }
        free_tensor(b, &x);
    }
    b->op->tensor_free(b, &table.cos);
    b->op->tensor_free(b, &table.sin);
}

static void columns_and_rows(struct ol_backend *b)
{
    enum { N = 17, FROM = 40, TO = 31, WIDTH = 5, PIECES = 4 };
    struct ol_error err = {0};
    struct known from = tensor(b, N, FROM, 1), to = tensor(b, N, TO, 1);
    for (int repeat = 0; repeat < 2; repeat++) {
        const struct ol_columns source = {from.t, 3, repeat ? 0 : 9},
                                target = {to.t, 1, 7};
        OK(b->op->copy_columns(b, source, target, WIDTH, PIECES, &err));
        look(b, &to);
        for (int i = 0; i < N; i++)
            for (int p = 0; p < PIECES; p++)
                for (int w = 0; w < WIDTH; w++)
                    assert_true(at(to, i, 1 + 7 * p + w) ==
                                at(from, i, 3 + (repeat ? 0 : 9) * p + w));
    }
    float scales[N];
    int32_t rows[N];
    for (int i = 0; i < N; i++) {
        scales[i] = uniform();
        rows[i] = (i * 5 + 3) % N;
    }
    struct known picked = tensor(b, N, FROM, 1), scaled = tensor(b, N, FROM, 1);
    OK(b->op->gather(b, from.t, rows, scales, picked.t, &err));
    OK(b->op->gather(b, from.t, rows, NULL, scaled.t, &err));
    OK(b->op->scale_rows(b, scaled.t, scales, &err));
    look(b, &picked), look(b, &scaled);
    for (int i = 0; i < N; i++)
        for (int c = 0; c < FROM; c++) {
            const double want = at(from, rows[i], c) * (double)scales[i];
            near("gather", picked, i, c, want, fabs(want), 1.01);
            assert_true(at(picked, i, c) == at(scaled, i, c));
        }
    free_tensor(b, &from), free_tensor(b, &to);
    free_tensor(b, &picked), free_tensor(b, &scaled);
}

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static void clamped_glu(struct ol_backend *b)
{
    enum { N = 29, D = 35 };
    struct ol_error err = {0};
    const struct ol_glu_spec glu = {
        .function = OL_GLU_CLAMPED, .alpha = 1.702, .limit = 1.5};
    struct known gate = tensor(b, N, D, 4), up = tensor(b, N, D, 4);
    double want[N][D], size[N][D];
    int n_clamped = 0;
    for (int i = 0; i < N; i++)
        for (int c = 0; c < D; c++) {
            const double g = clamp(at(gate, i, c), -INFINITY, 1.5);
            const double u = clamp(at(up, i, c), -1.5, 1.5);
            n_clamped += g == 1.5 || fabs(u) == 1.5;
            want[i][c] = (u + 1) * g / (1 + exp(-1.702 * g));
            size[i][c] = (fabs(u) + 1) * fabs(g);
        }
    assert_true(n_clamped > N * D / 4);
    OK(b->op->glu(b, &glu, gate.t, up.t, &err));
    look(b, &gate);
    for (int i = 0; i < N; i++)
        for (int c = 0; c < D; c++)
            near("glu", gate, i, c, want[i][c], size[i][c], 6);
    free_tensor(b, &gate), free_tensor(b, &up);
}

static void relu2_alone(struct ol_backend *b)
{
    enum { N = 29, D = 35 };
    struct ol_error err = {0};
    const struct ol_glu_spec glu = {.function = OL_GLU_RELU2, .alone = true};
    const struct ol_tensor none = {0};
    struct known gate = tensor(b, N, D, 4);
    gate.values[0] = NAN;
    test_upload(b, gate.t, gate.values);
    float before[N * D];
    memcpy(before, gate.values, sizeof before);
    OK(b->op->glu(b, &glu, gate.t, none, &err));
    look(b, &gate);
    assert_true(isnan(at(gate, 0, 0)));
    for (int i = 1; i < N * D; i++) {
        const double want = fmax((double)before[i], 0) * fmax((double)before[i], 0);
        near("glu", gate, i / D, i % D, want, want, 1.01);
    }
    free_tensor(b, &gate);
}

/* Of rows that are float, a weight is not rounded whatever the activations are. */
static void float_router(struct ol_backend *b)
{
    enum { N = 21, D = 37, E = 9, TOP = 3 };
    struct ol_error err = {0};
    const struct ol_router_spec router = {.score = OL_ROUTER_SIGMOID,
                                          .n_experts = E,
                                          .top_k = TOP,
                                          .float_logits = true,
                                          .float_weight = true,
                                          .n_group = 1,
                                          .topk_group = 1,
                                          .scale = 1};
    const struct ol_weight none = {0};
    float weight[E * D], weights[N * TOP];
    uint16_t ids[N * TOP];
    for (int i = 0; i < E * D; i++)
        weight[i] = uniform();
    struct known x = tensor_of(b, OL_DTYPE_F32, N, D, 2);
    OK(test_route_now(b, &router, x.t, ol_weight_plain(weight, OL_DTYPE_F32, E, D), none,
                      none, ids, weights, &err));
    for (int i = 0; i < N * TOP; i++) {
        double logit = 0;
        for (int c = 0; c < D; c++)
            logit += at(x, i / TOP, c) * (double)weight[ids[i] * D + c];
        const double want = 1 / (1 + exp(-logit));
        if (!(fabs((double)weights[i] - want) <= 1e-5))
            fail_msg("weight %d: %.9g, expected %.9g", i, (double)weights[i], want);
    }
    free_tensor(b, &x);
}

TEST(delta_net)
TEST(mamba)
TEST(gated_norm)
TEST(relu2_alone)
TEST(float_router)
TEST(layer_norm)
TEST(chosen_keys)
TEST(causal_conv)
TEST(rope_pairs)
TEST(columns_and_rows)
TEST(clamped_glu)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_delta_net),
        cmocka_unit_test(cuda_delta_net),
        cmocka_unit_test(cpu_mamba),
        cmocka_unit_test(cuda_mamba),
        cmocka_unit_test(cpu_gated_norm),
        cmocka_unit_test(cuda_gated_norm),
        cmocka_unit_test(cpu_float_router),
        cmocka_unit_test(cuda_float_router),
        cmocka_unit_test(cpu_relu2_alone),
        cmocka_unit_test(cuda_relu2_alone),
        cmocka_unit_test(cpu_layer_norm),
        cmocka_unit_test(cuda_layer_norm),
        cmocka_unit_test(cpu_chosen_keys),
        cmocka_unit_test(cuda_chosen_keys),
        cmocka_unit_test(cpu_causal_conv),
        cmocka_unit_test(cuda_causal_conv),
        cmocka_unit_test(cpu_rope_pairs),
        cmocka_unit_test(cuda_rope_pairs),
        cmocka_unit_test(cpu_columns_and_rows),
        cmocka_unit_test(cuda_columns_and_rows),
        cmocka_unit_test(cpu_clamped_glu),
        cmocka_unit_test(cuda_clamped_glu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
