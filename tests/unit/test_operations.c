/* Every operation of every backend against a plain loop in double precision: odd sizes
 * that end inside tiles, both precisions, and the same bytes whatever the number of
 * threads, or the time at which a simulated device does its work. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "extract/backend.h"
#include "extract/model/rope_table.h"
#include "tests/unit/backends.h"

/* ---- numbers, tensors, comparison ---- */

static uint64_t seed;

static float uniform(void) /* [-1, 1) */
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(int64_t)(seed >> 11) * 0x1p-52 - 1);
}

static struct ol_tensor tensor(struct ol_backend *b, enum ol_dtype dtype, int64_t n_rows,
                               int64_t n_cols)
{
    struct ol_error err = {0};
    struct ol_tensor t;
    assert_int_equal(b->op->tensor_new(b, dtype, n_rows, n_cols, &t, &err), 0);
    return t;
}

static size_t count(struct ol_tensor t)
{
    return (size_t)(t.n_rows * t.n_cols);
}

static struct ol_tensor random_tensor(struct ol_backend *b, int64_t n_rows,
                                      int64_t n_cols, float scale)
{
    struct ol_tensor t = tensor(b, b->dtype, n_rows, n_cols);
    float *x = ol_xcalloc(count(t), sizeof *x);
    for (size_t i = 0; i < count(t); i++)
        x[i] = scale * uniform();
    test_upload(b, t, x);
    free(x);
    return t;
}

/* Values as double, [n_rows * n_cols]; the caller frees. */
static double *values(enum ol_dtype dtype, const void *data, size_t n)
{
    double *v = ol_xcalloc(n, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        float x;
        ol_to_f32(dtype, (const char *)data + i * ol_dtype_size(dtype), &x, 1);
        v[i] = (double)x;
    }
    return v;
}

static double *tensor_values(struct ol_backend *b, struct ol_tensor t)
{
    void *data = test_download(b, t);
    double *v = values(t.dtype, data, count(t));
    free(data);
    return v;
}

static struct ol_weight random_weight(enum ol_dtype dtype, int64_t n_rows, int64_t n_cols,
                                      float scale)
{
    const size_t n = (size_t)(n_rows * n_cols);
    char *data = ol_xcalloc(n, ol_dtype_size(dtype));
    for (size_t i = 0; i < n; i++) {
        const float x = scale * uniform();
        if (dtype == OL_DTYPE_F16) {
            /* 1.xxx * 2^-k in half precision, of either sign. */
            const uint16_t bits = (uint16_t)((seed >> 40 & 0x83ff) | 0x3000);
            memcpy(data + 2 * i, &bits, 2);
        } else {
            ol_from_f32(dtype, &x, data + i * ol_dtype_size(dtype), 1);
        }
    }
    return ol_weight_plain(data, dtype, n_rows, n_cols);
}

static void free_weight(struct ol_weight *w)
{
    free((void *)(uintptr_t)w->data);
}

/* As near as one rounding to the type (and float sums of k terms) allow, or `more`. */
static void compare_within(const char *what, enum ol_dtype dtype, const double *found,
                           const double *expected, size_t n, double slack, double more)
{
    double top = 0;
    for (size_t i = 0; i < n; i++)
        top = fabs(expected[i]) > top ? fabs(expected[i]) : top;
    for (size_t i = 0; i < n; i++) {
        const double unit = dtype == OL_DTYPE_BF16 ? 0x1p-8 : 0x1p-22;
        const double allowed = slack * (unit * fabs(expected[i]) + 2e-6 * top) + more;
        if (!(fabs(found[i] - expected[i]) <= allowed))
            fail_msg("%s: value %zu is %.9g, expected %.9g +- %.2g", what, i, found[i],
                     expected[i], allowed);
    }
}

static void compare(const char *what, enum ol_dtype dtype, const double *found,
                    const double *expected, size_t n, double slack)
{
    compare_within(what, dtype, found, expected, n, slack, 0);
}

/* Run a test for both precisions in every way, and compare bytes. */
typedef size_t run_function(struct ol_backend *b, void *bytes);

enum { MAX_BYTES = 1 << 23 };

static void all_ways(run_function *run, enum test_backend kind)
{
    char *first = ol_xcalloc(MAX_BYTES, 1), *other = ol_xcalloc(MAX_BYTES, 1);
    for (int f32 = 0; f32 < 2; f32++) {
        size_t n = 0;
        for (int way = 0; way < TEST_WAYS; way++) {
            struct ol_backend *b =
                test_backend_open(kind, f32 ? OL_DTYPE_F32 : OL_DTYPE_BF16, way);
            seed = 7;
            const size_t found = run(b, way == 0 ? first : other);
            test_backend_close(b);
            assert_true(found > 0 && found <= MAX_BYTES);
            if (way == 0)
                n = found;
            assert_int_equal(found, n);
            if (way > 0)
                assert_memory_equal(first, other, n);
        }
    }
    free(first);
    free(other);
}

static size_t copy_out(struct ol_backend *b, struct ol_tensor t, void *bytes)
{
    const size_t n = count(t) * ol_dtype_size(t.dtype);
    void *data = test_download(b, t);
    memcpy(bytes, data, n);
    free(data);
    return n;
}

#define OK(call) assert_int_equal(call, 0)

/* ---- operations ---- */

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
    struct ol_rope_table table = {N + 4, ROTARY,
                                  tensor(b, OL_DTYPE_F32, N + 4, ROTARY / 2),
                                  tensor(b, OL_DTYPE_F32, N + 4, ROTARY / 2)};
    static float cosines[(N + 4) * ROTARY / 2], sines[(N + 4) * ROTARY / 2];
    ol_rope_fill(&spec, N + 4, cosines, sines);
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
    OK(b->op->route(b, &router, x, w, none, none, ids[0][0], weights[0][0], &err));
    router.renormalize = true;
    OK(b->op->route(b, &router, x, w, none, none, ids[1][0], weights[1][0], &err));
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
    OK(b->op->route(b, &router, x, w, none, correction, ids[0][0], weights[0][0], &err));
    router.renormalize = true;
    OK(b->op->route(b, &router, x, w, none, correction, ids[1][0], weights[1][0], &err));
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
    OK(b->op->route(b, &router, x, w, none, correction, ids[0][0], weights[0][0], &err));
    router.n_group = 3;
    router.topk_group = 1;
    router.group_best = 2;
    router.renormalize = false;
    OK(b->op->route(b, &router, x, w, none, none, ids[1][0], weights[1][0], &err));
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

/* The same bytes whether rows come together or in pieces: of any size on the CPU, at
 * multiples of OL_PRODUCT_ROWS on a device. */
static size_t matmul_cut(struct ol_backend *b, void *bytes)
{
    enum { N = 2 * OL_PRODUCT_ROWS + 3, K = 261, OUT = 300 };
    static const int64_t pieces[] = {OL_PRODUCT_ROWS, 1021, 13, 1};
    const int n_pieces = strcmp(b->op->name, "cpu") == 0 ? 4 : 1;
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, N, K, 2);
    struct ol_tensor whole = tensor(b, b->dtype, N, OUT),
                     cut = tensor(b, b->dtype, N, OUT);
    struct ol_weight w = random_weight(OL_DTYPE_F32, OUT, K, 1);
    const struct ol_matmul all = {.x = x, .weight = w, .out = whole};
    OK(b->op->matmul(b, &all, 1, &err));
    const size_t size = count(whole) * ol_dtype_size(b->dtype);
    void *one = test_download(b, whole);
    for (int i = 0; i < n_pieces; i++) {
        OK(b->op->zero(b, cut, &err));
        for (int64_t first = 0, n; first < N; first += n) {
            n = N - first < pieces[i] ? N - first : pieces[i];
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
    OK(b->op->route(b, &router, x, w, bias, none, ids[0], weights[0], &err));
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

/* The k largest of a row by a loop: magnitudes falling, NaN first, columns rising. */
static void expect_largest(const double *x, int d, int k, const uint16_t *columns,
                           const float *values)
{
    uint8_t *taken = ol_xcalloc((size_t)d, 1);
    for (int i = 0; i < k; i++) {
        int best = -1;
        for (int c = 0; c < d; c++)
            if (!taken[c] && (best < 0 || (isnan(x[c]) && !isnan(x[best])) ||
                              fabs(x[c]) > fabs(x[best])))
                best = c;
        assert_int_equal(columns[i], best < 0 ? OL_NO_COLUMN : best);
        if (best < 0)
            assert_true(values[i] == 0);
        else if (isnan(x[best]))
            assert_true(isnan(values[i]));
        else
            assert_true((double)values[i] == x[best]);
        if (best >= 0)
            taken[best] = 1;
    }
    free(taken);
}

static size_t look(struct ol_backend *b, int n_rows, int n_cols, int k, char *bytes)
{
    struct ol_error err = {0};
    const size_t n = (size_t)(n_rows * k), values_n = (size_t)(n_rows * n_cols);
    float *input = ol_xcalloc(values_n, sizeof *input);
    for (size_t i = 0; i < values_n; i++)
        input[i] = roundf(40 * uniform()) / 8; /* with ties, and zeros of either sign */
    if (n_rows > 3 && n_cols > 3) {
        input[n_cols + 2] = NAN;
        input[2 * n_cols + 3] = -INFINITY;
        input[2 * n_cols + 1] = INFINITY;
        memset(input + 3 * n_cols, 0, (size_t)n_cols * sizeof *input);
    }
    struct ol_tensor x = tensor(b, b->dtype, n_rows, n_cols);
    test_upload(b, x, input);
    double *xs = tensor_values(b, x);
    uint16_t *columns = ol_xcalloc(n, sizeof *columns);
    float *values = ol_xcalloc(n, sizeof *values),
          *picked = ol_xcalloc(n, sizeof *picked);
    OK(b->op->largest(b, x, k, columns, values, &err));
    for (int i = 0; i < n_rows; i++)
        expect_largest(xs + i * n_cols, n_cols, k, columns + i * k, values + i * k);
    OK(b->op->pick(b, x, k, columns, picked, &err));
    assert_memory_equal(picked, values, n * sizeof *values);
    for (size_t i = 0; i < n; i++)
        columns[i] = (uint16_t)((i * 31 + 5) % (size_t)n_cols);
    OK(b->op->pick(b, x, k, columns, picked, &err));
    for (size_t i = 0; i < n; i++) {
        const double want = xs[i / (size_t)k * (size_t)n_cols + columns[i]];
        assert_true((double)picked[i] == want || isnan(want));
    }
    memcpy(bytes, values, n * sizeof *values);
    free(input), free(xs), free(columns), free(values), free(picked);
    b->op->tensor_free(b, &x);
    return n * sizeof *values;
}

static size_t set(struct ol_backend *b, int n_rows, int n_cols, int k, char *bytes)
{
    struct ol_error err = {0};
    const size_t n = (size_t)(n_rows * n_cols);
    float *input = ol_xcalloc(n, sizeof *input), *values = ol_xcalloc((size_t)k, 4);
    uint16_t *columns = ol_xcalloc((size_t)k, sizeof *columns);
    for (size_t i = 0; i < n; i++)
        input[i] = (float)uniform();
    for (int c = 0; c < k; c++) {
        columns[c] = (uint16_t)((c * 7 + n_cols - 1) % n_cols); /* the last one too */
        values[c] = c % 3 == 0 ? 0 : 1000.3f * (float)uniform();
    }
    struct ol_tensor x = tensor(b, b->dtype, n_rows, n_cols);
    test_upload(b, x, input);
    double *before = tensor_values(b, x);
    OK(b->op->set_columns(b, x, k, columns, values, &err));
    double *after = tensor_values(b, x);
    for (int c = 0; c < k; c++)
        for (int i = 0; i < n_rows; i++)
            before[i * n_cols + columns[c]] =
                b->dtype == OL_DTYPE_F32
                    ? (double)values[c]
                    : (double)ol_bf16_to_f32(ol_bf16_from_f32(values[c]));
    assert_memory_equal(after, before, n * sizeof *after);
    memcpy(bytes, after, n * sizeof *after);
    free(input), free(values), free(columns), free(before), free(after);
    b->op->tensor_free(b, &x);
    return n * sizeof *after;
}

static size_t set_columns(struct ol_backend *b, void *bytes)
{
    char *at = bytes;
    size_t n = set(b, 1, 1, 1, at);
    n += set(b, 5, 13, 4, at + n);
    n += set(b, 67, 130, 19, at + n);
    return n;
}

static size_t largest_and_pick(struct ol_backend *b, void *bytes)
{
    char *at = bytes;
    at += look(b, 37, 301, 4, at);
    at += look(b, 9, 64, 8, at);
    at +=
        look(b, 7, 520, 16, at); /* the zeros of a row: of one lane more than it keeps */
    at += look(b, 130, 65, 1, at);
    at += look(b, 5, 3, 4, at);
    at += look(b, 1, 1, 16, at);
    return (size_t)(at - (char *)bytes);
}

static size_t add_squares(struct ol_backend *b, void *bytes)
{
    enum { N = 37, D = 301 };
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, N, D, 3);
    double *xs = tensor_values(b, x), sums[D], want[D];
    for (int c = 0; c < D; c++) {
        sums[c] = want[c] = 1 + c;
        for (int i = 0; i < N; i++)
            want[c] += xs[i * D + c] * xs[i * D + c];
    }
    /* In pieces as at once: the order is that of the rows. */
    OK(b->op->add_squares(b, ol_tensor_rows(x, 0, 5), sums, &err));
    OK(b->op->add_squares(b, ol_tensor_rows(x, 5, N - 5), sums, &err));
    assert_memory_equal(sums, want, sizeof sums);
    memcpy(bytes, sums, sizeof sums);
    free(xs);
    b->op->tensor_free(b, &x);
    return sizeof sums;
}

/* Heads of one value, and of more than a warp has. */
static size_t moments_of_heads(struct ol_backend *b, int n_heads, int d, char *bytes)
{
    enum { N = 19 };
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, N, n_heads * d, 3),
                     made = tensor(b, OL_DTYPE_F32, N, n_heads * OL_N_HEAD_MOMENTS);
    double *xs = tensor_values(b, x), *want = ol_xcalloc(count(made), sizeof *want);
    for (int i = 0; i < N * n_heads; i++) {
        double *to = want + i * OL_N_HEAD_MOMENTS;
        to[OL_MOMENT_LARGEST] = (double)-INFINITY;
        to[OL_MOMENT_SMALLEST] = (double)INFINITY;
        for (int c = 0; c < d; c++) {
            const double value = xs[i * d + c];
            to[OL_MOMENT_SQUARES] += value * value;
            to[OL_MOMENT_LARGEST] = fmax(to[OL_MOMENT_LARGEST], value);
            to[OL_MOMENT_SMALLEST] = fmin(to[OL_MOMENT_SMALLEST], value);
        }
    }
    OK(b->op->head_moments(b, ol_tensor_rows(x, 0, 5), ol_tensor_rows(made, 0, 5), &err));
    OK(b->op->head_moments(b, ol_tensor_rows(x, 5, N - 5), ol_tensor_rows(made, 5, N - 5),
                           &err));
    double *found = tensor_values(b, made);
    for (size_t i = 0; i < count(made); i++)
        if (i % OL_N_HEAD_MOMENTS == OL_MOMENT_SQUARES)
            assert_true(fabs(found[i] - want[i]) <= 1e-5 * want[i]);
        else
            assert_true(found[i] == want[i]);
    const size_t n = copy_out(b, made, bytes);
    free(xs), free(want), free(found);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &made);
    return n;
}

static size_t head_moments(struct ol_backend *b, void *bytes)
{
    char *at = bytes;
    at += moments_of_heads(b, 5, 45, at);
    at += moments_of_heads(b, 1, 301, at);
    at += moments_of_heads(b, 7, 1, at);
    return (size_t)(at - (char *)bytes);
}

/* What a plain loop makes of rows first .. end - 1 of xs [n, d]. */
static void moments_of(const double *xs, int d, int64_t first, int64_t end,
                       struct ol_down_moments *m)
{
    enum { LANES = 32 };
    for (int64_t i = first; i < end; i++) {
        for (int power = 1; power <= OL_DOWN_POWERS; power++) {
            double lanes[LANES] = {0};
            for (int c = 0; c < d; c++) {
                double product = 1; /* exact: of four times 8 bits at most */
                for (int k = 0; k < power; k++)
                    product *= xs[i * d + c];
                lanes[c % LANES] += product;
            }
            for (int half = LANES / 2; half > 0; half /= 2)
                for (int l = 0; l < half; l++)
                    lanes[l] += lanes[l + half];
            ol_exact_sum_add(&m->sums[power - 1], lanes[0]);
        }
        for (int c = 0; c < d; c++) {
            m->largest = fmaxf(m->largest, (float)xs[i * d + c]);
            m->smallest = fminf(m->smallest, (float)xs[i * d + c]);
        }
    }
}

static void same_moments(const struct ol_down_moments *found,
                         const struct ol_down_moments *want)
{
    for (int k = 0; k < OL_DOWN_POWERS; k++) {
        const double have = ol_exact_sum_value(&found->sums[k]),
                     wants = ol_exact_sum_value(&want->sums[k]);
        assert_true(have == wants || (isnan(have) && isnan(wants)));
    }
    assert_true(found->largest == want->largest && found->smallest == want->smallest);
}

/* Three components with rows 0 .. 6, none, and from 9 on, which come in two parts; those
 * between are of nobody. Values of very different sizes, so that the order of a sum
 * shows; the first component has one that is not finite. */
static size_t down_tables(struct ol_backend *b, void *bytes)
{
    enum { N = 183, D = 301, KEPT = 4 };
    const struct ol_down_sizes most = {5, 5 * D, 9 * D}, sizes = {3, 3 * D, KEPT * D};
    const int components[] = {2, 0, 1};
    const int64_t firsts[2][3] = {{0, 7, 9}, {0, 0, 0}},
                  ends[2][3] = {{7, 7, 90}, {0, 0, N - 90}}, places[] = {2 * D, 0, D};
    const int64_t kept[2][KEPT] = {{0, 89, 9, 8}, {3, 92, 0, 0}},
                  codes_at[2][KEPT] = {{0, D, 2 * D, 3 * D}, {D, 3 * D, 0, 0}};
    const int n_kept[2] = {4, 2}, rows[KEPT] = {0, 93, 9, 182};
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, N, D, 3);
    double *xs = tensor_values(b, x);
    float *infinite = ol_xcalloc(N * D, sizeof *infinite);
    for (int i = 0; i < N * D; i++)
        infinite[i] = (float)(xs[i] * (i % 7 == 0 ? 0x1p40 : i % 5 == 0 ? 0x1p-40 : 1));
    infinite[3 * D + 5] = -INFINITY;
    test_upload(b, x, infinite);
    free(infinite);
    free(xs);
    xs = tensor_values(b, x);
    for (int i = 0; i < N * D; i++)
        xs[i] = (double)ol_bf16_round((float)xs[i]);
    struct ol_down_tables *t = b->op->down_new(b, &most, &err);
    struct ol_down_moments moments[3], want[3] = {0};
    uint16_t maxima[3 * D], codes[KEPT * D];
    const struct ol_down_made made = {moments, maxima, codes};
    for (int again = 0; again < 2; again++) { /* a layer leaves nothing behind */
        OK(b->op->down_begin(b, t, &sizes, &err));
        for (int part = 0; part < 2; part++) {
            const struct ol_component_rows of = {.n = 3,
                                                 .components = components,
                                                 .firsts = firsts[part],
                                                 .ends = ends[part]};
            const struct ol_down_seen seen = {&of, places, n_kept[part], kept[part],
                                              codes_at[part]};
            OK(b->op->down_see(
                b, t, &seen,
                ol_tensor_rows(x, part == 0 ? 0 : 90, part == 0 ? 90 : N - 90), &err));
        }
        OK(b->op->down_take(b, t, &made, &err));
    }
    for (int i = 0; i < 3; i++) {
        want[i].largest = -INFINITY;
        want[i].smallest = INFINITY;
    }
    moments_of(xs, D, 0, 7, &want[2]);
    moments_of(xs, D, 9, N, &want[1]);
    for (int i = 0; i < 3; i++)
        same_moments(&moments[i], &want[i]);
    assert_true(isnan(ol_exact_sum_value(&moments[2].sums[3])));
    for (int c = 0; c < D; c++) {
        double first = 0, last = 0;
        for (int i = 0; i < N; i++)
            if (i < 7)
                first = fmax(first, fabs(xs[i * D + c]));
            else if (i >= 9)
                last = fmax(last, fabs(xs[i * D + c]));
        assert_true((double)ol_bf16_to_f32(maxima[2 * D + c]) == first);
        assert_true((double)ol_bf16_to_f32(maxima[D + c]) == last);
        assert_int_equal(maxima[c], 0);
        for (int i = 0; i < KEPT; i++)
            assert_true((double)ol_bf16_to_f32(codes[i * D + c]) == xs[rows[i] * D + c]);
    }
    b->op->down_free(b, t);
    free(xs);
    b->op->tensor_free(b, &x);
    memcpy(bytes, maxima, sizeof maxima);
    memcpy((char *)bytes + sizeof maxima, codes, sizeof codes);
    return sizeof maxima + sizeof codes;
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

static const struct {
    const char *name;
    run_function *run;
} operations[] = {
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
    {"route", route},
    {"route, sigmoid", route_sigmoid},
    {"route, scores", route_scores},
    {"matmul, cut", matmul_cut},
    {"route, input", route_input},
    {"gate", gate},
    {"permute, gather, scatter_add", experts},
    {"largest, pick", largest_and_pick},
    {"set_columns", set_columns},
    {"add_squares", add_squares},
    {"head_moments", head_moments},
    {"down_see, down_take", down_tables},
    {"nll", nll},
    {"nll of capped logits", nll_capped},
};

static void on_cpu(void **state)
{
    all_ways(operations[*(size_t *)*state].run, TEST_CPU);
}

static void on_cuda(void **state)
{
    all_ways(operations[*(size_t *)*state].run, TEST_CUDA);
}

int main(void)
{
    enum { N = sizeof operations / sizeof operations[0] };
    struct CMUnitTest tests[2 * N];
    char names[2 * N][64];
    size_t numbers[N];
    for (size_t i = 0; i < N; i++) {
        numbers[i] = i;
        snprintf(names[2 * i], 64, "cpu: %s", operations[i].name);
        snprintf(names[2 * i + 1], 64, "cuda: %s", operations[i].name);
        tests[2 * i] = (struct CMUnitTest){names[2 * i], on_cpu, NULL, NULL, &numbers[i]};
        tests[2 * i + 1] =
            (struct CMUnitTest){names[2 * i + 1], on_cuda, NULL, NULL, &numbers[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
