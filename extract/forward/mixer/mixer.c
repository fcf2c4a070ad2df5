#include "extract/forward/mixer/mixer.h"

#include <math.h>
#include <stdlib.h>

#include "common/real_math.h"

#include "extract/model/rope_table.h"

static const struct ol_mixer_kind *kind_of(const struct ol_spec *spec, int layer)
{
    if (spec->layers[layer].attention == OL_ATTENTION_LINEAR)
        return &ol_mixer_delta_net;
    return ol_spec_attention(spec, layer)->kv_rank > 0 ? &ol_mixer_latent
                                                       : &ol_mixer_attention;
}

int ol_mixer_sort(const struct ol_spec *spec, int layer)
{
    if (spec->layers[layer].attention == OL_ATTENTION_LINEAR)
        return 0;
    return ol_spec_attention(spec, layer) == &spec->sliding ? 1 : 2;
}

struct ol_mixer_sizes ol_mixer_sizes(const struct ol_spec *spec)
{
    bool seen[OL_MIXER_SORTS] = {false};
    struct ol_mixer_sizes sizes = {0, 0};
    for (int l = 0; l < spec->n_layers; l++) {
        bool *known = &seen[ol_mixer_sort(spec, l)];
        const struct ol_mixer_kind *kind = kind_of(spec, l);
        const struct ol_attention_spec *a = ol_spec_attention(spec, l);
        int64_t widths[OL_MIXER_BUFFERS] = {0};
        if (*known)
            continue;
        *known = true;
        kind->widths(spec, a, widths);
        for (int i = 0; i < OL_MIXER_BUFFERS; i++)
            sizes.width += widths[i];
        sizes.rope += kind->has_positions ? a->rope.rotary_dim : 0;
    }
    return sizes;
}

static int make_rope(struct ol_mixer *m, struct ol_error *err)
{
    const struct ol_rope_spec *rope = &m->attention->rope;
    struct ol_backend *b = m->c.backend;
    const int64_t half = rope->rotary_dim / 2, n = m->c.longest;
    float *cosines = ol_xmalloc((size_t)(n * half) * sizeof *cosines);
    float *sines = ol_xmalloc((size_t)(n * half) * sizeof *sines);
    m->rope.n_positions = n;
    m->rope.rotary_dim = rope->rotary_dim;
    ol_rope_fill(rope, n, cosines, sines);
    int status = -1;
    if (m->op->tensor_new(b, OL_DTYPE_F32, n, half, &m->rope.cos, err) == 0 &&
        m->op->tensor_new(b, OL_DTYPE_F32, n, half, &m->rope.sin, err) == 0 &&
        m->op->upload(b, m->rope.cos, cosines, err) == 0 &&
        m->op->upload(b, m->rope.sin, sines, err) == 0)
        status = 0;
    free(sines);
    free(cosines);
    return status;
}

static void make_temperature(struct ol_mixer *m)
{
    const struct ol_attention_spec *a = m->attention;
    if (a->temperature_floor <= 0)
        return;
    m->temperature = ol_xcalloc((size_t)m->c.longest, sizeof *m->temperature);
    for (int64_t i = 0; i < m->c.longest; i++) {
        const float steps =
            floorf((float)(i + a->temperature_from) / (float)a->temperature_floor);
        float t = (float)ol_real_log1p((double)steps) * (float)a->temperature_scale + 1;
        if (a->temperature_rounds && m->c.backend->dtype == OL_DTYPE_BF16)
            t = ol_bf16_round(t);
        m->temperature[i] = t;
    }
}

struct ol_mixer *ol_mixer_new(const struct ol_mixer_context *context,
                              struct ol_error *err)
{
    struct ol_mixer *m = ol_xcalloc(1, sizeof *m);
    struct ol_backend *b = context->backend;
    int64_t widths[OL_MIXER_BUFFERS] = {0};
    m->c = *context;
    m->op = b->op;
    m->kind = kind_of(context->spec, context->layer);
    m->attention = ol_spec_attention(context->spec, context->layer);
    m->kind->widths(context->spec, m->attention, widths);
    for (int i = 0; i < OL_MIXER_BUFFERS; i++)
        if (widths[i] > 0 && m->op->tensor_new(b, b->dtype, context->block_rows,
                                               widths[i], &m->buffers[i], err) != 0)
            goto fail;
    if (m->kind->has_positions && make_rope(m, err) != 0)
        goto fail;
    if (m->kind->has_positions)
        make_temperature(m);
    return m;
fail:
    ol_mixer_free(m);
    return NULL;
}

void ol_mixer_free(struct ol_mixer *m)
{
    if (m == NULL)
        return;
    for (int i = 0; i < OL_MIXER_BUFFERS; i++)
        m->op->tensor_free(m->c.backend, &m->buffers[i]);
    m->op->tensor_free(m->c.backend, &m->rope.cos);
    m->op->tensor_free(m->c.backend, &m->rope.sin);
    free(m->temperature);
    free(m);
}

int ol_mixer_run(struct ol_mixer *m, const struct ol_mixer_block *block,
                 struct ol_error *err)
{
    return m->kind->run(m, block, err);
}

int ol_mixer_see(const struct ol_mixer *m, enum ol_point point,
                 const struct ol_mixer_block *block, struct ol_tensor x,
                 struct ol_error *err)
{
    struct ol_view view = block->view;
    view.point = point;
    view.x = x;
    return ol_tap(m->c.taps, &view, err);
}

int ol_mixer_each_sequence(struct ol_mixer *m, const struct ol_mixer_block *block,
                           int (*step)(struct ol_mixer *m,
                                       const struct ol_mixer_block *block, int64_t at,
                                       int64_t n, struct ol_error *err),
                           struct ol_error *err)
{
    for (int64_t i = 0, at = 0; i < block->n_sequences; at += block->lengths[i++])
        if (step(m, block, at, block->lengths[i], err) != 0)
            return -1;
    return 0;
}
