/* The operations of attention and MLPs, embeddings, norms, products and likelihoods, on
 * every backend against loops in double precision (operations.h). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "extract/model/rope_table.h"
#include "tests/unit/operations.h"

static size_t embed(struct ol_backend *b, void *bytes)
{
    struct ol_error err = {0};
    struct ol_weight table = random_weight(OL_DTYPE_F16, 13, 37, 1);
    const int32_t ids[] = {12, 0, 5, 5, 7};
    struct ol_tensor out = tensor(b, b->dtype, 5, 37);
    OK(b->op->embed(b, ids, table, out, &err));
    double *t = values(table.dtype, table.data, 13 * 37), *o = tensor_values(b, out);
    for (int i = 0; i < 5; i++)
        for (int c = 0; c < 37; c++) {
            const float x = (float)t[ids[i] * 37 + c];
            const float want = b->dtype == OL_DTYPE_BF16 ? ol_bf16_round(x) : x;
            assert_true(o[i * 37 + c] == (double)want);
        }
    const size_t n = copy_out(b, out, bytes);
    free(t), free(o), free_weight(&table);
    b->op->tensor_free(b, &out);
    return n;
}

static size_t norm(struct ol_backend *b, void *bytes)
{
    struct ol_error err = {0};
    enum { ROWS = 1031, D = 67 };
    struct ol_tensor x = random_tensor(b, ROWS, D, 30),
                     out = tensor(b, b->dtype, ROWS, D);
    struct ol_weight w = random_weight(OL_DTYPE_F32, 1, D, 8);
    OK(b->op->norm(b, OL_NORM_RMS, 1e-2, x, w, out, &err));
    double *xs = tensor_values(b, x), *os = tensor_values(b, out);
    double *ws = values(w.dtype, w.data, D), *want = ol_xcalloc(ROWS * D, sizeof *want);
    for (int i = 0; i < ROWS; i++) {
        double sum = 0;
        for (int c = 0; c < D; c++)
            sum += xs[i * D + c] * xs[i * D + c];
        for (int c = 0; c < D; c++) {
            double y = xs[i * D + c] / sqrt(sum / D + 1e-2), weight = ws[c];
            if (b->dtype == OL_DTYPE_BF16) {
                y = (double)ol_bf16_round((float)y);
                weight = (double)ol_bf16_round((float)weight);
            }
            want[i * D + c] = y * weight;
        }
    }
    /* The inner rounding may fall the other way when y is near a tie. */
    compare("norm", b->dtype, os, want, ROWS * D, b->dtype == OL_DTYPE_BF16 ? 1.6 : 2);
    const size_t n = copy_out(b, out, bytes);
    free(xs), free(os), free(ws), free(want), free_weight(&w);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &out);
    return n;
}

/* As loading a model in bf16 does. */
static void round_all(double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (double)ol_bf16_round((float)x[i]);
}

static void product_of(struct ol_backend *b, struct ol_matmul p, double *want)
{
    double *x = tensor_values(b, p.x);
    double *w = values(p.weight.dtype, p.weight.data,
                       (size_t)(p.weight.n_rows * p.weight.n_cols));
    double *bias = p.bias.data != NULL
                       ? values(p.bias.dtype, p.bias.data, (size_t)p.bias.n_cols)
                       : NULL;
    const int64_t k = p.x.n_cols;
    if (p.x.dtype == OL_DTYPE_BF16) {
        round_all(w, (size_t)(p.weight.n_rows * p.weight.n_cols));
        if (bias != NULL)
            round_all(bias, (size_t)p.bias.n_cols);
    }
    for (int64_t i = 0; i < p.x.n_rows; i++)
        for (int64_t j = 0; j < p.weight.n_rows; j++) {
            double sum = bias != NULL ? bias[j] : 0;
            for (int64_t c = 0; c < k; c++)
                sum += x[i * k + c] * w[j * k + c];
            want[i * p.weight.n_rows + j] = sum;
        }
    free(x), free(w), free(bias);
}

static size_t matmul(struct ol_backend *b, void *bytes)
{
    struct ol_error err = {0};
    static const struct {
        int64_t m, n, k;
        enum ol_dtype dtype;
        bool bias;
    } sizes[] = {
        {1, 1, 1, OL_DTYPE_BF16, true},       {515, 259, 67, OL_DTYPE_BF16, false},
        {37, 523, 33, OL_DTYPE_F16, true},    {0, 5, 3, OL_DTYPE_F32, false},
        {2, 3, 777, OL_DTYPE_F32, true},      {3, 3001, 257, OL_DTYPE_F16, true},
        {2, 1500, 1031, OL_DTYPE_F32, false},
    };
    enum { N = sizeof sizes / sizeof sizes[0] };
    struct ol_matmul p[N];
    for (int i = 0; i < N; i++)
        p[i] = (struct ol_matmul){
            .x = random_tensor(b, sizes[i].m, sizes[i].k, 1),
            .weight = random_weight(sizes[i].dtype, sizes[i].n, sizes[i].k, 1),
            .bias = sizes[i].bias ? random_weight(OL_DTYPE_BF16, 1, sizes[i].n, 3)
                                  : (struct ol_weight){0},
            .out = tensor(b, b->dtype, sizes[i].m, sizes[i].n),
        };
    /* Twice: a device that still has a weight does not fetch it again. */
    OK(b->op->matmul(b, p, N, &err));
    OK(b->op->matmul(b, p, N, &err));
    size_t n = 0;
    for (int i = 0; i < N; i++) {
        double *found = tensor_values(b, p[i].out);
        double *want = ol_xcalloc(count(p[i].out) + 1, sizeof *want);
        product_of(b, p[i], want);
        compare("matmul", b->dtype, found, want, count(p[i].out), 1);
        n += copy_out(b, p[i].out, (char *)bytes + n);
        free(found), free(want);
        free_weight(&p[i].weight), free_weight(&p[i].bias);
        b->op->tensor_free(b, &p[i].x);
        b->op->tensor_free(b, &p[i].out);
    }
    return n;
}

static size_t clip_and_add(struct ol_backend *b, void *bytes)
{
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, 601, 61, 4), y = random_tensor(b, 601, 61, 4);
    double *before = tensor_values(b, x), *ys = tensor_values(b, y);
    OK(b->op->clip(b, x, 1.5, &err));
    OK(b->op->add(b, x, y, &err));
    double *after = tensor_values(b, x);
    for (size_t i = 0; i < count(x); i++)
        before[i] = (before[i] > 1.5 ? 1.5 : before[i] < -1.5 ? -1.5 : before[i]) + ys[i];
    compare("clip, add", b->dtype, after, before, count(x), 1);
    size_t n = copy_out(b, x, bytes);
    struct ol_tensor sum = tensor(b, OL_DTYPE_F32, 601, 61);
    OK(b->op->add_sum(b, x, sum, &err)); /* adding zero changes nothing */
    void *same = test_download(b, x);
    assert_memory_equal(same, bytes, n);
    free(before), free(ys), free(after), free(same);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &y);
    b->op->tensor_free(b, &sum);
    return n;
}

static size_t rope_of(struct ol_backend *b, enum ol_rope_kind kind, void *bytes)
{
    struct ol_error err = {0};
    enum { N = 301, HEADS = 3, D = 14, ROTARY = 10 };
    const struct ol_rope_spec spec = {.rotary_dim = ROTARY, .theta = 500};
    struct ol_rope_table table = {.n_positions = N + 4,
                                  .rotary_dim = ROTARY,
                                  .cos = tensor(b, OL_DTYPE_F32, N + 4, ROTARY / 2),
                                  .sin = tensor(b, OL_DTYPE_F32, N + 4, ROTARY / 2)};
    static float cosines[(N + 4) * ROTARY / 2], sines[(N + 4) * ROTARY / 2];
    ol_rope_fill(&spec, 0, N + 4, cosines, sines);
    test_upload(b, table.cos, cosines);
    test_upload(b, table.sin, sines);
    struct ol_tensor x = random_tensor(b, N, HEADS * D, 5);
    double *want = tensor_values(b, x);
    /* Each sequence begins at position 0. */
    static const int32_t lengths[] = {120, 1, N - 121};
    const struct ol_rope_args args = {
        .kind = kind, .table = &table, .head_dim = D, .sequences = {lengths, 3}};
    OK(b->op->rope(b, &args, x, &err));
    for (int i = 0; i < N; i++)
        for (int h = 0; h < HEADS; h++)
            for (int j = 0; j < ROTARY / 2; j++) {
                double *v = want + i * HEADS * D + h * D;
                const int position = i < 120 ? i : i < 121 ? 0 : i - 121;
                const double angle = position * pow(500, -2.0 * j / ROTARY);
                const double p = v[j], q = v[j + ROTARY / 2];
                v[j] = p * cos(angle) - q * sin(angle);
                v[j + ROTARY / 2] = q * cos(angle) + p * sin(angle);
            }
    double *found = tensor_values(b, x);
    /* Three roundings in the activation type, or one; angles up to 300 in float. */
    const bool once = kind == OL_ROPE_HALF_ONCE;
    for (size_t i = 0; i < count(x); i++) {
        const double rounding = once ? fabs(want[i]) * 0x1p-8 + 3e-4 : 5 * 3 * 0x1p-8;
        const double allowed = b->dtype == OL_DTYPE_BF16 ? rounding : 3e-4;
        if (fabs(found[i] - want[i]) > allowed)
            fail_msg("rope: value %zu is %g, expected %g", i, found[i], want[i]);
    }
    const size_t n = copy_out(b, x, bytes);
    struct ol_tensor longer = tensor(b, b->dtype, N + 5, D);
    const struct ol_rope_args whole = {
        .kind = OL_ROPE_HALF, .table = &table, .head_dim = D};
    assert_int_equal(b->op->rope(b, &whole, longer, &err), -1);
    assert_non_null(strstr(err.text, "306"));
    free(want), free(found);
    b->op->tensor_free(b, &longer);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &table.cos);
    b->op->tensor_free(b, &table.sin);
    return n;
}

static size_t rope(struct ol_backend *b, void *bytes)
{
    return rope_of(b, OL_ROPE_HALF, bytes);
}

static size_t rope_once(struct ol_backend *b, void *bytes)
{
    return rope_of(b, OL_ROPE_HALF_ONCE, bytes);
}

/* What attention puts out, and what is told of its softmax. */
struct attention_wanted {
    double *out, *received, *to_sink;
};

static void attention_of(struct ol_backend *b, const struct ol_attention_args *a,
                         struct ol_tensor q, struct ol_tensor k, struct ol_tensor v,
                         const double *sinks, const struct attention_wanted *to)
{
    int64_t *n_seeing = ol_xcalloc((size_t)q.n_rows, sizeof *n_seeing);
    double *qs = tensor_values(b, q), *ks = tensor_values(b, k),
           *vs = tensor_values(b, v);
    double *p = ol_xcalloc((size_t)q.n_rows, sizeof *p);
    const int d = a->head_dim, dv = a->value_dim;
    for (int64_t i = 0; i < q.n_rows; i++)
        for (int h = 0; h < a->n_heads; h++) {
            const int64_t kv = h / (a->n_heads / a->n_kv_heads);
            const int64_t first = a->kind == OL_ATTENTION_SLIDING && i >= a->window
                                      ? i - a->window + 1
                                  : a->kind == OL_ATTENTION_CHUNKED ? i - i % a->window
                                                                    : 0;
            double top = sinks != NULL ? sinks[h] : -INFINITY, total = 0;
            for (int64_t j = first; j <= i; j++) {
                p[j] = 0;
                for (int c = 0; c < d; c++)
                    p[j] += qs[i * q.n_cols + h * d + c] * ks[j * k.n_cols + kv * d + c];
                p[j] *= a->scale;
                top = p[j] > top ? p[j] : top;
            }
            for (int64_t j = first; j <= i; j++)
                total += p[j] = exp(p[j] - top);
            const double sink = sinks != NULL ? exp(sinks[h] - top) : 0;
            total += sink;
            to->to_sink[i * a->n_heads + h] = sink / total;
            for (int64_t j = first; j <= i; j++) {
                to->received[j * a->n_heads + h] += p[j] / total;
                n_seeing[j] += h == 0;
            }
            for (int c = 0; c < dv; c++) {
                double sum = 0;
                for (int64_t j = first; j <= i; j++)
                    sum += p[j] * vs[j * v.n_cols + kv * dv + c];
                to->out[i * a->n_heads * dv + h * dv + c] = sum / total;
            }
        }
    for (int64_t j = 0; j < q.n_rows * a->n_heads; j++)
        to->received[j] /= (double)n_seeing[j / a->n_heads];
    free(n_seeing);
    free(qs), free(ks), free(vs), free(p);
}

/* Attention once more, of q, k and v to out, and what is told of it: out is what it was
 * without. Scores of up to 50 are float sums, so that shares are off by some 10^-5. */
static size_t told_of_attention(struct ol_backend *b,
                                const struct ol_attention_args *args,
                                const struct ol_tensor *t,
                                const struct attention_wanted *want, void *bytes)
{
    struct ol_error err = {0};
    struct ol_attention_args asked = *args;
    double *before = tensor_values(b, t[3]);
    asked.received = tensor(b, OL_DTYPE_F32, t[0].n_rows, args->n_heads);
    asked.to_sink = tensor(b, OL_DTYPE_F32, t[0].n_rows, args->n_heads);
    OK(b->op->attention(b, &asked, t[0], t[1], t[2], t[3], &err));
    double *after = tensor_values(b, t[3]), *received = tensor_values(b, asked.received),
           *to_sink = tensor_values(b, asked.to_sink);
    assert_memory_equal(before, after, count(t[3]) * sizeof *before);
    for (size_t i = 0; i < count(asked.received); i++)
        if (!(fabs(received[i] - want->received[i]) <= 4e-5) ||
            !(fabs(to_sink[i] - want->to_sink[i]) <= 4e-5))
            fail_msg("attention, row %zu, head %zu: received %.9g, to the sink %.9g; "
                     "expected %.9g, %.9g",
                     i / (size_t)args->n_heads, i % (size_t)args->n_heads, received[i],
                     to_sink[i], want->received[i], want->to_sink[i]);
    size_t n = copy_out(b, asked.received, bytes);
    n += copy_out(b, asked.to_sink, (char *)bytes + n);
    free(before), free(after), free(received), free(to_sink);
    b->op->tensor_free(b, &asked.received);
    b->op->tensor_free(b, &asked.to_sink);
    return n;
}

/* Sequences of one call give the bytes of a call for each. */
static void attention_of_several(struct ol_backend *b,
                                 const struct ol_attention_args *args,
                                 const struct ol_tensor *t)
{
    struct ol_error err = {0};
    const int64_t n = t[0].n_rows;
    const int32_t lengths[] = {(int32_t)(n / 2), (int32_t)(n - n / 2)};
    struct ol_tensor received = tensor(b, OL_DTYPE_F32, n, args->n_heads),
                     to_sink = tensor(b, OL_DTYPE_F32, n, args->n_heads);
    const struct ol_tensor told[] = {t[3], received, to_sink};
    char *bytes[2][3];
    for (int way = 0; way < 2; way++) {
        for (int i = 0; i < 3; i++) {
            OK(b->op->zero(b, told[i], &err));
            bytes[way][i] = ol_xcalloc(ol_tensor_bytes(told[i]), 1);
        }
        const int n_calls = way == 0 ? 1 : 2;
        for (int64_t c = 0, at = 0, rows; c < n_calls && n > 1; c++, at += rows) {
            rows = way == 0 ? n : lengths[c];
            struct ol_attention_args asked = *args;
            asked.received = ol_tensor_rows(received, at, rows);
            asked.to_sink = ol_tensor_rows(to_sink, at, rows);
            asked.sequences = (struct ol_sequences){lengths + c, way == 0 ? 2 : 1};
            OK(b->op->attention(
                b, &asked, ol_tensor_rows(t[0], at, rows), ol_tensor_rows(t[1], at, rows),
                ol_tensor_rows(t[2], at, rows), ol_tensor_rows(t[3], at, rows), &err));
        }
        for (int i = 0; i < 3; i++)
            copy_out(b, told[i], bytes[way][i]);
    }
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(bytes[0][i], bytes[1][i], ol_tensor_bytes(told[i]));
        free(bytes[0][i]), free(bytes[1][i]);
    }
    b->op->tensor_free(b, &received);
    b->op->tensor_free(b, &to_sink);
}

static size_t attention(struct ol_backend *b, void *bytes)
{
    static const struct {
        int64_t n;
        int heads, kv_heads, d, dv;
        enum ol_attention_kind kind;
        int window;
        bool sinks;
    } cases[] = {
        {1, 2, 1, 6, 6, OL_ATTENTION_FULL, 0, false},
        {129, 4, 2, 10, 10, OL_ATTENTION_FULL, 0, true},
        {531, 3, 3, 18, 18, OL_ATTENTION_FULL, 0, false},
        {300, 2, 2, 18, 7, OL_ATTENTION_FULL, 0, false},
        {140, 2, 1, 5, 21, OL_ATTENTION_FULL, 0, false},
        {531, 2, 1, 12, 12, OL_ATTENTION_SLIDING, 1, true},
        {600, 2, 2, 8, 8, OL_ATTENTION_SLIDING, 257, false},
        {40, 1, 1, 8, 8, OL_ATTENTION_SLIDING, 99, false},
        {600, 2, 1, 8, 8, OL_ATTENTION_CHUNKED, 250, false},
        {300, 1, 1, 8, 8, OL_ATTENTION_CHUNKED, 3, false},
    };
    struct ol_error err = {0};
    size_t bytes_used = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ol_weight sinks = {0};
        if (cases[i].sinks)
            sinks = random_weight(OL_DTYPE_BF16, 1, cases[i].heads, 30);
        double *sink = cases[i].sinks
                           ? values(sinks.dtype, sinks.data, (size_t)cases[i].heads)
                           : NULL;
        struct ol_attention_args args = {.n_heads = cases[i].heads,
                                         .n_kv_heads = cases[i].kv_heads,
                                         .head_dim = cases[i].d,
                                         .value_dim = cases[i].dv,
                                         .scale = 0.9,
                                         .kind = cases[i].kind,
                                         .window = cases[i].window,
                                         .sinks = sinks};
        /* Scores up to +-50: a softmax without a running maximum would overflow. */
        struct ol_tensor q = random_tensor(b, cases[i].n, cases[i].heads * cases[i].d, 6);
        struct ol_tensor k =
            random_tensor(b, cases[i].n, cases[i].kv_heads * cases[i].d, 3);
        struct ol_tensor v =
            random_tensor(b, cases[i].n, cases[i].kv_heads * cases[i].dv, 2);
        struct ol_tensor out =
            tensor(b, b->dtype, q.n_rows, cases[i].heads * cases[i].dv);
        OK(b->op->attention(b, &args, q, k, v, out, &err));
        const size_t n_heads = (size_t)(q.n_rows * cases[i].heads);
        const struct attention_wanted want = {ol_xcalloc(count(out), sizeof(double)),
                                              ol_xcalloc(n_heads, sizeof(double)),
                                              ol_xcalloc(n_heads, sizeof(double))};
        double *found = tensor_values(b, out);
        attention_of(b, &args, q, k, v, sink, &want);
        /* bf16: the exponentials are rounded too, which moves the mean of values of at
         * most 2 by at most 2 half units. */
        compare_within("attention", b->dtype, found, want.out, count(out), 8,
                       b->dtype == OL_DTYPE_BF16 ? 2 * 0x1p-9 : 0);
        bytes_used += copy_out(b, out, (char *)bytes + bytes_used);
        bytes_used += told_of_attention(b, &args, (struct ol_tensor[]){q, k, v, out},
                                        &want, (char *)bytes + bytes_used);
        attention_of_several(b, &args, (struct ol_tensor[]){q, k, v, out});
        free(want.out), free(want.received), free(want.to_sink);
        free(found), free(sink);
        free_weight(&sinks);
        b->op->tensor_free(b, &q);
        b->op->tensor_free(b, &k);
        b->op->tensor_free(b, &v);
        b->op->tensor_free(b, &out);
    }
    return bytes_used;
}

static double silu_of(double x)
{
    return x / (1 + exp(-x));
}

static double gelu_of(double x)
{
    return x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

static size_t glu_of(struct ol_backend *b, const struct ol_glu_spec spec,
                     double (*of)(double x), void *bytes)
{
    struct ol_error err = {0};
    struct ol_tensor gate = random_tensor(b, 403, 83, 20),
                     up = random_tensor(b, 403, 83, 3);
    double *want = tensor_values(b, gate), *ups = tensor_values(b, up);
    for (size_t i = 0; i < count(gate); i++) {
        double value = of(want[i]);
        if (b->dtype == OL_DTYPE_BF16)
            value = (double)ol_bf16_round((float)value);
        want[i] = spec.alone ? value : value * ups[i];
    }
    OK(b->op->glu(b, &spec, gate, up, &err));
    double *found = tensor_values(b, gate);
    compare("glu", b->dtype, found, want, count(gate), 2);
    const size_t n = copy_out(b, gate, bytes);
    free(want), free(ups), free(found);
    b->op->tensor_free(b, &gate);
    b->op->tensor_free(b, &up);
    return n;
}

static size_t glu(struct ol_backend *b, void *bytes)
{
    return glu_of(b, (struct ol_glu_spec){.function = OL_GLU_SILU}, silu_of, bytes);
}

static size_t glu_gelu(struct ol_backend *b, void *bytes)
{
    return glu_of(b, (struct ol_glu_spec){.function = OL_GLU_GELU_TANH}, gelu_of, bytes);
}

static size_t silu_alone(struct ol_backend *b, void *bytes)
{
    return glu_of(b, (struct ol_glu_spec){.function = OL_GLU_SILU, .alone = true},
                  silu_of, bytes);
}

static size_t gelu_alone(struct ol_backend *b, void *bytes)
{
    return glu_of(b, (struct ol_glu_spec){.function = OL_GLU_GELU_TANH, .alone = true},
                  gelu_of, bytes);
}

static size_t layer_norm(struct ol_backend *b, void *bytes)
{
    enum { N = 37, D = 83 };
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, N, D, 20);
    struct ol_weight w = random_weight(OL_DTYPE_BF16, 1, D, 2),
                     shift = random_weight(OL_DTYPE_BF16, 1, D, 2);
    double *want = tensor_values(b, x);
    float ws[D], shifts[D];
    ol_weight_numbers(&w, ws);
    ol_weight_numbers(&shift, shifts);
    for (int i = 0; i < N; i++) {
        double *row = want + i * D, mean = 0, variance = 0;
        for (int c = 0; c < D; c++)
            mean += row[c] / D;
        for (int c = 0; c < D; c++)
            variance += (row[c] - mean) * (row[c] - mean) / D;
        for (int c = 0; c < D; c++)
            row[c] = (row[c] - mean) / sqrt(variance + 1e-3) * (double)ws[c] +
                     (double)shifts[c];
    }
    OK(b->op->layer_norm(b, 1e-3, x, w, shift, x, &err));
    double *found = tensor_values(b, x);
    compare("layer_norm", b->dtype, found, want, count(x), 1);
    const size_t n = copy_out(b, x, bytes);
    free(want), free(found), free_weight(&w), free_weight(&shift);
    b->op->tensor_free(b, &x);
    return n;
}

/* The bytes of a product of n rows by a weight, which it frees, are those of its rows in
 * pieces of each of these sizes. */
static size_t cut_into(struct ol_backend *b, int64_t n_rows, struct ol_weight w,
                       const int64_t *pieces, int n_pieces, void *bytes)
{
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, n_rows, w.n_cols, 2);
    struct ol_tensor whole = tensor(b, b->dtype, n_rows, w.n_rows),
                     cut = tensor(b, b->dtype, n_rows, w.n_rows);
    const struct ol_matmul all = {.x = x, .weight = w, .out = whole};
    OK(b->op->matmul(b, &all, 1, &err));
    const size_t size = count(whole) * ol_dtype_size(b->dtype);
    void *one = test_download(b, whole);
    for (int i = 0; i < n_pieces; i++) {
        OK(b->op->zero(b, cut, &err));
        for (int64_t first = 0, n; first < n_rows; first += n) {
            n = n_rows - first < pieces[i] ? n_rows - first : pieces[i];
            const struct ol_matmul part = {.x = ol_tensor_rows(x, first, n),
                                           .weight = w,
                                           .out = ol_tensor_rows(cut, first, n)};
            OK(b->op->matmul(b, &part, 1, &err));
        }
        void *many = test_download(b, cut);
        assert_memory_equal(one, many, size);
        free(many);
    }
    memcpy(bytes, one, 4096);
    free(one);
    free_weight(&w);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &whole);
    b->op->tensor_free(b, &cut);
    return 4096;
}

/* The same bytes whether rows come together or in pieces: of any size on the CPU, at
 * multiples of OL_PRODUCT_ROWS on a device. */
static size_t matmul_cut(struct ol_backend *b, void *bytes)
{
    static const int64_t pieces[] = {OL_PRODUCT_ROWS, 1021, 13, 1};
    const int n_pieces = strcmp(b->op->name, "cpu") == 0 ? 4 : 1;
    return cut_into(b, 2 * OL_PRODUCT_ROWS + 3, random_weight(OL_DTYPE_F32, 300, 261, 1),
                    pieces, n_pieces, bytes);
}

/* And in bf16 with few rows on a device too, as an expert has: its library goes one way
 * for a weight whatever their number, where it lies as it should. */
static size_t matmul_few(struct ol_backend *b, void *bytes)
{
    static const int64_t pieces[] = {300, 48, 13, 1};
    return cut_into(b, 700, random_weight(OL_DTYPE_BF16, 296, 264, 1), pieces,
                    b->dtype == OL_DTYPE_BF16 ? 4 : 0, bytes);
}

/* So many rows and columns that one thread takes more rows at a time than three do. */
static size_t matmul_many(struct ol_backend *b, void *bytes)
{
    static const int64_t pieces[] = {1021, 700};
    return cut_into(b, 2100, random_weight(OL_DTYPE_BF16, 1200, 41, 1), pieces,
                    strcmp(b->op->name, "cpu") == 0 ? 2 : 0, bytes);
}

/* Products of the same rows in one call, as those of a gate and an up: of weights that
 * need decoding or not, with outputs in either order, and numbers of rows that a device's
 * library takes several products of at once, or refuses. */
static size_t matmul_together(struct ol_backend *b, void *bytes)
{
    enum { N = 2 * OL_PRODUCT_ROWS + 5, K = 264, OUT = 72, WEIGHTS = 4 };
    static const int64_t rows[] = {36, 37, 38, N};
    struct ol_error err = {0};
    struct ol_weight w[WEIGHTS], bias[WEIGHTS];
    for (int i = 0; i < WEIGHTS; i++) {
        w[i] = random_weight(i < 2 ? OL_DTYPE_BF16 : OL_DTYPE_F32, OUT, K, 1);
        bias[i] = random_weight(OL_DTYPE_F32, 1, OUT, 1);
    }
    struct ol_tensor x = random_tensor(b, N, K, 2);
    struct ol_tensor all = tensor(b, b->dtype, WEIGHTS * N, OUT);
    const size_t size = count(all) * ol_dtype_size(b->dtype);
    for (int way = 0; way < 4 * 4; way++) {
        const int64_t n = rows[way / 4];
        const bool turned = way & 1, biased = way & 2;
        struct ol_matmul products[WEIGHTS];
        for (int i = 0; i < WEIGHTS; i++)
            products[i] = (struct ol_matmul){
                .x = ol_tensor_rows(x, 0, n),
                .weight = w[i],
                .bias = biased ? bias[i] : (struct ol_weight){0},
                .out = ol_tensor_rows(all, (turned ? WEIGHTS - 1 - i : i) * N, n),
                .block_rows = ol_product_block(n)};
        OK(b->op->zero(b, all, &err));
        OK(b->op->matmul(b, products, WEIGHTS, &err));
        void *together = test_download(b, all);
        OK(b->op->zero(b, all, &err));
        for (int i = 0; i < WEIGHTS; i++)
            OK(b->op->matmul(b, &products[i], 1, &err));
        void *alone = test_download(b, all);
        assert_memory_equal(together, alone, size);
        memcpy(bytes, alone, 4096);
        free(alone);
        free(together);
    }
    for (int i = 0; i < WEIGHTS; i++) {
        free_weight(&w[i]);
        free_weight(&bias[i]);
    }
    b->op->tensor_free(b, &all);
    b->op->tensor_free(b, &x);
    return 4096;
}

static size_t gate_means(struct ol_backend *b, struct ol_tensor gate, const double *gates,
                         void *bytes)
{
    enum { HEADS = 5 };
    struct ol_error err = {0};
    const int64_t d = gate.n_cols / HEADS;
    struct ol_tensor means = tensor(b, OL_DTYPE_F32, gate.n_rows, HEADS);
    double *want = ol_xcalloc(count(means), sizeof *want);
    for (size_t i = 0; i < count(gate); i++)
        want[(int64_t)i / d] += 1 / (1 + exp(-gates[i])) / (double)d;
    OK(b->op->gate_means(b, gate, means, &err));
    double *found = tensor_values(b, means);
    /* bf16: each gate is rounded, not their mean. */
    compare_within("gate_means", OL_DTYPE_F32, found, want, count(means), 4,
                   b->dtype == OL_DTYPE_BF16 ? 0x1p-9 : 0);
    const size_t n = copy_out(b, means, bytes);
    free(want), free(found);
    b->op->tensor_free(b, &means);
    return n;
}

static size_t gate(struct ol_backend *b, void *bytes)
{
    enum { N = 37, D = 45 };
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, N, D, 3);
    struct ol_tensor one = random_tensor(b, N, 1, 9), all = random_tensor(b, N, D, 9);
    double *want = tensor_values(b, x), *ones = tensor_values(b, one),
           *alls = tensor_values(b, all);
    for (int i = 0; i < N * D; i++)
        want[i] *= 1 / (1 + exp(-ones[i / D])) * 1 / (1 + exp(-alls[i])) * alls[i] /
                   (1 + exp(-alls[i]));
    OK(b->op->gate(b, OL_GATE_SIGMOID, x, one, &err));
    OK(b->op->gate(b, OL_GATE_SIGMOID, x, all, &err));
    OK(b->op->gate(b, OL_GATE_SILU, x, all, &err));
    double *found = tensor_values(b, x);
    compare("gate", b->dtype, found, want, N * D, 4);
    size_t n = copy_out(b, x, bytes);
    n += gate_means(b, all, alls, (char *)bytes + n);
    free(want), free(ones), free(alls), free(found);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &one);
    b->op->tensor_free(b, &all);
    return n;
}

static size_t nll_of(struct ol_backend *b, double cap, void *bytes)
{
    enum { N = 263, V = 1031, D = 41 };
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, N, D, 3);
    struct ol_weight w = random_weight(OL_DTYPE_BF16, V, D, 2);
    int32_t targets[N];
    float found[N];
    for (int i = 0; i < N; i++)
        targets[i] = i == 0 ? V - 1 : i == 9 ? -1 : (i * 37) % V;
    OK(b->op->nll(b, x, w, cap, targets, found, &err));
    double *logits = ol_xcalloc(N * V, sizeof *logits);
    product_of(b, (struct ol_matmul){.x = x, .weight = w}, logits);
    for (int i = 0; cap > 0 && i < N * V; i++)
        logits[i] = cap * tanh(logits[i] / cap);
    for (int i = 0; i < N; i++) {
        double top = -INFINITY, total = 0;
        for (int v = 0; v < V; v++)
            top = logits[i * V + v] > top ? logits[i * V + v] : top;
        for (int v = 0; v < V; v++)
            total += exp(logits[i * V + v] - top);
        if (targets[i] < 0) {
            assert_true(isnan(found[i]));
            continue;
        }
        const double want = top + log(total) - logits[i * V + targets[i]];
        const double allowed = b->dtype == OL_DTYPE_BF16 ? 0.3 : 1e-4;
        if (!(fabs((double)found[i] - want) < allowed))
            fail_msg("nll[%d] is %g, expected %g", i, (double)found[i], want);
    }
    memcpy(bytes, found, sizeof found);
    free(logits), free_weight(&w);
    b->op->tensor_free(b, &x);
    return sizeof found;
}

static size_t nll(struct ol_backend *b, void *bytes)
{
    return nll_of(b, 0, bytes);
}

static size_t nll_capped(struct ol_backend *b, void *bytes)
{
    return nll_of(b, 7, bytes);
}

static const struct operation operations[] = {
    {"embed", embed},
    {"norm", norm},
    {"matmul", matmul},
    {"clip, add, add_sum", clip_and_add},
    {"rope", rope},
    {"rope, rounded once", rope_once},
    {"attention", attention},
    {"glu", glu},
    {"glu with gelu", glu_gelu},
    {"silu alone", silu_alone},
    {"gelu alone", gelu_alone},
    {"layer_norm", layer_norm},
    {"matmul, cut", matmul_cut},
    {"matmul, few rows", matmul_few},
    {"matmul, many rows", matmul_many},
    {"matmul, together", matmul_together},
    {"gate", gate},
    {"nll", nll},
    {"nll of capped logits", nll_capped},
};

int main(void)
{
    return run_operations(operations, sizeof operations / sizeof operations[0]);
}
