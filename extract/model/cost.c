#include "extract/model/cost.h"

#include <math.h>

static double n_tokens(const struct ol_cost_tokens *tokens)
{
    double n = 0;
    for (int64_t i = 0; i < tokens->n_sequences; i++)
        n += tokens->lengths[i];
    return n;
}

/* (query, key) pairs that the mask leaves visible. */
static double n_pairs(const struct ol_layer_spec *layer,
                      const struct ol_cost_tokens *tokens)
{
    double pairs = 0;
    for (int64_t i = 0; i < tokens->n_sequences; i++) {
        const double n = tokens->lengths[i];
        const double w = layer->window > 0 && layer->window < n ? layer->window : n;
        const double whole = floor(n / w), rest = n - whole * w;
        if (layer->attention == OL_ATTENTION_CHUNKED)
            pairs += whole * w * (w + 1) / 2 + rest * (rest + 1) / 2;
        else
            pairs += w * (w + 1) / 2 + (n - w) * w;
    }
    return pairs;
}

/* Of the sequences in which keys are chosen all queries and keys are scored. */
static double indexer(const struct ol_spec *spec, const struct ol_layer_spec *layer,
                      const struct ol_cost_tokens *tokens)
{
    const struct ol_attention_spec *a = &spec->attention;
    const double width = (double)a->index.n_heads * a->index.head_dim;
    bool chooses = false;
    for (int64_t i = 0; i < tokens->n_sequences; i++)
        chooses = chooses || ol_spec_chooses(spec, tokens->lengths[i]);
    if (!layer->indexer || !chooses)
        return 0;
    return 2 * n_tokens(tokens) *
               (a->q_rank * width +
                spec->d_model * (double)(a->index.head_dim + a->index.n_heads)) +
           2 * width * n_pairs(layer, tokens);
}

static double attention(const struct ol_spec *spec, int layer,
                        const struct ol_cost_tokens *tokens)
{
    const struct ol_attention_spec *a = ol_spec_attention(spec, layer);
    const double d = spec->d_model, heads = a->n_heads;
    const double q_width = heads * a->head_dim, o_width = heads * a->value_dim;
    double weights = q_width * (a->gated ? 2 : 1) * d + o_width * d;
    if (!spec->layers[layer].borrows_keys)
        weights += 2.0 * a->n_kv_heads * a->head_dim * d;
    if (a->kv_rank > 0)
        weights = d * (a->kv_rank + a->rope.rotary_dim) +
                  a->kv_rank * (q_width - heads * a->rope.rotary_dim + o_width) +
                  o_width * d + (a->q_rank > 0 ? a->q_rank * (d + q_width) : q_width * d);
    return 2 * n_tokens(tokens) * weights +
           2 * (q_width + o_width) * n_pairs(&spec->layers[layer], tokens) +
           indexer(spec, &spec->layers[layer], tokens);
}

/* (query, entry) pairs: of each query all that are whole, up to `most`. */
static double n_entry_pairs(double rate, double most, const struct ol_cost_tokens *tokens)
{
    double pairs = 0;
    for (int64_t i = 0; i < tokens->n_sequences; i++) {
        const double n = tokens->lengths[i], few = n < most * rate ? n : most * rate;
        pairs += few * few / (2 * rate);
        pairs += n > few ? (n - few) * most : 0;
    }
    return pairs;
}

static double shared_key(const struct ol_spec *spec, int layer,
                         const struct ol_cost_tokens *tokens)
{
    const struct ol_attention_spec *a = ol_spec_attention(spec, layer);
    const struct ol_layer_spec *l = &spec->layers[layer];
    const double d = spec->d_model, q_width = (double)a->n_heads * a->head_dim,
                 latent = (double)a->out_groups * a->out_rank,
                 index = (double)a->index.n_heads * a->index.head_dim;
    const double parts = l->overlaps ? 4 : 2; /* values' and gates' */
    double weights =
        a->q_rank * (d + q_width) + d * a->head_dim + q_width * a->out_rank + latent * d;
    double pairs = n_pairs(l, tokens), scored = 0;
    if (l->rate > 0) {
        weights += parts * d * a->head_dim;
        pairs += n_entry_pairs(l->rate, l->indexer ? (double)a->index.top_k : INFINITY,
                               tokens);
    }
    if (indexer(spec, l, tokens) > 0) {
        weights += a->q_rank * index + d * (parts * a->index.head_dim + a->index.n_heads);
        scored = n_entry_pairs(l->rate, INFINITY, tokens);
    }
    return 2 * n_tokens(tokens) * weights + 4 * q_width * pairs + 2 * index * scored;
}

/* The state is read and written once per token. */
static double delta_net(const struct ol_spec *spec, const struct ol_cost_tokens *tokens)
{
    const struct ol_delta_net_spec *s = &spec->delta_net;
    const double keys = (double)s->n_key_heads * s->key_dim;
    const double values = (double)s->n_value_heads * s->value_dim;
    const double weights =
        spec->d_model * (2 * keys + 3 * values + 2 * s->n_value_heads) +
        (2 * keys + values) * s->kernel;
    return 2 * n_tokens(tokens) * (weights + 3 * values * s->key_dim);
}

/* Of the recurrence: the state is written and read once per token. */
static double mamba(const struct ol_spec *spec, const struct ol_cost_tokens *tokens)
{
    const struct ol_mamba_spec *s = &spec->mamba;
    const double width = (double)s->n_heads * s->head_dim;
    const double groups = (double)s->n_groups * s->state_dim;
    const double weights = spec->d_model * (3 * width + 2 * groups + s->n_heads) +
                           (width + 2 * groups) * s->kernel;
    return 2 * n_tokens(tokens) * (weights + 2 * width * s->state_dim);
}

double ol_cost_mixer(const struct ol_spec *spec, int layer,
                     const struct ol_cost_tokens *tokens)
{
    if (spec->attention.shared_key)
        return shared_key(spec, layer, tokens);
    switch (spec->layers[layer].attention) {
    case OL_ATTENTION_FULL:
    case OL_ATTENTION_SLIDING:
    case OL_ATTENTION_CHUNKED:
    case OL_ATTENTION_COMPRESSED:
        return attention(spec, layer, tokens);
    case OL_ATTENTION_LINEAR:
        return delta_net(spec, tokens);
    case OL_ATTENTION_MAMBA:
        return mamba(spec, tokens);
    case OL_ATTENTION_NONE:
        return 0;
    }
    return 0;
}

double ol_cost_router(const struct ol_spec *spec, int layer,
                      const struct ol_cost_tokens *tokens)
{
    if (!spec->layers[layer].moe)
        return 0;
    return 2.0 * n_tokens(tokens) * spec->d_model * spec->router.n_experts;
}

double ol_cost_mlp(const struct ol_spec *spec, int layer,
                   const struct ol_cost_tokens *tokens)
{
    const struct ol_layer_spec *l = &spec->layers[layer];
    const double d = spec->d_model, io = ol_spec_expert_io(spec);
    const double own = l->no_mlp ? 0
                       : l->moe  ? spec->d_shared
                                 : ol_spec_d_ff(spec, layer);
    const double routed = l->moe ? (double)spec->router.top_k * spec->d_expert : 0;
    const double latent = l->moe ? 2.0 * spec->d_latent * d : 0;
    /* Two products, or with a gate three; and two of a layer's own input. */
    const double products = spec->glu.alone ? 2 : 3;
    return 2 * n_tokens(tokens) *
           (products * (d * own + io * routed) + latent + 2.0 * d * spec->d_input);
}

double ol_cost_head(const struct ol_spec *spec, const struct ol_cost_tokens *tokens)
{
    return 2 * n_tokens(tokens) * spec->d_model * spec->vocab_size;
}
