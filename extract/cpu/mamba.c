/* mamba: Mamba-2's state space of one sequence, a chunk of tokens at a time (the state
 * space dual form of arXiv 2405.21060, section 6).
 *
 * With step the time that a token takes, G[i] the sum of a chunk's step * a up to token
 * i, and S [state_dim, head_dim] the state before the chunk:
 *
 *     out = exp(G) C S + (C B^T exp(G[i] - G[j]) step[j], j <= i) x + skip x
 *     S   = exp(G[last]) S + (exp(G[last] - G) step B)^T x
 *
 * Everything is a product of small matrices. One task = one head. */
#include "extract/cpu/chunk.h"

#include <stdlib.h>

#include "common/real_math.h"

#include "extract/cpu/vector_math.h"

struct job {
    struct ol_cpu *cpu;
    const struct ol_mamba_args *args;
    const float *dt_bias, *a, *skip; /* [heads], a = -exp(a_log) */
};

/* Scratch of a task, p = head_dim. */
struct chunk {
    float *state;   /* [state_dim, p] */
    float *b, *c;   /* [OL_CHUNK, state_dim] */
    float *turned;  /* [state_dim, OL_CHUNK]: B with what is left of it at the end */
    float *x, *out; /* [OL_CHUNK, p] */
    float *product; /* [OL_CHUNK, OL_CHUNK] */
    float *packed;  /* what products need */
    float step[OL_CHUNK];
    double decay[OL_CHUNK]; /* G */
};

static struct chunk carve(float *at, int64_t states, int64_t p)
{
    struct chunk k;
    k.state = at;
    k.b = k.state + states * p;
    k.c = k.b + OL_CHUNK * states;
    k.turned = k.c + OL_CHUNK * states;
    k.x = k.turned + OL_CHUNK * states;
    k.out = k.x + OL_CHUNK * p;
    k.product = k.out + OL_CHUNK * p;
    k.packed = k.product + OL_CHUNK * OL_CHUNK;
    return k;
}

static size_t chunk_floats(int64_t states, int64_t p)
{
    /* Of products in float, which do not ask for more when they are larger. */
    return (size_t)(states * p + OL_CHUNK * (3 * states + 2 * p + OL_CHUNK)) +
           ol_gemm_scratch(p, states);
}

/* Linear from 20 on, as the reference's. */
static float softplus(float x)
{
    return x > 20 ? x : (float)ol_real_log1p(ol_real_exp((double)x));
}

static float clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x; /* NaN stays */
}

static void load_chunk(const struct job *j, struct chunk *k, int64_t head, int64_t first,
                       int64_t n)
{
    const struct ol_mamba_spec *s = &j->args->spec;
    const int64_t p = s->head_dim, states = s->state_dim;
    const int64_t group = head / (s->n_heads / s->n_groups);
    const int64_t heads = s->n_heads * p, groups = s->n_groups * states;
    const enum ol_dtype dtype = j->args->mixed.dtype;
    const float least = ol_cpu_round(dtype, (float)s->least_step),
                most = ol_cpu_round(dtype, (float)s->most_step);
    ol_chunk_load(j->args->mixed, first, n, head * p, p, k->x);
    ol_chunk_load(j->args->mixed, first, n, heads + group * states, states, k->b);
    ol_chunk_load(j->args->mixed, first, n, heads + groups + group * states, states,
                  k->c);
    ol_chunk_load(j->args->step, first, n, head, 1, k->step);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const float shifted = ol_cpu_round(dtype, k->step[i] + j->dt_bias[head]);
        k->step[i] = clamp(ol_cpu_round(dtype, softplus(shifted)), least, most);
        sum += (double)k->step[i] * (double)j->a[head];
        k->decay[i] = sum;
    }
}

/* k->product = C B^T, the part at and below the diagonal times what is left of a token's
 * input; zero above. */
static void decayed_products(struct chunk *k, int64_t n, int64_t states)
{
    ol_chunk_square(k->c, k->b, n, states, k->product, k->packed);
    for (int64_t i = 0; i < n; i++) {
        float *row = k->product + i * OL_CHUNK;
        for (int64_t t = 0; t <= i; t++)
            row[t] *= ol_exp((float)(k->decay[i] - k->decay[t])) * k->step[t];
        for (int64_t t = i + 1; t < n; t++)
            row[t] = 0;
    }
}

static void run_chunk(struct chunk *k, int64_t n, int64_t states, int64_t p, float skip)
{
    const double end = k->decay[n - 1];
    decayed_products(k, n, states);
    for (int64_t i = 0; i < n; i++) {
        const float kept = ol_exp((float)k->decay[i]);
        const float left = ol_exp((float)(end - k->decay[i])) * k->step[i];
        for (int64_t s = 0; s < states; s++) {
            k->c[i * states + s] *= kept;
            k->turned[s * OL_CHUNK + i] = left * k->b[i * states + s];
        }
    }
    ol_chunk_multiply((struct ol_gemm){.m = n,
                                       .n = p,
                                       .k = states,
                                       .a = k->c,
                                       .lda = states,
                                       .b = k->state,
                                       .c = k->out},
                      k->packed);
    ol_chunk_multiply((struct ol_gemm){.m = n,
                                       .n = p,
                                       .k = n,
                                       .a = k->product,
                                       .lda = OL_CHUNK,
                                       .b = k->x,
                                       .beta = 1,
                                       .c = k->out},
                      k->packed);
    for (int64_t i = 0; i < n * p; i++)
        k->out[i] += skip * k->x[i];
    ol_chunk_multiply((struct ol_gemm){.m = states,
                                       .n = p,
                                       .k = n,
                                       .a = k->turned,
                                       .lda = OL_CHUNK,
                                       .b = k->x,
                                       .beta = ol_exp((float)end),
                                       .c = k->state},
                      k->packed);
}

static void task(void *arg, int64_t head, int thread)
{
    const struct job *j = arg;
    const int64_t states = j->args->spec.state_dim, p = j->args->spec.head_dim;
    const struct ol_tensor out = j->args->out;
    struct chunk k =
        carve(ol_cpu_scratch(j->cpu, thread, chunk_floats(states, p)), states, p);
    for (int64_t i = 0; i < states * p; i++)
        k.state[i] = 0;
    for (int64_t first = 0; first < out.n_rows; first += OL_CHUNK) {
        const int64_t rest = out.n_rows - first, n = rest < OL_CHUNK ? rest : OL_CHUNK;
        load_chunk(j, &k, head, first, n);
        run_chunk(&k, n, states, p, j->skip[head]);
        for (int64_t i = 0; i < n; i++)
            memcpy((float *)ol_cpu_row(out, first + i) + head * p, k.out + i * p,
                   (size_t)p * sizeof(float));
    }
}

int ol_cpu_mamba(struct ol_backend *b, const struct ol_mamba_args *args,
                 struct ol_error *err)
{
    (void)err;
    const int n = args->spec.n_heads;
    float *numbers = ol_xcalloc((size_t)n * 3, sizeof *numbers);
    float *dt_bias = numbers, *a = dt_bias + n, *skip = a + n;
    ol_cpu_decode_rounded(&args->dt_bias, b->dtype, 0, 1, dt_bias);
    ol_cpu_decode_rounded(&args->a_log, b->dtype, 0, 1, a);
    ol_cpu_decode_rounded(&args->skip, b->dtype, 0, 1, skip);
    for (int h = 0; h < n; h++)
        a[h] = -(float)ol_real_exp((double)a[h]);
    struct job job = {ol_cpu_of(b), args, dt_bias, a, skip};
    ol_pool_run(job.cpu->pool, n, task, &job);
    free(numbers);
    return 0;
}
