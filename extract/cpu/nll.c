/* nll: negative log-likelihood of the targets. One task = TOKENS tokens against the
 * vocabulary in tiles; only the running maximum and sum of each token are kept:
 * exponentials of a tile are summed in float, tiles in double. */
#include "extract/cpu/cpu.h"

#include <math.h>

#include "common/real_math.h"

#include "extract/cpu/gemm.h"
#include "extract/cpu/vector_math.h"

enum { TOKENS = 256, WORDS = 256 };

struct job {
    struct ol_cpu *cpu;
    struct ol_tensor x;
    struct ol_weight weight;
    float cap;
    const int32_t *targets;
    float *nll;
};

struct state {
    float top;
    double total, target;
};

/* As elementwise operations of the reference round. */
static void soften(float *logits, int64_t n, float cap, enum ol_dtype dtype)
{
    if (dtype == OL_DTYPE_BF16)
        for (int64_t w = 0; w < n; w++)
            logits[w] = ol_bf16_round(cap * ol_bf16_round(ol_tanh(ol_bf16_round(
                                                ol_bf16_round(logits[w]) / cap))));
    else
        for (int64_t w = 0; w < n; w++)
            logits[w] = cap * ol_tanh(logits[w] / cap);
}

/* Logits of the words [first, first + n), which become exponentials. */
static void absorb(struct state *s, float *logits, int64_t first, int64_t n,
                   int64_t target, enum ol_dtype dtype)
{
    for (int64_t w = 0; dtype == OL_DTYPE_BF16 && w < n; w++)
        logits[w] = ol_bf16_round(logits[w]);
    if (target >= first && target < first + n)
        s->target = (double)logits[target - first];
    const float top = ol_largest(logits, n, s->top);
    if (top > s->top) {
        s->total *= ol_real_exp((double)s->top - (double)top);
        s->top = top;
    }
    s->total += (double)ol_exponentials(logits, n, s->top);
}

static void task(void *arg, int64_t number, int thread)
{
    const struct job *j = arg;
    const int64_t k = j->x.n_cols, row = number * TOKENS;
    const int64_t left = j->x.n_rows - row, m = left < TOKENS ? left : TOKENS;
    const bool ready = ol_cpu_reads(&j->weight, j->x.dtype);
    const size_t packing = ol_gemm_scratch(WORDS, k);
    float *packed = ol_cpu_scratch(
        j->cpu, thread, packing + TOKENS * WORDS + (ready ? 0 : (size_t)(WORDS * k)));
    float *logits = packed + packing, *decoded = logits + TOKENS * WORDS;
    struct state states[TOKENS] = {{0}};
    for (int64_t i = 0; i < m; i++)
        states[i] = (struct state){-INFINITY, 0, NAN};
    for (int64_t first = 0; first < j->weight.n_rows; first += WORDS) {
        const int64_t rest = j->weight.n_rows - first, n = rest < WORDS ? rest : WORDS;
        const void *weight = decoded;
        if (ready)
            weight = (const char *)j->weight.data +
                     (size_t)(first * k) * ol_dtype_size(j->weight.dtype);
        else
            ol_cpu_decode_rounded(&j->weight, j->x.dtype, first, n, decoded);
        const struct ol_gemm g = {.m = m,
                                  .n = n,
                                  .k = k,
                                  .a_dtype = j->x.dtype,
                                  .a = ol_cpu_row(j->x, row),
                                  .lda = k,
                                  .b_dtype = ready ? j->weight.dtype : OL_DTYPE_F32,
                                  .b = weight,
                                  .ldb = k,
                                  .c = logits,
                                  .ldc = WORDS,
                                  .scratch = packed};
        ol_gemm_run(&g);
        for (int64_t i = 0; j->cap > 0 && i < m; i++)
            soften(logits + i * WORDS, n, j->cap, j->x.dtype);
        for (int64_t i = 0; i < m; i++)
            absorb(&states[i], logits + i * WORDS, first, n, j->targets[row + i],
                   j->x.dtype);
    }
    for (int64_t i = 0; i < m; i++)
        j->nll[row + i] = (float)((double)states[i].top + ol_real_log(states[i].total) -
                                  states[i].target);
}

int ol_cpu_nll(struct ol_backend *b, struct ol_tensor x, struct ol_weight weight,
               double cap, const int32_t *targets, float *nll, struct ol_error *err)
{
    (void)err;
    struct job job = {ol_cpu_of(b), x, weight, (float)cap, targets, nll};
    ol_pool_run(job.cpu->pool, (x.n_rows + TOKENS - 1) / TOKENS, task, &job);
    return 0;
}
