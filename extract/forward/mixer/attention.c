/* Attention with keys and values per (group of) heads:
 *
 *     q, k, v = norm(x Wq), norm(x Wk), x Wv      norm: per head, over all heads, or none
 *     out     = attention(rope(q), rope(k), v) Wo
 *
 * Where Wq, Wk and Wv are one matrix, so is their product at first. A gated layer's Wq
 * gives a gate per value of a head, whose sigmoid scales the heads' output. A layer may
 * borrow another one's keys, as they are behind rope, and its values. */
#include "extract/forward/mixer/mixer.h"

enum { Q_AND_GATE, QKV, Q, K, V, GATE, HEADS };

static void widths(const struct ol_spec *spec, const struct ol_attention_spec *a,
                   int64_t longest, int64_t w[OL_MIXER_BUFFERS])
{
    (void)longest;
    w[Q] = w[HEADS] = (int64_t)a->n_heads * a->head_dim;
    w[K] = w[V] = (int64_t)a->n_kv_heads * a->head_dim;
    if (spec->names[OL_ROLE_QKV] != NULL)
        w[QKV] = w[Q] + w[K] + w[V];
    if (a->gated) {
        w[Q_AND_GATE] = 2 * w[Q];
        w[GATE] = w[Q];
    }
}

static int split_gate(struct ol_mixer *m, int64_t n, struct ol_error *err)
{
    const struct ol_attention_spec *a = m->attention;
    const struct ol_tensor both = ol_mixer_rows(m, Q_AND_GATE, n);
    const int64_t d = a->head_dim;
    const struct ol_columns queries = {both, 0, 2 * d}, gates = {both, d, 2 * d};
    const struct ol_columns q = {ol_mixer_rows(m, Q, n), 0, d},
                            gate = {ol_mixer_rows(m, GATE, n), 0, d};
    if (m->op->copy_columns(m->c.backend, queries, q, d, a->n_heads, err) != 0)
        return -1;
    return m->op->copy_columns(m->c.backend, gates, gate, d, a->n_heads, err);
}

static int project_as_one(struct ol_mixer *m, const struct ol_mixer_block *block,
                          struct ol_error *err)
{
    const int64_t n = block->n_rows;
    const struct ol_tensor all = ol_mixer_rows(m, QKV, n);
    const struct ol_matmul product = {
        block->x, ol_mixer_weight(m, OL_ROLE_QKV, block->layer),
        ol_mixer_weight(m, OL_ROLE_QKV_BIAS, block->layer), .out = all};
    if (m->op->matmul(m->c.backend, &product, 1, err) != 0)
        return -1;
    int64_t at = 0;
    for (int i = Q; i <= V; i++) {
        const struct ol_tensor part = ol_mixer_rows(m, i, n);
        const struct ol_columns from = {all, at, 0}, to = {part, 0, 0};
        if (m->op->copy_columns(m->c.backend, from, to, part.n_cols, 1, err) != 0)
            return -1;
        at += part.n_cols;
    }
    return 0;
}

static bool borrows(const struct ol_mixer *m, int layer)
{
    return m->c.spec->layers[layer].borrows_keys;
}

/* Keys and values of the block that are kept, from buffers or into them. */
static int copy_kept(struct ol_mixer *m, const struct ol_mixer_block *block, bool into,
                     struct ol_error *err)
{
    const struct ol_tensor kept[] = {m->kept_keys, m->kept_values};
    for (int i = 0; i < 2; i++) {
        const struct ol_tensor rows =
                                   ol_tensor_rows(kept[i], block->first, block->n_rows),
                               own = ol_mixer_rows(m, i == 0 ? K : V, block->n_rows);
        const struct ol_columns from = {into ? rows : own, 0, 0},
                                to = {into ? own : rows, 0, 0};
        if (m->op->copy_columns(m->c.backend, from, to, own.n_cols, 1, err) != 0)
            return -1;
    }
    return 0;
}

/* Values that are keys, before anything is done to these. */
static int values_from_keys(struct ol_mixer *m, int64_t n, struct ol_error *err)
{
    const struct ol_tensor k = ol_mixer_rows(m, K, n);
    const struct ol_columns from = {k, 0, 0}, to = {ol_mixer_rows(m, V, n), 0, 0};
    return m->op->copy_columns(m->c.backend, from, to, k.n_cols, 1, err);
}

static int normalise_values(struct ol_mixer *m, int layer, int64_t n,
                            struct ol_error *err)
{
    if (borrows(m, layer))
        return 0;
    const struct ol_weight none = {0};
    const struct ol_tensor v =
        ol_tensor_split(ol_mixer_rows(m, V, n), m->attention->head_dim);
    return m->attention->norm_values ? m->op->norm(m->c.backend, m->c.spec->norm,
                                                   m->c.spec->norm_eps, v, none, v, err)
                                     : 0;
}

static int project(struct ol_mixer *m, const struct ol_mixer_block *block,
                   struct ol_error *err)
{
    const bool gated = m->attention->gated;
    const int64_t n = block->n_rows;
    const int l = block->layer;
    if (m->c.spec->names[OL_ROLE_QKV] != NULL)
        return project_as_one(m, block, err);
    const struct ol_matmul products[] = {
        {block->x, ol_mixer_weight(m, OL_ROLE_Q, l),
         ol_mixer_weight(m, OL_ROLE_Q_BIAS, l),
         .out = ol_mixer_rows(m, gated ? Q_AND_GATE : Q, n)},
        {block->x, ol_mixer_weight(m, OL_ROLE_K, l),
         ol_mixer_weight(m, OL_ROLE_K_BIAS, l), .out = ol_mixer_rows(m, K, n)},
        {block->x, ol_mixer_weight(m, OL_ROLE_V, l),
         ol_mixer_weight(m, OL_ROLE_V_BIAS, l), .out = ol_mixer_rows(m, V, n)},
    };
    const int n_products = borrows(m, l) ? 1 : m->attention->keys_are_values ? 2 : 3;
    if (m->op->matmul(m->c.backend, products, n_products, err) != 0 ||
        (n_products == 2 && values_from_keys(m, n, err) != 0) ||
        (borrows(m, l) && copy_kept(m, block, true, err) != 0))
        return -1;
    return gated ? split_gate(m, n, err) : 0;
}

static int normalise(struct ol_mixer *m, int layer, struct ol_tensor q,
                     struct ol_tensor k, struct ol_error *err)
{
    const struct ol_spec *spec = m->c.spec;
    if (m->attention->qk_norm != OL_QK_NORM_FLAT) {
        q = ol_tensor_split(q, m->attention->head_dim);
        k = ol_tensor_split(k, m->attention->head_dim);
    }
    if (m->op->norm(m->c.backend, spec->norm, spec->norm_eps, q,
                    ol_mixer_weight(m, OL_ROLE_Q_NORM, layer), q, err) != 0)
        return -1;
    if (borrows(m, layer))
        return 0;
    return m->op->norm(m->c.backend, spec->norm, spec->norm_eps, k,
                       ol_mixer_weight(m, OL_ROLE_K_NORM, layer), k, err);
}

static int clip(struct ol_mixer *m, int64_t n, struct ol_error *err)
{
    const double limit = m->attention->clip_qkv;
    for (int i = Q; limit > 0 && i <= V; i++)
        if (m->op->clip(m->c.backend, ol_mixer_rows(m, i, n), limit, err) != 0)
            return -1;
    return 0;
}

/* Rope, and the temperature of queries. */
static int place(struct ol_mixer *m, const struct ol_mixer_block *block,
                 struct ol_tensor q, struct ol_tensor k, struct ol_error *err)
{
    const struct ol_attention_spec *a = m->attention;
    const struct ol_rope_args args = {.kind = a->rope.kind, .head_dim = a->head_dim};
    const bool still = m->c.spec->layers[block->layer].no_rope;
    if (!still &&
        (ol_mixer_rotate(m, block, args, q, err) != 0 ||
         (!borrows(m, block->layer) && ol_mixer_rotate(m, block, args, k, err) != 0)))
        return -1;
    if (!still && a->qk_norm == OL_QK_NORM_UNIT &&
        normalise(m, block->layer, q, k, err) != 0)
        return -1;
    return still || a->temperature_everywhere ? ol_mixer_temper(m, block, q, err) : 0;
}

static int attend(struct ol_mixer *m, const struct ol_mixer_block *block,
                  struct ol_error *err)
{
    const struct ol_attention_spec *a = m->attention;
    const struct ol_layer_spec *l = &m->c.spec->layers[block->layer];
    struct ol_attention_args args = {
        .n_heads = a->n_heads,
        .n_kv_heads = a->n_kv_heads,
        .head_dim = a->head_dim,
        .value_dim = a->value_dim,
        .scale = a->scale,
        .kind = l->attention,
        .window = l->window,
        .sinks = ol_mixer_weight(m, OL_ROLE_SINKS, block->layer),
        .sequences = ol_mixer_sequences(block),
    };
    const int64_t n = block->n_rows;
    const struct ol_tensor q = ol_mixer_rows(m, Q, n), k = ol_mixer_rows(m, K, n);
    ol_mixer_ask(m, block, &args);
    if (place(m, block, q, k, err) != 0)
        return -1;
    return m->op->attention(m->c.backend, &args, q, k, ol_mixer_rows(m, V, n),
                            ol_mixer_rows(m, HEADS, n), err);
}

static int gate(struct ol_mixer *m, const struct ol_mixer_block *block,
                struct ol_tensor heads, struct ol_error *err)
{
    const struct ol_tensor gates = ol_mixer_rows(m, GATE, block->n_rows);
    if (ol_mixer_looks_at_heads(m, block) &&
        m->op->gate_means(m->c.backend, gates,
                          ol_tensor_rows(m->gates, block->view.first, block->n_rows),
                          err) != 0)
        return -1;
    return m->op->gate(m->c.backend, OL_GATE_SIGMOID, heads, gates, err);
}

static int run(struct ol_mixer *m, const struct ol_mixer_block *block,
               struct ol_error *err)
{
    const enum ol_qk_norm qk_norm = m->attention->qk_norm;
    const int64_t n = block->n_rows;
    const struct ol_tensor heads = ol_mixer_rows(m, HEADS, n);
    if (project(m, block, err) != 0)
        return -1;
    if ((qk_norm == OL_QK_NORM_HEAD || qk_norm == OL_QK_NORM_FLAT) &&
        normalise(m, block->layer, ol_mixer_rows(m, Q, n), ol_mixer_rows(m, K, n), err) !=
            0)
        return -1;
    if (normalise_values(m, block->layer, n, err) != 0 || clip(m, n, err) != 0 ||
        attend(m, block, err) != 0 ||
        (m->c.spec->layers[block->layer].keeps_keys &&
         copy_kept(m, block, false, err) != 0))
        return -1;
    if (m->attention->gated && gate(m, block, heads, err) != 0)
        return -1;
    if (ol_mixer_see(m, OL_POINT_HEADS, block, heads, err) != 0)
        return -1;
    const struct ol_matmul output = {heads, ol_mixer_weight(m, OL_ROLE_O, block->layer),
                                     ol_mixer_weight(m, OL_ROLE_O_BIAS, block->layer),
                                     .out = block->out};
    return m->op->matmul(m->c.backend, &output, 1, err);
}

const struct ol_mixer_kind ol_mixer_attention = {true, 0, widths, run};
