/* attention: softmax(q k^T scale + mask) v of each sequence, causal, sliding or chunked,
 * in float.
 *
 * One task = one head and QUERIES queries. It walks the keys in tiles that the mask
 * leaves visible and keeps, per query, the largest score so far, the sum of exponentials
 * and the weighted sum of values (online softmax, arXiv 1805.02867): memory is a few
 * tiles whatever the length. A sink is a score that is there from the start, of a value
 * of zero. With bfloat16 activations the exponentials are rounded
 * before they weigh the values, as the reference's are.
 *
 * What keys receive is known when a task's last key was seen, which settles how much its
 * exponentials count for: where it is asked for, those of all tiles stay until then. */
#include "extract/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "extract/cpu/gemm.h"
#include "extract/cpu/received.h"
#include "extract/cpu/vector_math.h"

enum { QUERIES = 128, KEYS = 256 };

struct job {
    struct ol_cpu *cpu;
    const struct ol_attention_args *args;
    const float *sinks; /* [n_heads] or NULL */
    struct ol_tensor q, k, v, out;
    int64_t query_tiles;
    struct ol_received *received; /* NULL: nobody asks */
};

struct tile {
    float *score;      /* [QUERIES, KEYS], those of other tiles before and behind them */
    float *tops;       /* [QUERIES] the largest score when these were seen, likewise */
    float *sum;        /* [QUERIES, value_dim] weighted values */
    float *top;        /* [QUERIES] largest score */
    float *total;      /* [QUERIES] sum of exponentials */
    uint16_t *rounded; /* [QUERIES, KEYS] exponentials, with bfloat16 activations */
    float *packed;     /* what the products need */
};

/* Every part is a whole number of cache lines. */
static size_t sum_floats(const struct ol_attention_args *a)
{
    return (size_t)(QUERIES * ((a->value_dim + 15) / 16 * 16));
}

/* Tiles of keys whose exponentials stay. */
static int64_t kept_tiles(const struct job *j)
{
    const struct ol_attention_args *a = j->args;
    const int64_t n = j->q.n_rows, seen = (int64_t)a->window + QUERIES;
    if (j->received == NULL)
        return 1;
    return ((a->kind != OL_ATTENTION_FULL && seen < n ? seen : n) + KEYS - 1) / KEYS + 1;
}

int64_t ol_cpu_attention_kept(int64_t n_tokens)
{
    return n_tokens > 0 ? (n_tokens + 2 * KEYS) * QUERIES * (int64_t)sizeof(float) : 0;
}

static struct tile carve(float *at, const struct ol_attention_args *a, int64_t n_tiles)
{
    struct tile t;
    t.score = at;
    t.tops = t.score + n_tiles * QUERIES * KEYS;
    t.sum = t.tops + n_tiles * QUERIES;
    t.top = t.sum + sum_floats(a);
    t.total = t.top + QUERIES;
    t.rounded = (uint16_t *)(void *)(t.total + QUERIES);
    t.packed = t.total + QUERIES + QUERIES * KEYS / 2;
    return t;
}

static size_t packed_floats(const struct ol_attention_args *a)
{
    const size_t scores = ol_gemm_scratch(KEYS, a->head_dim);
    const size_t values = ol_gemm_scratch(a->value_dim, KEYS);
    return scores > values ? scores : values;
}

static size_t tile_floats(const struct ol_attention_args *a, int64_t n_tiles)
{
    return (size_t)n_tiles * (QUERIES * KEYS + QUERIES) + sum_floats(a) + 2 * QUERIES +
           QUERIES * KEYS / 2 + packed_floats(a);
}

/* What a task works on: queries and keys of a head. */
struct place {
    int64_t head, query, n_queries, key, n_keys;
};

/* The first key that a query sees. */
static int64_t lowest(const struct ol_attention_args *a, int64_t query)
{
    if (a->kind == OL_ATTENTION_SLIDING && query - a->window + 1 > 0)
        return query - a->window + 1;
    return a->kind == OL_ATTENTION_CHUNKED ? query / a->window * a->window : 0;
}

/* Scores of keys first .. first + n - 1 that the query does not see go out of the way;
 * false: it sees none. */
static bool keep_chosen(const uint32_t *chosen, int64_t first, int64_t n, float *score)
{
    uint32_t any = 0;
    for (int64_t j = 0, some; j < n; j += some) {
        /* Of one word of bits at a time: a loop that vectors do. */
        const int bit = (int)((first + j) % 32);
        uint32_t word = chosen[(first + j) / 32] >> bit;
        some = n - j < 32 - bit ? n - j : 32 - bit;
        if (some < 32)
            word &= (1u << some) - 1;
        any |= word;
        for (int i = 0; i < (int)some; i++)
            score[j + i] = (word >> i & 1) != 0 ? score[j + i] : -INFINITY;
    }
    return any != 0;
}

/* Scores of one query over keys first..first+n-1 become exponentials; its running values
 * are rescaled when a larger score appears. Keys outside [low, high] are masked. */
static void soften(struct tile *t, int64_t i, const struct place *at,
                   const struct ol_attention_args *a)
{
    const int64_t first = at->key, n = at->n_keys, high = at->query + i,
                  low = lowest(a, high), value_dim = a->value_dim;
    const float scale = (float)a->scale;
    float *score = t->score + i * KEYS;
    const int64_t begin = low > first ? low - first : 0;
    const int64_t end = high < first + n - 1 ? high - first + 1 : n;
    for (int64_t j = 0; j < (begin < n ? begin : n); j++)
        score[j] = 0;
    for (int64_t j = end > 0 ? end : 0; j < n; j++)
        score[j] = 0;
    if (begin >= end)
        return;
    for (int64_t j = begin; j < end; j++)
        score[j] *= scale;
    if (a->chosen.data != NULL && !keep_chosen(ol_cpu_row(a->chosen, high), first + begin,
                                               end - begin, score + begin)) {
        memset(score + begin, 0, (size_t)(end - begin) * sizeof *score);
        return;
    }
    const float top = ol_largest(score + begin, end - begin, t->top[i]);
    /* All scores -inf or NaN: the exponentials below become NaN, as the reference's do.
     */
    const float total = ol_exponentials(score + begin, end - begin, top);
    if (top != t->top[i]) {
        const float factor = isinf(t->top[i]) ? 0 : ol_exp(t->top[i] - top);
        t->total[i] *= factor;
        for (int64_t c = 0; c < value_dim; c++)
            t->sum[i * value_dim + c] *= factor;
        t->top[i] = top;
    }
    t->total[i] += total;
}

/* ---- products ---- */

/* Where a head's part of a row begins. */
static const void *head_row(struct ol_tensor x, int64_t row, int64_t head, int64_t d)
{
    return (const char *)ol_cpu_row(x, row) + (size_t)(head * d) * ol_dtype_size(x.dtype);
}

/* Queries against keys. */
static void score(const struct job *j, struct tile *t, const struct place *at)
{
    const int64_t d = j->args->head_dim, group = j->args->n_heads / j->args->n_kv_heads;
    const struct ol_gemm g = {.m = at->n_queries,
                              .n = at->n_keys,
                              .k = d,
                              .a_dtype = j->q.dtype,
                              .a = head_row(j->q, at->query, at->head, d),
                              .lda = j->q.n_cols,
                              .b_dtype = j->k.dtype,
                              .b = head_row(j->k, at->key, at->head / group, d),
                              .ldb = j->k.n_cols,
                              .c = t->score,
                              .ldc = KEYS,
                              .scratch = t->packed};
    ol_gemm_run(&g);
}

/* The keys' values, weighed by the exponentials. */
static void weigh(const struct job *j, struct tile *t, const struct place *at)
{
    const int64_t d = j->args->value_dim, group = j->args->n_heads / j->args->n_kv_heads;
    const bool rounded = j->q.dtype == OL_DTYPE_BF16;
    for (int64_t i = 0; rounded && i < at->n_queries; i++)
        ol_from_f32(OL_DTYPE_BF16, t->score + i * KEYS, t->rounded + i * KEYS,
                    (size_t)at->n_keys);
    const struct ol_gemm g = {.m = at->n_queries,
                              .n = d,
                              .k = at->n_keys,
                              .a_dtype = j->q.dtype,
                              .a = rounded ? (const void *)t->rounded : t->score,
                              .lda = KEYS,
                              .b_dtype = j->v.dtype,
                              .b = head_row(j->v, at->key, at->head / group, d),
                              .ldb = j->v.n_cols,
                              .b_plain = true,
                              .beta = 1,
                              .c = t->sum,
                              .ldc = d,
                              .scratch = t->packed};
    ol_gemm_run(&g);
}

static void one_tile(const struct job *j, struct tile *t, const struct place *at)
{
    score(j, t, at);
    for (int64_t i = 0; i < at->n_queries; i++)
        soften(t, i, at, j->args);
    weigh(j, t, at);
}

/* ---- what keys and the sink receive ---- */

/* Add what a tile's keys received from the task's queries. */
static void add_received(const struct job *j, const struct tile *t,
                         const struct place *at)
{
    float sums[KEYS] = {0};
    for (int64_t i = 0; i < at->n_queries; i++) {
        const int64_t query = at->query + i, low = lowest(j->args, query);
        const int64_t begin = low > at->key ? low - at->key : 0,
                      end =
                          query < at->key + at->n_keys ? query - at->key + 1 : at->n_keys;
        if (begin >= end)
            continue;
        const float *score = t->score + i * KEYS,
                    share =
                        (t->tops[i] == t->top[i] ? 1 : ol_exp(t->tops[i] - t->top[i])) /
                        t->total[i];
        for (int64_t c = begin; c < end; c++)
            sums[c] += share * score[c];
    }
    ol_received_add(j->received, at->head, at->key, at->n_keys, sums);
}

/* The keys that a query sees begin with `first`; score and tops are those of its tile. */
static void receive(const struct job *j, struct tile *t, int64_t first,
                    const struct place *at)
{
    struct place keys = *at;
    for (int64_t i = 0; i < at->n_queries; i++) {
        float *to = ol_cpu_row(j->args->to_sink, at->query + i);
        to[at->head] =
            j->sinks != NULL ? ol_exp(j->sinks[at->head] - t->top[i]) / t->total[i] : 0;
    }
    for (keys.key = first; keys.key < at->query + at->n_queries; keys.key += KEYS) {
        const int64_t rest = at->query + at->n_queries - keys.key;
        keys.n_keys = rest < KEYS ? rest : KEYS;
        add_received(j, t, &keys);
        t->score += QUERIES * KEYS;
        t->tops += QUERIES;
    }
}

static void task(void *arg, int64_t number, int thread)
{
    const struct job *j = arg;
    const struct ol_attention_args *a = j->args;
    const int64_t d = a->value_dim, head = number / j->query_tiles;
    /* Long rows first: the last queries see the most keys. */
    const int64_t query = (j->query_tiles - 1 - number % j->query_tiles) * QUERIES;
    const int64_t left = j->q.n_rows - query;
    const int64_t n_queries = left < QUERIES ? left : QUERIES;
    const int64_t n_tiles = kept_tiles(j);
    float *scratch = ol_cpu_scratch(j->cpu, thread, tile_floats(a, n_tiles));
    const struct tile whole = carve(scratch, a, n_tiles);
    struct tile t = whole;

    memset(t.sum, 0, (size_t)(QUERIES * d) * sizeof *t.sum);
    for (int i = 0; i < QUERIES; i++) {
        t.top[i] = j->sinks != NULL ? j->sinks[head] : -INFINITY;
        t.total[i] = j->sinks != NULL ? 1 : 0;
    }
    const int64_t first_key = lowest(a, query) / KEYS * KEYS;
    for (int64_t key = first_key; key < query + n_queries; key += KEYS) {
        const int64_t rest = query + n_queries - key;
        const struct place at = {head, query, n_queries, key, rest < KEYS ? rest : KEYS};
        one_tile(j, &t, &at);
        if (j->received == NULL)
            continue;
        memcpy(t.tops, t.top, QUERIES * sizeof *t.tops);
        t.score += QUERIES * KEYS;
        t.tops += QUERIES;
    }
    if (j->received != NULL) {
        const struct place at = {head, query, n_queries, first_key, 0};
        t.score = whole.score;
        t.tops = whole.tops;
        receive(j, &t, first_key, &at);
    }
    const size_t size = ol_dtype_size(j->out.dtype);
    for (int64_t i = 0; i < n_queries; i++) {
        for (int64_t c = 0; c < d; c++)
            t.sum[i * d + c] /= t.total[i];
        char *row = ol_cpu_row(j->out, query + i);
        ol_from_f32(j->out.dtype, t.sum + i * d, row + (size_t)(head * d) * size,
                    (size_t)d);
    }
}

static void attend(struct job *job)
{
    const struct ol_attention_args *args = job->args;
    job->query_tiles = (job->q.n_rows + QUERIES - 1) / QUERIES;
    struct ol_received received = {0};
    if (args->received.data != NULL) {
        received = ol_received_new(args->n_heads, job->k.n_rows);
        job->received = &received;
    }
    ol_pool_run(job->cpu->pool, args->n_heads * job->query_tiles, task, job);
    if (job->received != NULL)
        ol_received_means(job->cpu, &received, args->kind, args->window, args->received);
    ol_received_free(&received);
}

static struct ol_tensor rows_of(struct ol_tensor t, int64_t first, int64_t n)
{
    return t.data != NULL ? ol_tensor_rows(t, first, n) : t;
}

int ol_cpu_attention(struct ol_backend *b, const struct ol_attention_args *args,
                     struct ol_tensor q, struct ol_tensor k, struct ol_tensor v,
                     struct ol_tensor out, struct ol_error *err)
{
    const bool windowed =
        args->kind == OL_ATTENTION_SLIDING || args->kind == OL_ATTENTION_CHUNKED;
    if (windowed && args->window < 1)
        return ol_fail(err, "cpu: attention: window is %d, expected at least 1",
                       args->window);
    float *sinks = NULL;
    if (args->sinks.data != NULL) {
        sinks = ol_xcalloc((size_t)args->n_heads, sizeof *sinks);
        ol_cpu_decode_rounded(&args->sinks, b->dtype, 0, 1, sinks);
    }
    const struct ol_sequences *s = &args->sequences;
    for (int64_t i = 0, at = 0, n; i < ol_sequences_number(s); i++, at += n) {
        n = ol_sequences_rows(s, i, q.n_rows);
        struct ol_attention_args one = *args;
        one.received = rows_of(args->received, at, n);
        one.to_sink = rows_of(args->to_sink, at, n);
        one.chosen = rows_of(args->chosen, at, n);
        struct job job = {.cpu = ol_cpu_of(b),
                          .args = &one,
                          .sinks = sinks,
                          .q = ol_tensor_rows(q, at, n),
                          .k = ol_tensor_rows(k, at, n),
                          .v = ol_tensor_rows(v, at, n),
                          .out = ol_tensor_rows(out, at, n)};
        attend(&job);
    }
    free(sinks);
    return 0;
}
