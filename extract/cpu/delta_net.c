/* delta_net: the gated delta rule of one sequence, a chunk of tokens at a time
 * (arXiv 2406.06484, with the decay of arXiv 2412.06464).
 *
 * With G[i] the sum of a chunk's log decays up to token i, S the state before the chunk
 * and (I + L) the lower triangle L[i][j] = beta[i] k[i].k[j] exp(G[i] - G[j]), j < i:
 *
 *     U   = (I + L)^-1 beta v
 *     W   = (I + L)^-1 beta exp(G) k
 *     D   = U - W S                         what the chunk writes
 *     out = exp(G) q S + (q k^T exp(G[i] - G[j]), j <= i) D
 *     S   = exp(G[last]) S + (exp(G[last] - G) k)^T D
 *
 * Everything between is a product of small matrices. One task = one value head. */
#include "extract/cpu/chunk.h"

#include <math.h>
#include <stdlib.h>

#include "common/real_math.h"

struct job {
    struct ol_cpu *cpu;
    const struct ol_delta_net_args *args;
    const float *dt_bias, *rate; /* [value heads], rate = exp(a_log) */
};

/* Scratch of a task, dk = key_dim, dv = value_dim. */
struct chunk {
    float *state;   /* [dk, dv] */
    float *q, *k;   /* [OL_CHUNK, dk] */
    float *turned;  /* [dk, OL_CHUNK] keys with what is left of them at the end */
    float *value;   /* [OL_CHUNK, dv]: v, then U, then D */
    float *weight;  /* [OL_CHUNK, dk]: W */
    float *out;     /* [OL_CHUNK, dv] */
    float *product; /* [OL_CHUNK, OL_CHUNK] */
    float *packed;  /* what products need */
    float beta[OL_CHUNK];
    double decay[OL_CHUNK]; /* G */
};

static struct chunk carve(float *at, int64_t dk, int64_t dv)
{
    struct chunk c;
    c.state = at;
    c.q = c.state + dk * dv;
    c.k = c.q + OL_CHUNK * dk;
    c.turned = c.k + OL_CHUNK * dk;
    c.weight = c.turned + OL_CHUNK * dk;
    c.value = c.weight + OL_CHUNK * dk;
    c.out = c.value + OL_CHUNK * dv;
    c.product = c.out + OL_CHUNK * dv;
    c.packed = c.product + OL_CHUNK * OL_CHUNK;
    return c;
}

static size_t chunk_floats(int64_t dk, int64_t dv)
{
    /* Of products in float, which do not ask for more when they are larger. */
    return (size_t)(dk * dv + OL_CHUNK * (4 * dk + 2 * dv + OL_CHUNK)) +
           ol_gemm_scratch(dv, dk);
}

static float load_one(struct ol_tensor t, int64_t row, int64_t col)
{
    float x;
    ol_to_f32(t.dtype,
              (const char *)ol_cpu_row(t, row) + (size_t)col * ol_dtype_size(t.dtype), &x,
              1);
    return x;
}

/* Each row divided by its length, times scale. */
static void make_unit(float *x, int64_t n, int64_t width, float scale)
{
    for (int64_t i = 0; i < n; i++, x += width) {
        double squares = 0;
        for (int64_t c = 0; c < width; c++)
            squares += (double)x[c] * (double)x[c];
        const float r = 1 / sqrtf((float)squares + 1e-6f);
        for (int64_t c = 0; c < width; c++)
            x[c] = x[c] * r * scale;
    }
}

static inline float exponential(float x)
{
    return (float)ol_real_exp((double)x);
}

/* Linear from 20 on, as the reference's. */
static double softplus(double x)
{
    return x > 20 ? x : ol_real_log1p(ol_real_exp(x));
}

static void load_chunk(const struct job *j, struct chunk *c, int64_t head, int64_t first,
                       int64_t n)
{
    const struct ol_delta_net_spec *s = &j->args->spec;
    const int64_t dk = s->key_dim, dv = s->value_dim;
    const int64_t key_head = head / (s->n_value_heads / s->n_key_heads);
    const int64_t keys = (int64_t)s->n_key_heads * dk;
    const enum ol_dtype dtype = j->args->mixed.dtype;
    ol_chunk_load(j->args->mixed, first, n, key_head * dk, dk, c->q);
    ol_chunk_load(j->args->mixed, first, n, keys + key_head * dk, dk, c->k);
    ol_chunk_load(j->args->mixed, first, n, 2 * keys + head * dv, dv, c->value);
    make_unit(c->q, n, dk, 1 / sqrtf((float)dk));
    make_unit(c->k, n, dk, 1);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double beta = (double)load_one(j->args->beta, first + i, head);
        const double a = (double)load_one(j->args->decay, first + i, head);
        c->beta[i] = ol_cpu_round(dtype, (float)(1 / (1 + ol_real_exp(-beta))));
        sum -= (double)j->rate[head] * softplus(a + (double)j->dt_bias[head]);
        c->decay[i] = sum;
    }
}

/* c->product = x k^T; then the part at and below the diagonal times exp(G[i] - G[j]),
 * zero above. */
static void decayed_products(struct chunk *c, const float *x, int64_t n, int64_t dk)
{
    ol_chunk_square(x, c->k, n, dk, c->product, c->packed);
    for (int64_t i = 0; i < n; i++) {
        float *row = c->product + i * OL_CHUNK;
        for (int64_t k = 0; k <= i; k++)
            row[k] *= exponential((float)(c->decay[i] - c->decay[k]));
        for (int64_t k = i + 1; k < n; k++)
            row[k] = 0;
    }
}

/* x = (I + L)^-1 x row by row, x [n, width]; L is beta[i] times what lies below the
 * diagonal of c->product. */
static void solve(const struct chunk *c, float *x, int64_t n, int64_t width)
{
    for (int64_t i = 1; i < n; i++) {
        float *row = x + i * width;
        for (int64_t k = 0; k < i; k++) {
            const float factor = c->beta[i] * c->product[i * OL_CHUNK + k];
            const float *above = x + k * width;
            for (int64_t w = 0; w < width; w++)
                row[w] -= factor * above[w];
        }
    }
}

static void run_chunk(struct chunk *c, int64_t n, int64_t dk, int64_t dv)
{
    /* U and W. */
    decayed_products(c, c->k, n, dk);
    for (int64_t i = 0; i < n; i++) {
        const float kept = c->beta[i] * exponential((float)c->decay[i]);
        for (int64_t w = 0; w < dv; w++)
            c->value[i * dv + w] *= c->beta[i];
        for (int64_t w = 0; w < dk; w++)
            c->weight[i * dk + w] = kept * c->k[i * dk + w];
    }
    solve(c, c->value, n, dv);
    solve(c, c->weight, n, dk);
    /* D, in place of U. */
    ol_chunk_multiply((struct ol_gemm){.m = n,
                                       .n = dv,
                                       .k = dk,
                                       .a = c->weight,
                                       .lda = dk,
                                       .b = c->state,
                                       .c = c->out},
                      c->packed);
    for (int64_t i = 0; i < n * dv; i++)
        c->value[i] -= c->out[i];
    /* out */
    decayed_products(c, c->q, n, dk);
    for (int64_t i = 0; i < n; i++) {
        const float kept = exponential((float)c->decay[i]);
        for (int64_t w = 0; w < dk; w++)
            c->q[i * dk + w] *= kept;
    }
    ol_chunk_multiply(
        (struct ol_gemm){
            .m = n, .n = dv, .k = dk, .a = c->q, .lda = dk, .b = c->state, .c = c->out},
        c->packed);
    ol_chunk_multiply((struct ol_gemm){.m = n,
                                       .n = dv,
                                       .k = n,
                                       .a = c->product,
                                       .lda = OL_CHUNK,
                                       .b = c->value,
                                       .beta = 1,
                                       .c = c->out},
                      c->packed);
    /* S */
    const double end = c->decay[n - 1];
    for (int64_t i = 0; i < n; i++) {
        const float left = exponential((float)(end - c->decay[i]));
        for (int64_t w = 0; w < dk; w++)
            c->turned[w * OL_CHUNK + i] = left * c->k[i * dk + w];
    }
    ol_chunk_multiply((struct ol_gemm){.m = dk,
                                       .n = dv,
                                       .k = n,
                                       .a = c->turned,
                                       .lda = OL_CHUNK,
                                       .b = c->value,
                                       .beta = exponential((float)end),
                                       .c = c->state},
                      c->packed);
}

static void task(void *arg, int64_t head, int thread)
{
    const struct job *j = arg;
    const int64_t dk = j->args->spec.key_dim, dv = j->args->spec.value_dim;
    const struct ol_tensor out = j->args->out;
    struct chunk c = carve(ol_cpu_scratch(j->cpu, thread, chunk_floats(dk, dv)), dk, dv);
    for (int64_t i = 0; i < dk * dv; i++)
        c.state[i] = 0;
    for (int64_t first = 0; first < out.n_rows; first += OL_CHUNK) {
        const int64_t left = out.n_rows - first, n = left < OL_CHUNK ? left : OL_CHUNK;
        load_chunk(j, &c, head, first, n);
        run_chunk(&c, n, dk, dv);
        for (int64_t i = 0; i < n; i++)
            ol_from_f32(out.dtype, c.out + i * dv,
                        (char *)ol_cpu_row(out, first + i) +
                            (size_t)(head * dv) * ol_dtype_size(out.dtype),
                        (size_t)dv);
    }
}

int ol_cpu_delta_net(struct ol_backend *b, const struct ol_delta_net_args *args,
                     struct ol_error *err)
{
    (void)err;
    const int n = args->spec.n_value_heads;
    float *dt_bias = ol_xcalloc((size_t)n, sizeof *dt_bias);
    float *rate = ol_xcalloc((size_t)n, sizeof *rate);
    ol_cpu_decode_rounded(&args->dt_bias, b->dtype, 0, 1, dt_bias);
    ol_cpu_decode_rounded(&args->a_log, b->dtype, 0, 1, rate);
    for (int h = 0; h < n; h++)
        rate[h] = exponential(rate[h]);
    struct job job = {ol_cpu_of(b), args, dt_bias, rate};
    ol_pool_run(job.cpu->pool, n, task, &job);
    free(rate);
    free(dt_bias);
    return 0;
}
