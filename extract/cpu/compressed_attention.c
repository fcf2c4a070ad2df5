/* compressed_attention: every head of a query sees the same keys, which are values too:
 * the last `window` ones, and entries that stand for earlier ones (compress.c). So a
 * query's heads are the rows of one product with its keys, which are put together before;
 * memory is what a query sees, whatever the length. The contract is in backend.h. */
#include "extract/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "extract/cpu/gemm.h"
#include "extract/cpu/received.h"
#include "extract/cpu/vector_math.h"

enum {
    QUERIES = 4, /* of a task */
    /* Rooms for keys come in steps of this: they grow as queries see more. */
    STEP = 256,
};

struct job {
    struct ol_cpu *cpu;
    const struct ol_compressed_attention_args *args;
    const float *sinks;           /* [n_heads] */
    struct ol_received *received; /* NULL: nobody asks */
};

/* Room for the work on one query that sees up to `most` keys. */
struct room {
    int64_t most;
    float *score;      /* [n_heads, most] */
    float *sum;        /* [n_heads, head_dim] */
    float *top;        /* [n_heads] */
    float *total;      /* [n_heads] */
    uint16_t *rounded; /* [n_heads, most] exponentials, with bfloat16 activations */
    char *keys;        /* [most, head_dim] of the activations' type */
    float *packed;     /* what the products need */
};

static bool sees(const struct ol_compressed_attention_args *a, int64_t query,
                 int64_t entry)
{
    if (a->chosen.data == NULL)
        return true;
    const uint32_t *chosen = ol_cpu_row(a->chosen, query);
    return (chosen[entry / 32] >> (entry % 32) & 1) != 0;
}

/* How many entries are whole when the query comes. */
static int64_t n_whole(const struct ol_compressed_attention_args *a, int64_t query)
{
    return a->rate > 0 ? (query + 1) / a->rate : 0;
}

static int64_t n_seen(const struct ol_compressed_attention_args *a, int64_t query)
{
    int64_t n = query + 1 < a->window ? query + 1 : a->window;
    for (int64_t e = 0; e < n_whole(a, query); e++)
        n += sees(a, query, e);
    return n;
}

/* How much of what a room for n keys has. */
struct extent {
    int64_t heads, d, most; /* rounded up */
    size_t packed, floats;  /* floats: of all */
};

static struct extent extent_of(int n_heads, int head_dim, int64_t n)
{
    struct extent e = {.heads = (n_heads + 15) / 16 * 16,
                       .d = (head_dim + 15) / 16 * 16,
                       .most = (n + STEP - 1) / STEP * STEP};
    const size_t scores = ol_gemm_scratch(e.most, head_dim),
                 values = ol_gemm_scratch(head_dim, e.most);
    e.packed = scores > values ? scores : values;
    e.floats =
        (size_t)(e.heads * (e.most + e.d + 2) + e.heads * e.most / 2 + e.most * e.d) +
        e.packed;
    return e;
}

int64_t ol_cpu_compressed_attention_scratch(int n_heads, int head_dim, int64_t n)
{
    return (int64_t)(extent_of(n_heads, head_dim, n).floats * sizeof(float));
}

static struct room make_room(const struct job *j, int thread, int64_t n)
{
    const struct extent e = extent_of(j->args->n_heads, j->args->head_dim, n);
    struct room r = {.most = e.most};
    r.score = ol_cpu_scratch(j->cpu, thread, e.floats);
    r.sum = r.score + e.heads * e.most;
    r.top = r.sum + e.heads * e.d;
    r.total = r.top + e.heads;
    r.rounded = (uint16_t *)(void *)(r.total + e.heads);
    r.packed = r.total + e.heads + e.heads * e.most / 2;
    r.keys = (char *)(r.packed + e.packed);
    return r;
}

/* The first key of a query's window. */
static int64_t lowest(const struct ol_compressed_attention_args *a, int64_t query)
{
    return query + 1 < a->window ? 0 : query + 1 - a->window;
}

static void put_together(const struct ol_compressed_attention_args *a, int64_t query,
                         char *to)
{
    const size_t bytes = (size_t)a->head_dim * ol_dtype_size(a->keys.dtype);
    for (int64_t k = lowest(a, query); k <= query; k++, to += bytes)
        memcpy(to, ol_cpu_row(a->keys, k), bytes);
    for (int64_t e = 0; e < n_whole(a, query); e++)
        if (sees(a, query, e)) {
            memcpy(to, ol_cpu_row(a->entries, e), bytes);
            to += bytes;
        }
}

/* Scores of all heads become exponentials. */
static void soften(const struct job *j, const struct room *r, int64_t n)
{
    const struct ol_compressed_attention_args *a = j->args;
    for (int64_t h = 0; h < a->n_heads; h++) {
        float *score = r->score + h * r->most;
        for (int64_t k = 0; k < n; k++)
            score[k] *= (float)a->scale;
        r->top[h] = ol_largest(score, n, j->sinks[h]);
        r->total[h] =
            ol_exponentials(score, n, r->top[h]) + ol_exp(j->sinks[h] - r->top[h]);
        if (a->q.dtype == OL_DTYPE_BF16)
            ol_from_f32(OL_DTYPE_BF16, score, r->rounded + h * r->most, (size_t)n);
    }
}

static void store(const struct job *j, const struct room *r, int64_t query)
{
    const struct ol_compressed_attention_args *a = j->args;
    const int64_t d = a->head_dim;
    const size_t size = ol_dtype_size(a->out.dtype);
    char *row = ol_cpu_row(a->out, query);
    for (int64_t h = 0; h < a->n_heads; h++) {
        float *sum = r->sum + h * d;
        for (int64_t c = 0; c < d; c++)
            sum[c] /= r->total[h];
        ol_from_f32(a->out.dtype, sum, row + (size_t)(h * d) * size, (size_t)d);
    }
    float *to_sink = a->to_sink.data != NULL ? ol_cpu_row(a->to_sink, query) : NULL;
    for (int64_t h = 0; to_sink != NULL && h < a->n_heads; h++)
        to_sink[h] = ol_exp(j->sinks[h] - r->top[h]) / r->total[h];
}

/* What the keys of queries beside each other receive, before others add to it. */
struct shares {
    int64_t first, n; /* keys of all these windows */
    float *sums;      /* [n_heads, n]; NULL: nobody asks */
};

static void add_shares(const struct job *j, const struct room *r, int64_t query,
                       const struct shares *to)
{
    const int64_t low = lowest(j->args, query);
    for (int64_t h = 0; to->sums != NULL && h < j->args->n_heads; h++) {
        const float *score = r->score + h * r->most, share = 1 / r->total[h];
        float *sums = to->sums + h * to->n + low - to->first;
        for (int64_t k = 0; k <= query - low; k++)
            sums[k] += share * score[k];
    }
}

static void one_query(const struct job *j, int64_t query, const struct shares *to,
                      int thread)
{
    const struct ol_compressed_attention_args *a = j->args;
    const int64_t n = n_seen(a, query), d = a->head_dim;
    const struct room r = make_room(j, thread, n);
    const bool rounded = a->q.dtype == OL_DTYPE_BF16;
    put_together(a, query, r.keys);
    const struct ol_gemm scores = {.m = a->n_heads,
                                   .n = n,
                                   .k = d,
                                   .a_dtype = a->q.dtype,
                                   .a = ol_cpu_row(a->q, query),
                                   .lda = d,
                                   .b_dtype = a->keys.dtype,
                                   .b = r.keys,
                                   .ldb = d,
                                   .c = r.score,
                                   .ldc = r.most,
                                   .scratch = r.packed};
    ol_gemm_run(&scores);
    soften(j, &r, n);
    const struct ol_gemm values = {.m = a->n_heads,
                                   .n = d,
                                   .k = n,
                                   .a_dtype = a->q.dtype,
                                   .a = rounded ? (const void *)r.rounded : r.score,
                                   .lda = r.most,
                                   .b_dtype = a->keys.dtype,
                                   .b = r.keys,
                                   .ldb = d,
                                   .b_plain = true,
                                   .c = r.sum,
                                   .ldc = d,
                                   .scratch = r.packed};
    ol_gemm_run(&values);
    store(j, &r, query);
    add_shares(j, &r, query, to);
}

static void task(void *arg, int64_t number, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->args->q.n_rows, n_heads = j->args->n_heads,
                  last = n - 1 - number * QUERIES,
                  first = last + 1 < QUERIES ? 0 : last + 1 - QUERIES;
    struct shares shares = {lowest(j->args, first), 0, NULL};
    shares.n = last + 1 - shares.first;
    if (j->received != NULL)
        shares.sums = ol_xcalloc((size_t)(n_heads * shares.n), sizeof *shares.sums);
    /* Long rows first: the last queries see the most keys. */
    for (int64_t query = last; query >= first; query--)
        one_query(j, query, &shares, thread);
    for (int64_t h = 0; shares.sums != NULL && h < n_heads; h++)
        ol_received_add(j->received, h, shares.first, shares.n,
                        shares.sums + h * shares.n);
    free(shares.sums);
}

int ol_cpu_compressed_attention(struct ol_backend *b,
                                const struct ol_compressed_attention_args *args,
                                struct ol_error *err)
{
    (void)err;
    float *sinks = ol_xcalloc((size_t)args->n_heads, sizeof *sinks);
    ol_cpu_decode(&args->sinks, 0, 1, sinks);
    struct job job = {ol_cpu_of(b), args, sinks, NULL};
    struct ol_received received = {0};
    if (args->received.data != NULL) {
        received = ol_received_new(args->n_heads, args->q.n_rows);
        job.received = &received;
    }
    ol_pool_run(job.cpu->pool, (args->q.n_rows + QUERIES - 1) / QUERIES, task, &job);
    /* Of keys no others than a window hides any. */
    if (job.received != NULL)
        ol_received_means(job.cpu, &received, OL_ATTENTION_SLIDING, args->window,
                          args->received);
    ol_received_free(&received);
    free(sinks);
    return 0;
}
