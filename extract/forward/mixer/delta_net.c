/* Gated delta net (Qwen3-Next's linear layers, after arXiv 2412.06464):
 *
 *     q, k, v, z = x Wqkvz          per key head its q, k, values and gates together
 *     b, a       = x Wba            likewise; or all four products apart (Qwen3.5)
 *     q, k, v    = silu(conv(q, k, v))
 *     out        = (norm(delta_net(q, k, v, b, a)) * silu(z)) Wout
 */
#include "extract/forward/mixer/mixer.h"

enum { QKVZ, BA, MIXED, CONVOLVED, Z, B, A, HEADS };

static bool is_grouped(const struct ol_spec *spec)
{
    return spec->names[OL_ROLE_DELTA_QKVZ] != NULL;
}

static void widths(const struct ol_spec *spec, const struct ol_attention_spec *a,
                   int64_t longest, int64_t w[OL_MIXER_BUFFERS])
{
    (void)longest;
    (void)a;
    const struct ol_delta_net_spec *d = &spec->delta_net;
    const int64_t keys = (int64_t)d->n_key_heads * d->key_dim;
    const int64_t values = (int64_t)d->n_value_heads * d->value_dim;
    if (is_grouped(spec)) {
        w[QKVZ] = 2 * (keys + values);
        w[BA] = 2 * d->n_value_heads;
    }
    w[MIXED] = w[CONVOLVED] = 2 * keys + values;
    w[Z] = w[HEADS] = values;
    w[B] = w[A] = d->n_value_heads;
}

static struct ol_matmul product(struct ol_mixer *m, const struct ol_mixer_block *block,
                                enum ol_role role, int to)
{
    return (struct ol_matmul){.x = block->x,
                              .weight = ol_mixer_weight(m, role, block->layer),
                              .out = ol_mixer_rows(m, to, block->n_rows)};
}

/* From per key head to all q, all k, all v; all z; all b; all a. */
static int regroup(struct ol_mixer *m, int64_t n, struct ol_error *err)
{
    const struct ol_delta_net_spec *d = &m->c.spec->delta_net;
    const int64_t ratio = d->n_value_heads / d->n_key_heads;
    const int64_t dk = d->key_dim, values = ratio * d->value_dim;
    const int64_t keys = d->n_key_heads * dk, group = 2 * dk + 2 * values;
    const struct {
        int from;
        int64_t from_first, from_step;
        int to;
        int64_t to_first, width;
    } copies[] = {
        {QKVZ, 0, group, MIXED, 0, dk},
        {QKVZ, dk, group, MIXED, keys, dk},
        {QKVZ, 2 * dk, group, MIXED, 2 * keys, values},
        {QKVZ, 2 * dk + values, group, Z, 0, values},
        {BA, 0, 2 * ratio, B, 0, ratio},
        {BA, ratio, 2 * ratio, A, 0, ratio},
    };
    for (size_t i = 0; i < sizeof copies / sizeof copies[0]; i++) {
        const struct ol_columns from = {ol_mixer_rows(m, copies[i].from, n),
                                        copies[i].from_first, copies[i].from_step};
        const struct ol_columns to = {ol_mixer_rows(m, copies[i].to, n),
                                      copies[i].to_first, copies[i].width};
        if (m->op->copy_columns(m->c.backend, from, to, copies[i].width, d->n_key_heads,
                                err) != 0)
            return -1;
    }
    return 0;
}

static int project(struct ol_mixer *m, const struct ol_mixer_block *block,
                   struct ol_error *err)
{
    if (!is_grouped(m->c.spec)) {
        const struct ol_matmul apart[] = {product(m, block, OL_ROLE_DELTA_QKV, MIXED),
                                          product(m, block, OL_ROLE_DELTA_Z, Z),
                                          product(m, block, OL_ROLE_DELTA_B, B),
                                          product(m, block, OL_ROLE_DELTA_A, A)};
        return m->op->matmul(m->c.backend, apart, 4, err);
    }
    const struct ol_matmul grouped[] = {product(m, block, OL_ROLE_DELTA_QKVZ, QKVZ),
                                        product(m, block, OL_ROLE_DELTA_BA, BA)};
    if (m->op->matmul(m->c.backend, grouped, 2, err) != 0)
        return -1;
    return regroup(m, block->n_rows, err);
}

static int mix(struct ol_mixer *m, const struct ol_mixer_block *block, int64_t at,
               int64_t n, struct ol_error *err)
{
    const struct ol_weight none = {0};
    const struct ol_tensor convolved = ol_tensor_rows(m->buffers[CONVOLVED], at, n);
    const struct ol_delta_net_args args = {
        .spec = m->c.spec->delta_net,
        .mixed = convolved,
        .beta = ol_tensor_rows(m->buffers[B], at, n),
        .decay = ol_tensor_rows(m->buffers[A], at, n),
        .dt_bias = ol_mixer_weight(m, OL_ROLE_DELTA_DT_BIAS, block->layer),
        .a_log = ol_mixer_weight(m, OL_ROLE_DELTA_A_LOG, block->layer),
        .out = ol_tensor_rows(m->buffers[HEADS], at, n),
    };
    if (m->op->causal_conv(m->c.backend, ol_tensor_rows(m->buffers[MIXED], at, n),
                           ol_mixer_weight(m, OL_ROLE_DELTA_CONV, block->layer), none,
                           convolved, err) != 0)
        return -1;
    return m->op->delta_net(m->c.backend, &args, err);
}

static int run(struct ol_mixer *m, const struct ol_mixer_block *block,
               struct ol_error *err)
{
    const int64_t n = block->n_rows;
    if (project(m, block, err) != 0 || ol_mixer_each_sequence(m, block, mix, err) != 0)
        return -1;
    const struct ol_tensor heads = ol_mixer_rows(m, HEADS, n);
    const struct ol_tensor each = ol_tensor_split(heads, m->c.spec->delta_net.value_dim);
    /* This norm's weight is plain whatever kind the model's other norms are of. */
    if (m->op->norm(m->c.backend, OL_NORM_RMS, m->c.spec->norm_eps, each,
                    ol_mixer_weight(m, OL_ROLE_DELTA_NORM, block->layer), each,
                    err) != 0 ||
        m->op->gate(m->c.backend, OL_GATE_SILU, heads, ol_mixer_rows(m, Z, n), err) !=
            0 ||
        ol_mixer_see(m, OL_POINT_HEADS, block, heads, err) != 0)
        return -1;
    const struct ol_weight none = {0};
    const struct ol_matmul output = {heads,
                                     ol_mixer_weight(m, OL_ROLE_DELTA_OUT, block->layer),
                                     none, .out = block->out};
    return m->op->matmul(m->c.backend, &output, 1, err);
}

const struct ol_mixer_kind ol_mixer_delta_net = {false, 0, widths, run};
