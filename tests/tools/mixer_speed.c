/* mixer_speed bf16|f32 [TOKENS [THREADS]]: one sequence of TOKENS (2048) through what
 * mixes its tokens, each as wide: causal attention of HEADS heads of DIM values, a delta
 * net and a scan of Mamba-2 of as many, an indexer of as many that chooses a quarter of
 * the keys, attention to those, and attention to a window and one entry for every four
 * tokens. Milliseconds, the best of ROUNDS that take turns, and how many times as long as
 * attention. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "extract/backend.h"

enum { HEADS = 32, DIM = 128, WIDTH = HEADS * DIM, ROUNDS = 3 };
enum { GROUPS = 8, STATE = 128 }; /* of Mamba-2 */
enum { WINDOW = 128, RATE = 4 };  /* of compressed attention */

struct speed {
    struct ol_backend *b;
    int n;
    struct ol_tensor q, k, v, out, key, weights, scores, chosen, mixed, beta, decay;
    struct ol_tensor written, scanned, entries;
    struct ol_weight zeros; /* [HEADS] */
};

static void fail(const struct ol_error *err)
{
    fprintf(stderr, "mixer_speed: %s\n", err->text);
    exit(1);
}

/* Values between -1 and 1. */
static struct ol_tensor tensor(const struct speed *s, enum ol_dtype dtype, int64_t n_cols)
{
    struct ol_error err = {0};
    struct ol_tensor t;
    uint32_t state = 1;
    if (s->b->op->tensor_new(s->b, dtype, s->n, n_cols, &t, &err) != 0)
        fail(&err);
    for (int64_t i = 0; i < s->n * n_cols && dtype != OL_DTYPE_I32; i++) {
        state = state * 1664525 + 1013904223;
        const float value = (float)(state >> 8) / 0x1p23F - 1;
        ol_from_f32(dtype, &value, (char *)t.data + (size_t)i * ol_dtype_size(dtype), 1);
    }
    return t;
}

static int attend(struct speed *s, struct ol_tensor chosen, struct ol_error *err)
{
    const struct ol_attention_args args = {.n_heads = HEADS,
                                           .n_kv_heads = HEADS,
                                           .head_dim = DIM,
                                           .value_dim = DIM,
                                           .scale = 1 / sqrt((double)DIM),
                                           .chosen = chosen};
    return s->b->op->attention(s->b, &args, s->q, s->k, s->v, s->out, err);
}

static int attention(struct speed *s, struct ol_error *err)
{
    const struct ol_tensor none = {0};
    return attend(s, none, err);
}

static int delta_net(struct speed *s, struct ol_error *err)
{
    const struct ol_delta_net_args args = {.spec = {HEADS, HEADS, DIM, DIM, 4},
                                           .mixed = s->mixed,
                                           .beta = s->beta,
                                           .decay = s->decay,
                                           .dt_bias = s->zeros,
                                           .a_log = s->zeros,
                                           .out = s->out};
    return s->b->op->delta_net(s->b, &args, err);
}

static int mamba(struct speed *s, struct ol_error *err)
{
    const struct ol_mamba_args args = {
        .spec = {HEADS, GROUPS, DIM, STATE, 4, 0, INFINITY},
        .mixed = s->written,
        .step = s->beta,
        .dt_bias = s->zeros,
        .a_log = s->zeros,
        .skip = s->zeros,
        .out = s->scanned};
    return s->b->op->mamba(s->b, &args, err);
}

static int attend_to_entries(struct speed *s, struct ol_error *err)
{
    const struct ol_compressed_attention_args args = {.n_heads = HEADS,
                                                      .head_dim = DIM,
                                                      .scale = 1 / sqrt((double)DIM),
                                                      .window = WINDOW,
                                                      .rate = RATE,
                                                      .sinks = s->zeros,
                                                      .q = s->q,
                                                      .keys = s->key,
                                                      .entries = s->entries,
                                                      .out = s->out};
    return s->b->op->compressed_attention(s->b, &args, err);
}

static int choose(struct speed *s, struct ol_error *err)
{
    const struct ol_index_args args = {.n_heads = HEADS,
                                       .head_dim = DIM,
                                       .top_k = s->n / 4,
                                       .rate = 1,
                                       .q = s->q,
                                       .k = s->key,
                                       .weights = s->weights,
                                       .scores = s->scores,
                                       .chosen = s->chosen};
    return s->b->op->index(s->b, &args, err);
}

static int attend_to_chosen(struct speed *s, struct ol_error *err)
{
    return attend(s, s->chosen, err);
}

static double seconds_of(struct speed *s, int (*run)(struct speed *, struct ol_error *))
{
    struct ol_error err = {0};
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (run(s, &err) != 0)
        fail(&err);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - start.tv_sec) +
           1e-9 * (double)(end.tv_nsec - start.tv_nsec);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(struct speed *, struct ol_error *);
    } all[] = {{"attention", attention},
               {"delta net", delta_net},
               {"Mamba-2", mamba},
               {"indexer", choose},
               {"attention to chosen keys", attend_to_chosen},
               {"compressed attention", attend_to_entries}};
    enum { N = sizeof all / sizeof all[0] };
    struct ol_error err = {0};
    const enum ol_dtype dtype =
        argc > 1 && strcmp(argv[1], "f32") == 0 ? OL_DTYPE_F32 : OL_DTYPE_BF16;
    static float zeros[HEADS];
    struct speed s = {.n = argc > 2 ? atoi(argv[2]) : 2048,
                      .b = ol_cpu_open(dtype, argc > 3 ? atoi(argv[3]) : 0, &err),
                      .zeros = ol_weight_plain(zeros, OL_DTYPE_F32, 1, HEADS)};
    if (s.b == NULL || s.n < 4)
        fail(&err);
    s.q = tensor(&s, dtype, WIDTH);
    s.k = tensor(&s, dtype, WIDTH);
    s.v = tensor(&s, dtype, WIDTH);
    s.out = tensor(&s, dtype, WIDTH);
    s.key = tensor(&s, dtype, DIM);
    s.weights = tensor(&s, dtype, HEADS);
    s.scores = tensor(&s, OL_DTYPE_F32, OL_INDEX_ROWS);
    s.chosen = tensor(&s, OL_DTYPE_I32, (s.n + 31) / 32);
    s.mixed = tensor(&s, dtype, (int64_t)3 * WIDTH);
    s.beta = tensor(&s, dtype, HEADS);
    s.decay = tensor(&s, dtype, HEADS);
    s.written = tensor(&s, dtype, WIDTH + 2 * GROUPS * STATE);
    s.scanned = tensor(&s, OL_DTYPE_F32, WIDTH);
    s.entries = tensor(&s, dtype, DIM);
    s.entries.n_rows = s.n / RATE;
    /* The backend takes them for [OL_INDEX_ROWS, n]. */
    s.scores.n_rows = OL_INDEX_ROWS;
    s.scores.n_cols = s.n;
    double best[N];
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < N; i++) {
            const double t = seconds_of(&s, all[i].run);
            best[i] = round == 0 || t < best[i] ? t : best[i];
        }
    for (int i = 0; i < N; i++)
        printf("%-24s %8.1f ms %6.2f\n", all[i].name, 1000 * best[i], best[i] / best[0]);
    struct ol_tensor *const tensors[] = {
        &s.q,      &s.k,     &s.v,    &s.out,   &s.key,     &s.weights, &s.scores,
        &s.chosen, &s.mixed, &s.beta, &s.decay, &s.written, &s.scanned, &s.entries};
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        s.b->op->tensor_free(s.b, tensors[i]);
    s.b->op->close(s.b);
    return 0;
}
