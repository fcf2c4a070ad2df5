/* An activation file without a model, for tests and benchmarks of ol-analyze.
 *
 *     make_activations FILE LAYERS SEQUENCES TOKENS D_MODEL bf16|f32 SEED KIND [FIRST]
 *
 * KIND is `edges` (values at and around 6.0, infinities and NaN, lengths that differ) or
 * `plain` (about one value in 800 at or above 6.0, none that is not finite). FIRST: the
 * number of its first sequence in the run of which this file is a part. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/activation_file.h"

struct maker {
    struct ol_activation_layout layout;
    uint64_t seed, state;
    bool edges;
    int64_t first;
};

/* splitmix64 (Steele, Lea, Flood; public domain constants). */
static uint64_t next(struct maker *m)
{
    uint64_t z = (m->state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static float small(struct maker *m)
{
    return (float)((double)(next(m) >> 40) / (double)(1 << 24) * 11.0 - 5.5);
}

static float edge(struct maker *m)
{
    static const float values[] = {6.0F,     -6.0F, 5.96875F, -5.96875F,
                                   6.03125F, 9.5F,  -31.0F,   100.0F};
    return values[next(m) % (sizeof values / sizeof values[0])];
}

/* Features differ in how often, and at which sites, they have something to show. */
static float value(struct maker *m, int site, int64_t feature)
{
    if (!m->edges)
        return feature % 16 == 3 && next(m) % 50 == 0 ? edge(m) * 1.5F : small(m);
    const uint64_t often = (uint64_t)feature % 7;
    if (feature % 5 == 0 && next(m) % 900 == 0)
        return next(m) % 2 == 0 ? NAN : -INFINITY;
    if ((feature + site) % 4 < 1 + feature % 3 && next(m) % 40 < often)
        return edge(m);
    return feature % 11 == 4 ? -fabsf(small(m)) : small(m);
}

static int write_sequence(struct maker *m, struct ol_activation_writer *w, int64_t s,
                          int32_t length, struct ol_error *err)
{
    const int64_t d = m->layout.d_model;
    const size_t n = (size_t)(length * d);
    float *rows = ol_xcalloc(n, sizeof *rows);
    void *stored = ol_xcalloc(n, ol_dtype_size(m->layout.dtype));
    float nll[1 << 16];
    for (int64_t t = 0; t < m->layout.n_tokens; t++)
        nll[t] = t > 0 && t < length ? 3.0F + small(m) / 2 : NAN;
    const struct ol_activation_rows tokens = {s, 0, m->layout.n_tokens},
                                    there = {s, 0, length};
    int status = ol_activation_put(w, OL_TABLE_NLL, 0, &tokens, nll, err);
    for (int l = 0; l < m->layout.n_layers && status == 0; l++) {
        for (int site = OL_SITE_LN_ATTN; site <= OL_SITE_LN_MLP && status == 0; site++) {
            for (size_t i = 0; i < n; i++)
                rows[i] = value(m, 2 * l + site, (int64_t)(i % (size_t)d));
            ol_from_f32(m->layout.dtype, rows, stored, n);
            status =
                ol_activation_put(w, (enum ol_table)ol_table_of_site((enum ol_site)site),
                                  l, &there, stored, err);
        }
        for (int32_t t = 0; t < length && status == 0 && m->layout.layers[l].top_k > 0;
             t++) {
            const uint16_t first = (uint16_t)(next(m) % 5);
            const uint16_t ids[2] = {first, (uint16_t)((first + 1 + next(m) % 4) % 6)};
            const float weights[2] = {0.75F, 0.25F};
            const struct ol_activation_rows row = {s, t, 1};
            status = ol_activation_put(w, OL_TABLE_ROUTER_IDS, l, &row, ids, err);
            if (status == 0)
                status =
                    ol_activation_put(w, OL_TABLE_ROUTER_WEIGHTS, l, &row, weights, err);
        }
    }
    free(stored);
    free(rows);
    return status;
}

static struct ol_activation_writer *create(struct maker *m, const char *path,
                                           int32_t *lengths, struct ol_error *err)
{
    const struct ol_activation_layout *layout = &m->layout;
    const size_t n = (size_t)(layout->n_sequences * layout->n_tokens);
    int32_t *ids = ol_xcalloc(n, sizeof *ids);
    memset(ids, 0xff, n * sizeof *ids);
    for (int64_t s = 0; s < layout->n_sequences; s++) {
        lengths[s] = (int32_t)layout->n_tokens;
        if (m->edges && s % 3 == 1)
            lengths[s] = (int32_t)(1 + layout->n_tokens / 3);
        for (int32_t t = 0; t < lengths[s]; t++)
            ids[s * layout->n_tokens + t] = t % 10;
    }
    struct ol_activation_info info = {
        .tool = (char[]){"make_activations"},
        .created = (char[]){"2000-01-01T00:00:00Z"},
        .model = {.name = (char[]){"made-up"},
                  .n_layers = layout->n_layers,
                  .d_model = layout->d_model,
                  .vocab_size = 10,
                  .n_experts = 6,
                  .top_k = 2},
    };
    const struct ol_activation_input input = {.token_ids = ids, .lengths = lengths};
    struct ol_activation_writer *w =
        ol_activation_create(path, true, &info, layout, &input, err);
    free(ids);
    return w;
}

int main(int argc, char **argv)
{
    struct ol_error err = {0};
    if (argc < 9 || argc > 10) {
        fprintf(stderr, "usage: make_activations FILE LAYERS SEQUENCES TOKENS D_MODEL "
                        "bf16|f32 SEED edges|plain [FIRST]\n");
        return 2;
    }
    struct maker m = {
        .layout = {.n_layers = atoi(argv[2]),
                   .n_sequences = atoll(argv[3]),
                   .n_tokens = atoll(argv[4]),
                   .d_model = atoll(argv[5]),
                   .dtype = strcmp(argv[6], "f32") == 0 ? OL_DTYPE_F32 : OL_DTYPE_BF16,
                   .nll = true},
        .seed = strtoull(argv[7], NULL, 10),
        .edges = strcmp(argv[8], "edges") == 0,
        .first = argc == 10 ? atoll(argv[9]) : 0,
    };
    m.layout.layers = ol_xcalloc((size_t)m.layout.n_layers, sizeof *m.layout.layers);
    for (int l = 0; l < m.layout.n_layers; l++)
        m.layout.layers[l] = (struct ol_activation_layer){.number = l,
                                                          .moe = l % 2 == 0,
                                                          .attention = "full",
                                                          .sites = {true, true},
                                                          .top_k = l % 2 == 0 ? 2 : 0};
    int32_t *lengths = ol_xcalloc((size_t)m.layout.n_sequences, sizeof *lengths);
    struct ol_activation_writer *w = create(&m, argv[1], lengths, &err);
    int status = w != NULL ? 0 : -1;
    for (int64_t s = 0; s < m.layout.n_sequences && status == 0; s++) {
        m.state = m.seed + (uint64_t)(m.first + s) * 1000003;
        status = write_sequence(&m, w, s, lengths[s], &err);
    }
    if (status == 0)
        status = ol_activation_seal(w, NULL, NULL, NULL, &err);
    if (status != 0)
        fprintf(stderr, "make_activations: %s\n", err.text);
    free(lengths);
    free(m.layout.layers);
    return status != 0;
}
