/* Attention of DeepSeek-V4: one key for all heads, which is their value too, and in
 * COMPRESSED layers entries in the place of keys behind a window.
 *
 *     q       = norm(norm(x Wqa) Wqb)        per head, the outer norm without a weight
 *     k       = norm(x Wk)
 *     e       = norm(compress(x We, x Wg))   an entry has its first token's position
 *     out     = rope^-1(attention(rope(q), rope(k), rope(e))) Woa Wo
 *
 * Positions turn the last values of a head, and what the heads give is turned back, so
 * that a value counts by its distance. Woa multiplies groups of heads, each by itself.
 * An indexer, whose keys are entries of its own, may choose the entries that are seen. */
#include "extract/forward/mixer/mixer.h"

enum {
    Q_LATENT,
    Q,
    KEYS,
    VALUES, /* these two of entries, or of an indexer's, which is done before */
    GATES,
    ENTRIES,
    HEADS,
    OUT_LATENT,
    INDEX_Q,
    INDEX_ENTRIES,
    INDEX_WEIGHTS
};

/* What entries need at most: the smallest rate, and how many parts values have. */
struct entries {
    int rate, n_parts;
};

static struct entries entries_of(const struct ol_spec *spec)
{
    struct entries e = {0, 1};
    for (int l = 0; l < spec->n_layers; l++) {
        const struct ol_layer_spec *layer = &spec->layers[l];
        if (layer->rate > 0 && (e.rate == 0 || layer->rate < e.rate))
            e.rate = layer->rate;
        if (layer->overlaps)
            e.n_parts = 2;
    }
    return e;
}

static void widths(const struct ol_spec *spec, const struct ol_attention_spec *a,
                   int64_t longest, int64_t w[OL_MIXER_BUFFERS])
{
    const struct entries e = entries_of(spec);
    w[Q_LATENT] = a->q_rank;
    w[Q] = w[HEADS] = (int64_t)a->n_heads * a->head_dim;
    w[KEYS] = a->head_dim;
    w[OUT_LATENT] = (int64_t)a->out_groups * a->out_rank;
    if (a == &spec->sliding || e.rate == 0)
        return;
    w[VALUES] = w[GATES] = (int64_t)e.n_parts * a->head_dim;
    w[ENTRIES] = (a->head_dim + e.rate - 1) / e.rate;
    if (!ol_spec_chooses(spec, longest))
        return;
    const int64_t own = (int64_t)e.n_parts * a->index.head_dim;
    w[VALUES] = w[GATES] = own > w[VALUES] ? own : w[VALUES];
    w[INDEX_Q] = (int64_t)a->index.n_heads * a->index.head_dim;
    w[INDEX_ENTRIES] = (a->index.head_dim + e.rate - 1) / e.rate;
    w[INDEX_WEIGHTS] = a->index.n_heads;
}

/* A buffer as [n, width], which need not be its own. */
static struct ol_tensor as(const struct ol_mixer *m, int buffer, int64_t n, int64_t width)
{
    struct ol_tensor t = m->buffers[buffer];
    t.n_rows = n;
    t.n_cols = width;
    return t;
}

static int multiply(struct ol_mixer *m, int layer, struct ol_tensor x, enum ol_role role,
                    struct ol_tensor out, struct ol_error *err)
{
    const struct ol_weight none = {0};
    const struct ol_matmul product = {x, ol_mixer_weight(m, role, layer), none,
                                      .out = out};
    return m->op->matmul(m->c.backend, &product, 1, err);
}

static int normalise(struct ol_mixer *m, int layer, struct ol_tensor x, enum ol_role role,
                     struct ol_error *err)
{
    return m->op->norm(m->c.backend, m->c.spec->norm, m->c.spec->norm_eps, x,
                       ol_mixer_weight(m, role, layer), x, err);
}

/* The last values of heads of `width`; step: of positions from row to row. */
static int turn(struct ol_mixer *m, const struct ol_rope_table *table, int64_t step,
                int width, struct ol_tensor x, struct ol_error *err)
{
    struct ol_rope_table stepped = *table;
    stepped.step = step;
    const struct ol_rope_args args = {.kind = m->attention->rope.kind,
                                      .table = &stepped,
                                      .head_dim = width,
                                      .first = width - table->rotary_dim};
    return m->op->rope(m->c.backend, &args, x, err);
}

static int make_queries_and_keys(struct ol_mixer *m, const struct ol_mixer_block *block,
                                 struct ol_error *err)
{
    const struct ol_weight none = {0};
    const int64_t n = block->n_rows;
    const int l = block->layer;
    const struct ol_tensor latent = ol_mixer_rows(m, Q_LATENT, n),
                           q = ol_mixer_rows(m, Q, n), k = ol_mixer_rows(m, KEYS, n),
                           heads = ol_tensor_split(q, m->attention->head_dim);
    if (multiply(m, l, block->x, OL_ROLE_Q_A, latent, err) != 0 ||
        normalise(m, l, latent, OL_ROLE_Q_A_NORM, err) != 0 ||
        ol_mixer_see(m, OL_POINT_QUERY_LATENT, block, latent, err) != 0 ||
        multiply(m, l, latent, OL_ROLE_Q, q, err) != 0 ||
        m->op->norm(m->c.backend, m->c.spec->norm, m->c.spec->norm_eps, heads, none,
                    heads, err) != 0)
        return -1;
    return multiply(m, l, block->x, OL_ROLE_K, k, err) == 0
               ? normalise(m, l, k, OL_ROLE_K_NORM, err)
               : -1;
}

/* ---- entries ---- */

/* Whose entries: the keys', or the indexer's. */
struct kind_of_entries {
    enum ol_role values, gates, places, norm;
    int buffer, width;
};

static struct kind_of_entries of_keys(const struct ol_mixer *m)
{
    return (struct kind_of_entries){OL_ROLE_ENTRY_VALUES,
                                    OL_ROLE_ENTRY_GATES,
                                    OL_ROLE_ENTRY_PLACES,
                                    OL_ROLE_ENTRY_NORM,
                                    ENTRIES,
                                    m->attention->head_dim};
}

static struct kind_of_entries of_index(const struct ol_mixer *m)
{
    return (struct kind_of_entries){OL_ROLE_INDEX_K,      OL_ROLE_INDEX_GATES,
                                    OL_ROLE_INDEX_PLACES, OL_ROLE_INDEX_K_NORM,
                                    INDEX_ENTRIES,        m->attention->index.head_dim};
}

static int64_t parts_width(const struct ol_mixer *m, int layer,
                           const struct kind_of_entries *kind)
{
    return kind->width * (m->c.spec->layers[layer].overlaps ? 2 : 1);
}

/* What entries will be made of, of all rows. */
static int make_parts(struct ol_mixer *m, const struct ol_mixer_block *block,
                      const struct kind_of_entries *kind, struct ol_error *err)
{
    const int64_t n = block->n_rows, width = parts_width(m, block->layer, kind);
    const int l = block->layer;
    return multiply(m, l, block->x, kind->values, as(m, VALUES, n, width), err) == 0
               ? multiply(m, l, block->x, kind->gates, as(m, GATES, n, width), err)
               : -1;
}

/* One sequence's; *entries [n / rate, width] until the next one's. */
static int make_entries(struct ol_mixer *m, const struct ol_mixer_block *block,
                        int64_t at, int64_t n, const struct kind_of_entries *kind,
                        struct ol_tensor *entries, struct ol_error *err)
{
    const struct ol_layer_spec *l = &m->c.spec->layers[block->layer];
    const int64_t width = parts_width(m, block->layer, kind), end = at + n;
    *entries = as(m, kind->buffer, n / l->rate, kind->width);
    const struct ol_compress_args args = {
        .rate = l->rate,
        .overlaps = l->overlaps,
        .bias = ol_mixer_weight(m, kind->places, block->layer),
        .values = ol_tensor_rows(as(m, VALUES, end, width), at, n),
        .gates = ol_tensor_rows(as(m, GATES, end, width), at, n),
        .out = *entries,
    };
    if (m->op->compress(m->c.backend, &args, err) != 0 ||
        normalise(m, block->layer, *entries, kind->norm, err) != 0)
        return -1;
    return turn(m, &m->rope[0], l->rate, kind->width, *entries, err);
}

/* ---- the indexer ---- */

static int choose(struct ol_mixer *m, const struct ol_mixer_block *block, int64_t at,
                  int64_t n, struct ol_error *err)
{
    const struct ol_index_spec *index = &m->attention->index;
    const struct kind_of_entries kind = of_index(m);
    struct ol_index_args args = {
        .n_heads = index->n_heads,
        .head_dim = index->head_dim,
        .top_k = (int)index->top_k,
        .rate = m->c.spec->layers[block->layer].rate,
        .q = ol_tensor_rows(m->buffers[INDEX_Q], at, n),
        .weights = ol_tensor_rows(m->buffers[INDEX_WEIGHTS], at, n),
        .scores = m->scores,
        .chosen = ol_tensor_rows(m->chosen, block->first + at, n),
    };
    if (make_entries(m, block, at, n, &kind, &args.k, err) != 0 ||
        turn(m, &m->rope[0], 1, index->head_dim, args.q, err) != 0)
        return -1;
    return m->op->index(m->c.backend, &args, err);
}

static bool chooses(const struct ol_mixer *m, int layer)
{
    return m->chosen.data != NULL && m->c.spec->layers[layer].indexer;
}

static int run_indexer(struct ol_mixer *m, const struct ol_mixer_block *block,
                       struct ol_error *err)
{
    const struct kind_of_entries kind = of_index(m);
    const int64_t n = block->n_rows;
    const int l = block->layer;
    if (!chooses(m, l))
        return 0;
    if (make_parts(m, block, &kind, err) != 0 ||
        multiply(m, l, ol_mixer_rows(m, Q_LATENT, n), OL_ROLE_INDEX_Q,
                 ol_mixer_rows(m, INDEX_Q, n), err) != 0 ||
        multiply(m, l, block->x, OL_ROLE_INDEX_WEIGHTS,
                 ol_mixer_rows(m, INDEX_WEIGHTS, n), err) != 0)
        return -1;
    return ol_mixer_each_sequence(m, block, choose, err);
}

/* ---- attention ---- */

static int attend(struct ol_mixer *m, const struct ol_mixer_block *block, int64_t at,
                  int64_t n, struct ol_error *err)
{
    const struct ol_attention_spec *a = m->attention;
    const struct ol_layer_spec *l = &m->c.spec->layers[block->layer];
    const struct kind_of_entries kind = of_keys(m);
    const struct ol_mixer_looked looked = ol_mixer_looked(m, block, at, n);
    struct ol_compressed_attention_args args = {
        .n_heads = a->n_heads,
        .head_dim = a->head_dim,
        .scale = a->scale,
        .window = l->window,
        .rate = l->rate,
        .sinks = ol_mixer_weight(m, OL_ROLE_SINKS, block->layer),
        .q = ol_tensor_rows(m->buffers[Q], at, n),
        .keys = ol_tensor_rows(m->buffers[KEYS], at, n),
        .out = ol_tensor_rows(m->buffers[HEADS], at, n),
        .received = looked.received,
        .to_sink = looked.to_sink,
    };
    if (chooses(m, block->layer))
        args.chosen = ol_tensor_rows(m->chosen, block->first + at, n);
    if (turn(m, &m->rope[0], 1, a->head_dim, args.q, err) != 0 ||
        turn(m, &m->rope[0], 1, a->head_dim, args.keys, err) != 0 ||
        (l->rate > 0 && make_entries(m, block, at, n, &kind, &args.entries, err) != 0) ||
        m->op->compressed_attention(m->c.backend, &args, err) != 0)
        return -1;
    return turn(m, &m->rope_back, 1, a->head_dim, args.out, err);
}

static int run(struct ol_mixer *m, const struct ol_mixer_block *block,
               struct ol_error *err)
{
    const struct kind_of_entries kind = of_keys(m);
    const int64_t n = block->n_rows;
    const int l = block->layer;
    const struct ol_tensor heads = ol_mixer_rows(m, HEADS, n),
                           latent = ol_mixer_rows(m, OUT_LATENT, n);
    if (make_queries_and_keys(m, block, err) != 0 || run_indexer(m, block, err) != 0 ||
        (m->c.spec->layers[l].rate > 0 && make_parts(m, block, &kind, err) != 0) ||
        ol_mixer_each_sequence(m, block, attend, err) != 0 ||
        ol_mixer_see(m, OL_POINT_HEADS, block, heads, err) != 0 ||
        multiply(m, l, heads, OL_ROLE_O_A, latent, err) != 0 ||
        ol_mixer_see(m, OL_POINT_OUT_LATENT, block, latent, err) != 0)
        return -1;
    return multiply(m, l, latent, OL_ROLE_O, block->out, err);
}

const struct ol_mixer_kind ol_mixer_shared_key = {true, 0, widths, run};
