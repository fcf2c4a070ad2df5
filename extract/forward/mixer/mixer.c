#include "extract/forward/mixer/mixer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/real_math.h"

static const struct ol_mixer_kind *kind_of(const struct ol_spec *spec, int layer)
{
    if (spec->layers[layer].attention == OL_ATTENTION_LINEAR)
        return &ol_mixer_delta_net;
    if (spec->layers[layer].attention == OL_ATTENTION_MAMBA)
        return &ol_mixer_mamba;
    if (spec->attention.shared_key)
        return &ol_mixer_shared_key;
    return ol_spec_attention(spec, layer)->kv_rank > 0 ? &ol_mixer_latent
                                                       : &ol_mixer_attention;
}

int ol_mixer_sort(const struct ol_spec *spec, int layer)
{
    if (spec->layers[layer].attention == OL_ATTENTION_LINEAR)
        return 0;
    if (spec->layers[layer].attention == OL_ATTENTION_MAMBA)
        return 1;
    return ol_spec_attention(spec, layer) == &spec->sliding ? 2 : 3;
}

/* Keys of the longest sequence among which an indexer chooses. */
static int64_t chosen_keys(const struct ol_spec *spec, int64_t longest)
{
    const int rate = spec->attention.index.rate;
    return rate > 0 ? longest / rate : longest;
}

static int64_t chosen_words(const struct ol_spec *spec, int64_t longest)
{
    return (chosen_keys(spec, longest) + 31) / 32;
}

/* Values per row that layers of that one's sort keep of their keys, and of values. */
static int64_t kept_width(const struct ol_spec *spec, int layer)
{
    const struct ol_attention_spec *a = ol_spec_attention(spec, layer);
    for (int l = 0; l < spec->n_layers; l++)
        if (spec->layers[l].keeps_keys &&
            ol_mixer_sort(spec, l) == ol_mixer_sort(spec, layer))
            return (int64_t)a->n_kv_heads * a->head_dim;
    return 0;
}

struct ol_mixer_sizes ol_mixer_sizes(const struct ol_spec *spec, int64_t longest)
{
    bool seen[OL_MIXER_SORTS] = {false};
    struct ol_mixer_sizes sizes = {0};
    if (ol_spec_chooses(spec, longest)) {
        sizes.chosen_bytes = chosen_words(spec, longest) * (int64_t)sizeof(int32_t);
        sizes.score_bytes =
            OL_INDEX_ROWS * chosen_keys(spec, longest) * (int64_t)sizeof(float);
    }
    for (int l = 0; l < spec->n_layers; l++) {
        if (!ol_spec_mixes(spec, l))
            continue;
        bool *known = &seen[ol_mixer_sort(spec, l)];
        const struct ol_mixer_kind *kind = kind_of(spec, l);
        const struct ol_attention_spec *a = ol_spec_attention(spec, l);
        int64_t widths[OL_MIXER_BUFFERS] = {0};
        if (*known)
            continue;
        *known = true;
        kind->widths(spec, a, longest, widths);
        for (int i = 0; i < OL_MIXER_BUFFERS; i++)
            if ((kind->floats >> i & 1) != 0)
                sizes.float_bytes += widths[i] * (int64_t)sizeof(float);
            else
                sizes.width += widths[i];
        sizes.kept += 2 * kept_width(spec, l);
        for (int i = 0; kind->has_positions && i < OL_ROPE_TABLES; i++)
            sizes.rope_bytes += ol_rope_positions(&a->rope, longest, i) *
                                a->rope.rotary_dim * (int64_t)sizeof(float);
    }
    return sizes;
}

/* sines: of the rope, and on return of the other way round. */
static int make_rope_back(struct ol_mixer *m, float *sines, struct ol_error *err)
{
    struct ol_rope_table *back = &m->rope_back;
    const int64_t n = m->rope[0].n_positions, half = m->rope[0].rotary_dim / 2;
    *back = m->rope[0];
    back->sin = (struct ol_tensor){0};
    for (int64_t i = 0; i < n * half; i++)
        sines[i] = -sines[i];
    return m->op->tensor_new(m->c.backend, OL_DTYPE_F32, n, half, &back->sin, err) == 0
               ? m->op->upload(m->c.backend, back->sin, sines, err)
               : -1;
}

static int make_rope(struct ol_mixer *m, int number, struct ol_error *err)
{
    const struct ol_rope_spec *rope = &m->attention->rope;
    struct ol_rope_table *table = &m->rope[number];
    struct ol_backend *b = m->c.backend;
    const int64_t half = rope->rotary_dim / 2,
                  n = ol_rope_positions(rope, m->c.longest, number);
    if (n == 0)
        return 0;
    float *cosines = ol_xmalloc((size_t)(n * half) * sizeof *cosines);
    float *sines = ol_xmalloc((size_t)(n * half) * sizeof *sines);
    table->n_positions = n;
    table->rotary_dim = rope->rotary_dim;
    ol_rope_fill(rope, number, n, cosines, sines);
    int status = -1;
    if (m->op->tensor_new(b, OL_DTYPE_F32, n, half, &table->cos, err) == 0 &&
        m->op->tensor_new(b, OL_DTYPE_F32, n, half, &table->sin, err) == 0 &&
        m->op->upload(b, table->cos, cosines, err) == 0 &&
        m->op->upload(b, table->sin, sines, err) == 0)
        status = 0;
    if (status == 0 && m->attention->shared_key)
        status = make_rope_back(m, sines, err);
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
    m->factors = ol_xcalloc((size_t)m->c.block_rows, sizeof *m->factors);
}

static int make_seen(struct ol_mixer *m, struct ol_error *err)
{
    const struct ol_spec *spec = m->c.spec;
    const int64_t n = m->c.n_rows, n_heads = m->attention->n_heads;
    bool wanted = false;
    for (int l = 0; l < spec->n_layers; l++)
        wanted |= ol_taps_want(m->c.taps, l, OL_POINT_RECEIVED);
    if (!wanted)
        return 0;
    if (m->attention->gated &&
        m->op->tensor_new(m->c.backend, OL_DTYPE_F32, n, n_heads, &m->gates, err) != 0)
        return -1;
    return m->op->tensor_new(m->c.backend, OL_DTYPE_F32, n, n_heads, &m->to_sink, err) !=
                       0 ||
                   m->op->tensor_new(m->c.backend, OL_DTYPE_F32, n, n_heads, &m->received,
                                     err) != 0
               ? -1
               : 0;
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
    m->kind->widths(context->spec, m->attention, context->longest, widths);
    for (int i = 0; i < OL_MIXER_BUFFERS; i++)
        if (widths[i] > 0 &&
            m->op->tensor_new(b,
                              (m->kind->floats >> i & 1) != 0 ? OL_DTYPE_F32 : b->dtype,
                              context->block_rows, widths[i], &m->buffers[i], err) != 0)
            goto fail;
    for (int i = 0; m->kind->has_positions && i < OL_ROPE_TABLES; i++)
        if (make_rope(m, i, err) != 0)
            goto fail;
    if (m->attention == &context->spec->attention &&
        ol_spec_chooses(context->spec, context->longest) &&
        (m->op->tensor_new(b, OL_DTYPE_I32, context->all_rows,
                           chosen_words(context->spec, context->longest), &m->chosen,
                           err) != 0 ||
         m->op->tensor_new(b, OL_DTYPE_F32, OL_INDEX_ROWS,
                           chosen_keys(context->spec, context->longest), &m->scores,
                           err) != 0))
        goto fail;
    const int64_t kept = kept_width(context->spec, context->layer);
    if (kept > 0 && (m->op->tensor_new(b, b->dtype, context->all_rows, kept,
                                       &m->kept_keys, err) != 0 ||
                     m->op->tensor_new(b, b->dtype, context->all_rows, kept,
                                       &m->kept_values, err) != 0))
        goto fail;
    if (m->kind->has_positions)
        make_temperature(m);
    if (ol_spec_attends(context->spec, context->layer) && make_seen(m, err) != 0)
        goto fail;
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
    m->op->tensor_free(m->c.backend, &m->to_sink);
    m->op->tensor_free(m->c.backend, &m->gates);
    m->op->tensor_free(m->c.backend, &m->received);
    m->op->tensor_free(m->c.backend, &m->kept_keys);
    m->op->tensor_free(m->c.backend, &m->kept_values);
    m->op->tensor_free(m->c.backend, &m->chosen);
    m->op->tensor_free(m->c.backend, &m->scores);
    for (int i = 0; i < OL_ROPE_TABLES; i++) {
        m->op->tensor_free(m->c.backend, &m->rope[i].cos);
        m->op->tensor_free(m->c.backend, &m->rope[i].sin);
    }
    m->op->tensor_free(m->c.backend, &m->rope_back.sin);
    free(m->factors);
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

/* ---- heads ---- */

bool ol_mixer_looks_at_heads(const struct ol_mixer *m, const struct ol_mixer_block *block)
{
    return block->view.arm == 0 &&
           ol_taps_want(m->c.taps, block->layer, OL_POINT_RECEIVED);
}

struct ol_mixer_looked ol_mixer_looked(const struct ol_mixer *m,
                                       const struct ol_mixer_block *block, int64_t at,
                                       int64_t n)
{
    if (!ol_mixer_looks_at_heads(m, block))
        return (struct ol_mixer_looked){0};
    at += block->view.first;
    return (struct ol_mixer_looked){ol_tensor_rows(m->received, at, n),
                                    ol_tensor_rows(m->to_sink, at, n)};
}

void ol_mixer_ask(const struct ol_mixer *m, const struct ol_mixer_block *block,
                  struct ol_attention_args *args)
{
    const struct ol_mixer_looked looked = ol_mixer_looked(m, block, 0, block->n_rows);
    args->received = looked.received;
    args->to_sink = looked.to_sink;
}

/* The table of a sequence of n rows. */
static const struct ol_rope_table *table_of(const struct ol_mixer *m, int64_t n)
{
    return n <= m->rope[0].n_positions ? &m->rope[0] : &m->rope[1];
}

int ol_mixer_rotate(struct ol_mixer *m, const struct ol_mixer_block *block,
                    struct ol_rope_args args, struct ol_tensor x, struct ol_error *err)
{
    for (int64_t i = 0, at = 0, n; i < block->n_sequences; at += n) {
        const int64_t first = i;
        args.table = table_of(m, block->lengths[i]);
        for (n = 0;
             i < block->n_sequences && table_of(m, block->lengths[i]) == args.table; i++)
            n += block->lengths[i];
        args.sequences = (struct ol_sequences){block->lengths + first, i - first};
        if (m->op->rope(m->c.backend, &args, ol_tensor_rows(x, at, n), err) != 0)
            return -1;
    }
    return 0;
}

int ol_mixer_temper(struct ol_mixer *m, const struct ol_mixer_block *block,
                    struct ol_tensor x, struct ol_error *err)
{
    if (m->temperature == NULL)
        return 0;
    for (int64_t i = 0, at = 0; i < block->n_sequences; at += block->lengths[i++])
        memcpy(m->factors + at, m->temperature,
               (size_t)block->lengths[i] * sizeof *m->factors);
    return m->op->scale_rows(m->c.backend, x, m->factors, err);
}

int ol_mixer_see_heads(const struct ol_mixer *m, struct ol_view view,
                       struct ol_error *err)
{
    const bool sinks = ol_mixer_weight(m, OL_ROLE_SINKS, view.layer).data != NULL;
    const struct {
        enum ol_point point;
        struct ol_tensor x;
        bool there;
    } seen[] = {{OL_POINT_TO_SINK, m->to_sink, sinks},
                {OL_POINT_GATES, m->gates, m->gates.data != NULL},
                {OL_POINT_RECEIVED, m->received, true}};
    for (int i = 0; i < 3; i++) {
        view.point = seen[i].point;
        view.x = seen[i].x;
        if (seen[i].there && ol_taps_want(m->c.taps, view.layer, view.point) &&
            ol_tap(m->c.taps, &view, err) != 0)
            return -1;
    }
    return 0;
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
