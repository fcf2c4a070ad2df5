/* Latent attention (MLA, arXiv 2405.04434), with keys and values made whole as a prefill
 * wants them:
 *
 *     q       = norm(x Wqa) Wqb, or x Wq
 *     c, r    = x Wkva             c: kv_rank values; r: one rotated key for all heads
 *     kn, v   = norm(c) Wkvb       per head its key, then its value
 *     out     = attention([qn rope(qr)] t, [kn rope(r)], v) Wo      t: a factor, or 1
 *
 * In long sequences an indexer may choose the keys that a query sees (DeepSeek-V3.2).
 */
#include "extract/forward/mixer/mixer.h"

enum {
    Q_LATENT,
    Q,
    LATENT_AND_KEY,
    LATENT,
    SHARED_KEY,
    KEYS_AND_VALUES,
    K,
    V,
    HEADS,
    INDEX_Q,
    INDEX_K,
    INDEX_WEIGHTS
};

static int rotary(const struct ol_spec *spec)
{
    return spec->attention.rope.rotary_dim;
}

static void widths(const struct ol_spec *spec, const struct ol_attention_spec *a,
                   int64_t longest, int64_t w[OL_MIXER_BUFFERS])
{
    w[Q_LATENT] = a->q_rank;
    w[Q] = w[K] = (int64_t)a->n_heads * a->head_dim;
    w[LATENT] = a->kv_rank;
    w[SHARED_KEY] = rotary(spec);
    w[LATENT_AND_KEY] = a->kv_rank + rotary(spec);
    w[V] = w[HEADS] = (int64_t)a->n_heads * a->value_dim;
    if (ol_spec_chooses(spec, longest)) {
        w[INDEX_Q] = (int64_t)a->index.n_heads * a->index.head_dim;
        w[INDEX_K] = a->index.head_dim;
        w[INDEX_WEIGHTS] = a->index.n_heads;
    }
    w[KEYS_AND_VALUES] = w[V] + (int64_t)a->n_heads * (a->head_dim - rotary(spec));
}

static int multiply(struct ol_mixer *m, int layer, struct ol_tensor x, enum ol_role role,
                    enum ol_role bias, struct ol_tensor out, struct ol_error *err)
{
    const struct ol_weight none = {0};
    const struct ol_matmul product = {
        x, ol_mixer_weight(m, role, layer),
        bias != role ? ol_mixer_weight(m, bias, layer) : none, .out = out};
    return m->op->matmul(m->c.backend, &product, 1, err);
}

static int normalise(struct ol_mixer *m, int layer, struct ol_tensor x, enum ol_role role,
                     struct ol_error *err)
{
    return m->op->norm(m->c.backend, m->c.spec->norm, m->c.spec->attention.rank_norm_eps,
                       x, ol_mixer_weight(m, role, layer), x, err);
}

/* Queries without their last, rotated values: what the keys' half of kv_b multiplies in a
 * machine that keeps keys latent. The keys' own buffer is still free. */
static int see_queries(struct ol_mixer *m, const struct ol_mixer_block *block,
                       struct ol_tensor q, struct ol_error *err)
{
    const struct ol_attention_spec *a = &m->c.spec->attention;
    const int64_t own = a->head_dim - rotary(m->c.spec);
    if (!ol_taps_want(m->c.taps, block->layer, OL_POINT_QUERIES))
        return 0;
    struct ol_tensor parts = ol_mixer_rows(m, K, q.n_rows);
    parts.n_cols = a->n_heads * own;
    const struct ol_columns from = {q, 0, a->head_dim}, to = {parts, 0, own};
    if (m->op->copy_columns(m->c.backend, from, to, own, a->n_heads, err) != 0)
        return -1;
    return ol_mixer_see(m, OL_POINT_QUERIES, block, parts, err);
}

static int make_queries(struct ol_mixer *m, const struct ol_mixer_block *block,
                        struct ol_error *err)
{
    const int64_t n = block->n_rows;
    struct ol_tensor from = block->x;
    if (m->c.spec->attention.q_rank > 0) {
        from = ol_mixer_rows(m, Q_LATENT, n);
        if (multiply(m, block->layer, block->x, OL_ROLE_Q_A, OL_ROLE_Q_A_BIAS, from,
                     err) != 0 ||
            normalise(m, block->layer, from, OL_ROLE_Q_A_NORM, err) != 0 ||
            ol_mixer_see(m, OL_POINT_QUERY_LATENT, block, from, err) != 0)
            return -1;
    }
    const struct ol_tensor q = ol_mixer_rows(m, Q, n);
    if (multiply(m, block->layer, from, OL_ROLE_Q, OL_ROLE_Q, q, err) != 0)
        return -1;
    return see_queries(m, block, q, err);
}

static int make_latent(struct ol_mixer *m, const struct ol_mixer_block *block,
                       struct ol_error *err)
{
    const int64_t n = block->n_rows, rank = m->c.spec->attention.kv_rank;
    const struct ol_tensor both = ol_mixer_rows(m, LATENT_AND_KEY, n),
                           latent = ol_mixer_rows(m, LATENT, n),
                           key = ol_mixer_rows(m, SHARED_KEY, n);
    const struct ol_columns first = {both, 0, 0}, second = {both, rank, 0};
    const struct ol_columns to_latent = {latent, 0, 0}, to_key = {key, 0, 0};
    if (multiply(m, block->layer, block->x, OL_ROLE_KV_A, OL_ROLE_KV_A_BIAS, both, err) !=
            0 ||
        m->op->copy_columns(m->c.backend, first, to_latent, rank, 1, err) != 0 ||
        m->op->copy_columns(m->c.backend, second, to_key, rotary(m->c.spec), 1, err) != 0)
        return -1;
    if (normalise(m, block->layer, latent, OL_ROLE_KV_A_NORM, err) != 0)
        return -1;
    return ol_mixer_see(m, OL_POINT_KEY_LATENT, block, latent, err);
}

/* Positions for queries and the shared key. */
static int rotate(struct ol_mixer *m, const struct ol_mixer_block *block,
                  struct ol_error *err)
{
    const struct ol_attention_spec *a = &m->c.spec->attention;
    const int dim = rotary(m->c.spec);
    const struct ol_tensor q = ol_mixer_rows(m, Q, block->n_rows);
    const struct ol_rope_args queries = {.kind = a->rope.kind,
                                         .head_dim = a->head_dim,
                                         .first = a->head_dim - dim},
                              key = {.kind = a->rope.kind, .head_dim = dim};
    if (ol_mixer_rotate(m, block, queries, q, err) != 0 ||
        ol_mixer_temper(m, block, q, err) != 0)
        return -1;
    return ol_mixer_rotate(m, block, key, ol_mixer_rows(m, SHARED_KEY, block->n_rows),
                           err);
}

/* One sequence: the keys that each of its queries sees, until the next layer that has an
 * indexer. */
static int choose_keys(struct ol_mixer *m, const struct ol_mixer_block *block, int64_t at,
                       int64_t n, struct ol_error *err)
{
    const struct ol_index_spec *index = &m->c.spec->attention.index;
    const struct ol_index_args args = {
        .n_heads = index->n_heads,
        .head_dim = index->head_dim,
        .top_k = (int)index->top_k,
        .rate = 1,
        .q = ol_tensor_rows(m->buffers[INDEX_Q], at, n),
        .k = ol_tensor_rows(m->buffers[INDEX_K], at, n),
        .weights = ol_tensor_rows(m->buffers[INDEX_WEIGHTS], at, n),
        .scores = m->scores,
        .chosen = ol_tensor_rows(m->chosen, block->first + at, n),
    };
    return m->op->index(m->c.backend, &args, err);
}

static int rotate_index(struct ol_mixer *m, const struct ol_mixer_block *block,
                        struct ol_error *err)
{
    const struct ol_index_spec *index = &m->c.spec->attention.index;
    const struct ol_rope_args args = {.kind = index->rope,
                                      .head_dim = (int)index->head_dim};
    if (ol_mixer_rotate(m, block, args, ol_mixer_rows(m, INDEX_Q, block->n_rows), err) !=
        0)
        return -1;
    return ol_mixer_rotate(m, block, args, ol_mixer_rows(m, INDEX_K, block->n_rows), err);
}

/* The norm of the index's keys is built without the config's eps. */
static int run_indexer(struct ol_mixer *m, const struct ol_mixer_block *block,
                       struct ol_error *err)
{
    const int64_t n = block->n_rows;
    const int l = block->layer;
    if (m->chosen.data == NULL || !m->c.spec->layers[l].indexer)
        return 0;
    const struct ol_tensor k = ol_mixer_rows(m, INDEX_K, n);
    if (multiply(m, l, ol_mixer_rows(m, Q_LATENT, n), OL_ROLE_INDEX_Q, OL_ROLE_INDEX_Q,
                 ol_mixer_rows(m, INDEX_Q, n), err) != 0 ||
        multiply(m, l, block->x, OL_ROLE_INDEX_K, OL_ROLE_INDEX_K, k, err) != 0 ||
        multiply(m, l, block->x, OL_ROLE_INDEX_WEIGHTS, OL_ROLE_INDEX_WEIGHTS,
                 ol_mixer_rows(m, INDEX_WEIGHTS, n), err) != 0 ||
        m->op->layer_norm(
            m->c.backend, 1e-6, k, ol_mixer_weight(m, OL_ROLE_INDEX_K_NORM, l),
            ol_mixer_weight(m, OL_ROLE_INDEX_K_NORM_BIAS, l), k, err) != 0 ||
        rotate_index(m, block, err) != 0)
        return -1;
    return ol_mixer_each_sequence(m, block, choose_keys, err);
}

static struct ol_attention_args args_of(const struct ol_mixer *m,
                                        const struct ol_mixer_block *block)
{
    const struct ol_attention_spec *a = &m->c.spec->attention;
    return (struct ol_attention_args){
        .n_heads = a->n_heads,
        .n_kv_heads = a->n_kv_heads,
        .head_dim = a->head_dim,
        .value_dim = a->value_dim,
        .scale = a->scale,
        .kind = m->c.spec->layers[block->layer].attention,
        .sequences = ol_mixer_sequences(block),
        .chosen = m->chosen.data != NULL
                      ? ol_tensor_rows(m->chosen, block->first, block->n_rows)
                      : m->chosen,
    };
}

static int attend_as(struct ol_mixer *m, const struct ol_attention_args *args, int64_t n,
                     struct ol_error *err)
{
    return m->op->attention(m->c.backend, args, ol_mixer_rows(m, Q, n),
                            ol_mixer_rows(m, K, n), ol_mixer_rows(m, V, n),
                            ol_mixer_rows(m, HEADS, n), err);
}

static int attend(struct ol_mixer *m, const struct ol_mixer_block *block,
                  struct ol_error *err)
{
    struct ol_attention_args args = args_of(m, block);
    ol_mixer_ask(m, block, &args);
    return attend_as(m, &args, block->n_rows, err);
}

/* To something else than values: the heads are looked at when it is those. */
static int attend_to_latent(struct ol_mixer *m, const struct ol_mixer_block *block,
                            struct ol_error *err)
{
    const struct ol_attention_args args = args_of(m, block);
    return attend_as(m, &args, block->n_rows, err);
}

/* What the values' half of kv_b multiplies in a machine that keeps values latent: the
 * latent as every head attends to it. It is attended to in the place of values, as many
 * columns at a time as a value has; their buffer is still free. */
static int see_values(struct ol_mixer *m, const struct ol_mixer_block *block,
                      struct ol_error *err)
{
    const struct ol_attention_spec *a = &m->c.spec->attention;
    if (!ol_taps_want(m->c.taps, block->layer, OL_POINT_VALUES))
        return 0;
    for (int64_t at = 0; at < a->kv_rank; at += a->value_dim) {
        const int64_t width =
            a->kv_rank - at < a->value_dim ? a->kv_rank - at : a->value_dim;
        const struct ol_columns from = {ol_mixer_rows(m, LATENT, block->n_rows), at, 0},
                                to = {ol_mixer_rows(m, V, block->n_rows), 0,
                                      a->value_dim};
        if (m->op->copy_columns(m->c.backend, from, to, width, a->n_heads, err) != 0 ||
            attend_to_latent(m, block, err) != 0)
            return -1;
        /* The last time, the columns of the time before may stand behind these. */
        const struct ol_pieces pieces = {a->n_heads, at, width};
        struct ol_view view = block->view;
        view.point = OL_POINT_VALUES;
        view.pieces = &pieces;
        view.x = ol_mixer_rows(m, HEADS, block->n_rows);
        if (ol_tap(m->c.taps, &view, err) != 0)
            return -1;
    }
    return 0;
}

static int make_keys_and_values(struct ol_mixer *m, const struct ol_mixer_block *block,
                                struct ol_error *err)
{
    const struct ol_attention_spec *a = &m->c.spec->attention;
    const struct ol_backend_operations *op = m->op;
    const int64_t n = block->n_rows, v = a->value_dim;
    const int64_t shared = rotary(m->c.spec), own = a->head_dim - shared;
    const struct ol_tensor both = ol_mixer_rows(m, KEYS_AND_VALUES, n),
                           k = ol_mixer_rows(m, K, n);
    const struct ol_columns keys = {both, 0, own + v}, values = {both, own, own + v};
    const struct ol_columns key = {ol_mixer_rows(m, SHARED_KEY, n), 0, 0};
    const struct ol_columns to_own = {k, 0, a->head_dim},
                            to_shared = {k, own, a->head_dim},
                            to_value = {ol_mixer_rows(m, V, n), 0, v};
    if (multiply(m, block->layer, ol_mixer_rows(m, LATENT, n), OL_ROLE_KV_B, OL_ROLE_KV_B,
                 both, err) != 0 ||
        op->copy_columns(m->c.backend, keys, to_own, own, a->n_heads, err) != 0 ||
        op->copy_columns(m->c.backend, key, to_shared, shared, a->n_heads, err) != 0 ||
        see_values(m, block, err) != 0)
        return -1;
    return op->copy_columns(m->c.backend, values, to_value, v, a->n_heads, err);
}

static int run(struct ol_mixer *m, const struct ol_mixer_block *block,
               struct ol_error *err)
{
    if (make_queries(m, block, err) != 0 || run_indexer(m, block, err) != 0 ||
        make_latent(m, block, err) != 0 || rotate(m, block, err) != 0 ||
        make_keys_and_values(m, block, err) != 0 || attend(m, block, err) != 0)
        return -1;
    const struct ol_tensor heads = ol_mixer_rows(m, HEADS, block->n_rows);
    if (ol_mixer_see(m, OL_POINT_HEADS, block, heads, err) != 0)
        return -1;
    return multiply(m, block->layer, heads, OL_ROLE_O, OL_ROLE_O_BIAS, block->out, err);
}

const struct ol_mixer_kind ol_mixer_latent = {true, 0, widths, run};
