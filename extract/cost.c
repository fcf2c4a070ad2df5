#include "extract/cost.h"

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
        const double w = layer->attention == OL_ATTENTION_SLIDING && layer->window < n
                             ? layer->window
                             : n;
        pairs += w * (w + 1) / 2 + (n - w) * w;
    }
    return pairs;
}

double ol_cost_attention(const struct ol_spec *spec, int layer,
                         const struct ol_cost_tokens *tokens)
{
    const struct ol_attention_spec *a = &spec->attention;
    const double q_width = (double)a->n_heads * a->head_dim;
    const double kv_width = (double)a->n_kv_heads * a->head_dim;
    const double projections = 2.0 * spec->d_model * (2 * q_width + 2 * kv_width);
    return n_tokens(tokens) * projections +
           4 * q_width * n_pairs(&spec->layers[layer], tokens);
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
    const double width =
        spec->layers[layer].moe
            ? (double)spec->router.top_k * spec->d_expert + spec->d_shared
            : (double)spec->d_ff;
    return 6 * n_tokens(tokens) * spec->d_model * width;
}

double ol_cost_head(const struct ol_spec *spec, const struct ol_cost_tokens *tokens)
{
    return 2 * n_tokens(tokens) * spec->d_model * spec->vocab_size;
}
