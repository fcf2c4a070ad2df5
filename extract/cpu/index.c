/* index: of every query the top_k keys with the largest scores
 *
 *     score[t][s] = sum over heads of weights[t][h] / sqrt(heads) *
 *                   max(q[t][h] . k[s] / sqrt(head_dim), 0)          s < (t + 1) / rate
 *
 * A task has some queries: their heads are rows of one product with a tile of keys. */
#include "extract/cpu/cpu.h"

#include <math.h>
#include <string.h>

#include "extract/cpu/gemm.h"

enum { KEYS = 256, PRODUCT_ROWS = 256 };

struct job {
    struct ol_cpu *cpu;
    const struct ol_index_args *args;
    int64_t rows; /* of a task */
};

/* An order of floats as one of integers; NaN is below all. */
static uint32_t place_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (isnan(x))
        return 0;
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

/* The top_k-th largest of n, found bit by bit. */
static uint32_t least_of_top(const uint32_t *places, int64_t n, int64_t top_k)
{
    uint32_t least = 0;
    for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
        int64_t above = 0;
        for (int64_t s = 0; s < n; s++)
            above += places[s] >= (least | bit);
        if (above >= top_k)
            least |= bit;
    }
    return least;
}

/* Bits of the keys of a query that sees n; of equal scores the first. */
static void choose(const float *scores, uint32_t *places, int64_t n, int64_t top_k,
                   uint32_t *chosen, int64_t n_words)
{
    memset(chosen, 0, (size_t)n_words * sizeof *chosen);
    uint32_t least = 0;
    int64_t equal = n;
    if (n > top_k) {
        for (int64_t s = 0; s < n; s++)
            places[s] = place_of(scores[s]);
        least = least_of_top(places, n, top_k);
        equal = top_k;
        for (int64_t s = 0; s < n; s++)
            equal -= places[s] > least;
    }
    for (int64_t s = 0; s < n; s++) {
        const bool all = n <= top_k, tied = !all && places[s] == least;
        if (all || (!tied && places[s] > least) || (tied && equal-- > 0))
            chosen[s / 32] |= 1u << (s % 32);
    }
}

/* The scores of one query over keys key .. key + n - 1, of its heads' products. */
static void add_heads(const struct ol_index_args *a, const float *products,
                      const float *weights, int64_t n, float *scores)
{
    const float by_heads = 1 / sqrtf((float)a->n_heads),
                by_dim = 1 / sqrtf((float)a->head_dim);
    memset(scores, 0, (size_t)n * sizeof *scores);
    for (int h = 0; h < a->n_heads; h++, products += KEYS) {
        const float weight = weights[h] * by_heads;
        for (int64_t s = 0; s < n; s++) {
            const float x = products[s] * by_dim;
            scores[s] += weight * (x > 0 ? x : 0);
        }
    }
}

static void task(void *arg, int64_t number, int thread)
{
    const struct job *j = arg;
    const struct ol_index_args *a = j->args;
    const int64_t n = a->q.n_rows, heads = a->n_heads, d = a->head_dim,
                  first = number * j->rows,
                  n_rows = n - first < j->rows ? n - first : j->rows,
                  seen = (first + n_rows) / a->rate;
    const size_t product = (size_t)(j->rows * heads * KEYS),
                 packed = ol_gemm_scratch(KEYS, d);
    float *products = ol_cpu_scratch(
        j->cpu, thread, product + packed + (size_t)(j->rows * n + n + heads + 64));
    float *scratch = products + product, *scores = scratch + packed,
          *weights = scores + j->rows * n;
    uint32_t *places = (uint32_t *)(void *)(weights + heads);
    for (int64_t key = 0; key < seen && seen > a->top_k; key += KEYS) {
        const int64_t n_keys = seen - key < KEYS ? seen - key : KEYS;
        const struct ol_gemm g = {.m = n_rows * heads,
                                  .n = n_keys,
                                  .k = d,
                                  .a_dtype = a->q.dtype,
                                  .a = ol_cpu_row(a->q, first),
                                  .lda = d,
                                  .b_dtype = a->k.dtype,
                                  .b = ol_cpu_row(a->k, key),
                                  .ldb = d,
                                  .c = products,
                                  .ldc = KEYS,
                                  .scratch = scratch};
        ol_gemm_run(&g);
        for (int64_t i = 0; i < n_rows; i++) {
            ol_to_f32(a->weights.dtype, ol_cpu_row(a->weights, first + i), weights,
                      (size_t)heads);
            add_heads(a, products + i * heads * KEYS, weights, n_keys,
                      scores + i * n + key);
        }
    }
    for (int64_t i = 0; i < n_rows; i++)
        choose(scores + i * n, places, (first + i + 1) / a->rate, a->top_k,
               ol_cpu_row(a->chosen, first + i), a->chosen.n_cols);
}

int ol_cpu_index(struct ol_backend *b, const struct ol_index_args *args,
                 struct ol_error *err)
{
    (void)err;
    const int64_t rows = PRODUCT_ROWS / args->n_heads;
    struct job job = {ol_cpu_of(b), args, rows > 0 ? rows : 1};
    ol_pool_run(job.cpu->pool, (args->q.n_rows + job.rows - 1) / job.rows, task, &job);
    return 0;
}
