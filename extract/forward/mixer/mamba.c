/* Mamba-2 (arXiv 2405.21060):
 *
 *     z, xBC, step = x Win
 *     xBC          = silu(conv(xBC) + bias)
 *     out          = norm(scan(xBC, step) * silu(z)) Wout      norm: group by group
 *
 * The scan's output is not rounded before the norm's. */
#include "extract/forward/mixer/mixer.h"

enum { IN, Z, MIXED, STEP, CONVOLVED, SCANNED, HEADS };

static void widths(const struct ol_spec *spec, const struct ol_attention_spec *a,
                   int64_t longest, int64_t w[OL_MIXER_BUFFERS])
{
    (void)longest, (void)a;
    const struct ol_mamba_spec *s = &spec->mamba;
    w[Z] = w[SCANNED] = w[HEADS] = (int64_t)s->n_heads * s->head_dim;
    w[MIXED] = w[CONVOLVED] = w[Z] + 2 * (int64_t)s->n_groups * s->state_dim;
    w[STEP] = s->n_heads;
    w[IN] = w[Z] + w[MIXED] + w[STEP];
}

static int project(struct ol_mixer *m, const struct ol_mixer_block *block,
                   struct ol_error *err)
{
    const struct ol_tensor all = ol_mixer_rows(m, IN, block->n_rows);
    const struct ol_matmul product = {
        .x = block->x,
        .weight = ol_mixer_weight(m, OL_ROLE_MAMBA_IN, block->layer),
        .out = all};
    if (m->op->matmul(m->c.backend, &product, 1, err) != 0)
        return -1;
    int64_t at = 0;
    for (int i = Z; i <= STEP; i++) {
        const struct ol_tensor part = ol_mixer_rows(m, i, block->n_rows);
        const struct ol_columns from = {all, at, 0}, to = {part, 0, 0};
        if (m->op->copy_columns(m->c.backend, from, to, part.n_cols, 1, err) != 0)
            return -1;
        at += part.n_cols;
    }
    return 0;
}

static int mix(struct ol_mixer *m, const struct ol_mixer_block *block, int64_t at,
               int64_t n, struct ol_error *err)
{
    const int l = block->layer;
    const struct ol_tensor convolved = ol_tensor_rows(m->buffers[CONVOLVED], at, n);
    const struct ol_mamba_args args = {
        .spec = m->c.spec->mamba,
        .mixed = convolved,
        .step = ol_tensor_rows(m->buffers[STEP], at, n),
        .dt_bias = ol_mixer_weight(m, OL_ROLE_MAMBA_DT_BIAS, l),
        .a_log = ol_mixer_weight(m, OL_ROLE_MAMBA_A_LOG, l),
        .skip = ol_mixer_weight(m, OL_ROLE_MAMBA_SKIP, l),
        .out = ol_tensor_rows(m->buffers[SCANNED], at, n),
    };
    if (m->op->causal_conv(m->c.backend, ol_tensor_rows(m->buffers[MIXED], at, n),
                           ol_mixer_weight(m, OL_ROLE_MAMBA_CONV, l),
                           ol_mixer_weight(m, OL_ROLE_MAMBA_CONV_BIAS, l), convolved,
                           err) != 0)
        return -1;
    return m->op->mamba(m->c.backend, &args, err);
}

static int run(struct ol_mixer *m, const struct ol_mixer_block *block,
               struct ol_error *err)
{
    const int64_t n = block->n_rows;
    const struct ol_tensor heads = ol_mixer_rows(m, HEADS, n);
    if (project(m, block, err) != 0 || ol_mixer_each_sequence(m, block, mix, err) != 0 ||
        m->op->gated_norm(m->c.backend, m->c.spec->mamba.n_groups, m->c.spec->norm_eps,
                          ol_mixer_rows(m, SCANNED, n), ol_mixer_rows(m, Z, n),
                          ol_mixer_weight(m, OL_ROLE_MAMBA_NORM, block->layer), heads,
                          err) != 0 ||
        ol_mixer_see(m, OL_POINT_HEADS, block, heads, err) != 0)
        return -1;
    const struct ol_matmul output = {
        .x = heads,
        .weight = ol_mixer_weight(m, OL_ROLE_MAMBA_OUT, block->layer),
        .out = block->out};
    return m->op->matmul(m->c.backend, &output, 1, err);
}

const struct ol_mixer_kind ol_mixer_mamba = {false, 1u << SCANNED, widths, run};
