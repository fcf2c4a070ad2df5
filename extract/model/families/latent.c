/* Models with latent attention, dense layers first, routed experts and shared ones: what
 * DeepSeek's and those that came of it read alike. */
#include "extract/model/families/families.h"

#include <string.h>

static void name_attention(struct ol_spec *spec, bool bias)
{
    const char **names = spec->names;
    names[OL_ROLE_K] = names[OL_ROLE_V] = NULL;
    names[OL_ROLE_KV_A] = "model.layers.{l}.self_attn.kv_a_proj_with_mqa.weight";
    names[OL_ROLE_KV_A_NORM] = "model.layers.{l}.self_attn.kv_a_layernorm.weight";
    names[OL_ROLE_KV_B] = "model.layers.{l}.self_attn.kv_b_proj.weight";
    if (bias) {
        names[OL_ROLE_KV_A_BIAS] = "model.layers.{l}.self_attn.kv_a_proj_with_mqa.bias";
        names[OL_ROLE_O_BIAS] = "model.layers.{l}.self_attn.o_proj.bias";
    }
    if (spec->attention.q_rank == 0)
        return;
    names[OL_ROLE_Q_A] = "model.layers.{l}.self_attn.q_a_proj.weight";
    names[OL_ROLE_Q_A_NORM] = "model.layers.{l}.self_attn.q_a_layernorm.weight";
    names[OL_ROLE_Q] = "model.layers.{l}.self_attn.q_b_proj.weight";
    if (bias)
        names[OL_ROLE_Q_A_BIAS] = "model.layers.{l}.self_attn.q_a_proj.bias";
}

/* A stretched rope makes the scores larger by the square of its magnitude. */
static int read_score_scale(struct ol_config config, struct ol_spec *spec,
                            struct ol_error *err)
{
    const struct ol_rope_spec *rope = &spec->attention.rope;
    struct ol_config s;
    double all_dim;
    if (ol_family_rope_section(config, &s, err) != 0 ||
        ol_config_real_or(s, "mscale_all_dim", (struct ol_config_range){0, 1e6, false}, 0,
                          &all_dim, err) != 0)
        return -1;
    if (rope->scaling == OL_ROPE_SCALING_NONE || all_dim == 0)
        return 0;
    const double m = ol_family_yarn_magnitude(rope->factor, all_dim);
    spec->attention.scale *= m * m;
    return 0;
}

int ol_family_read_latent_frame(struct ol_config config, const struct ol_family_latent *d,
                                struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .norm_eps = d->norm_eps, .rope_theta = 10000, .latent = true, .share = d->share};
    int64_t frequency;
    bool bias;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        read_score_scale(config, spec, err) != 0 ||
        ol_config_bool_or(config, "attention_bias", false, &bias, err) != 0 ||
        ol_config_int_or(config, "moe_layer_freq", 1, 1, 1, &frequency, err) != 0 ||
        ol_family_read_dense_first(config, d->n_dense, spec, err) != 0)
        return -1;
    /* These norms are built without the config's eps. */
    spec->attention.rank_norm_eps = 1e-6;
    name_attention(spec, bias);
    ol_family_name_experts(spec);
    return 0;
}

int ol_family_read_latent(struct ol_config config, const struct ol_family_latent *d,
                          struct ol_spec *spec, struct ol_error *err)
{
    bool interleaved;
    if (ol_family_read_latent_frame(config, d, spec, err) != 0 ||
        ol_family_read_sigmoid_router(config, &d->groups, spec, err) != 0 ||
        ol_family_read_shared_experts(config, 1, spec, err) != 0 ||
        ol_config_bool_or(config, "rope_interleave", true, &interleaved, err) != 0)
        return -1;
    if (!interleaved)
        spec->attention.rope.kind = OL_ROPE_HALF;
    return 0;
}

/* Each layer's attention, under the names that transformers had and has. */
static int check_layer_types(struct ol_config config, const struct ol_spec *spec,
                             struct ol_error *err)
{
    const struct ol_json *types = ol_config_whole(config, "layer_types");
    for (int l = 0; l < spec->n_layers && ol_json_kind(types) != OL_JSON_NULL; l++) {
        const struct ol_json *item = ol_json_at(types, (size_t)l);
        const char *name = ol_json_kind(item) == OL_JSON_STRING
                               ? ol_json_string(item, NULL)
                               : "no string";
        if (strcmp(name, "indexed_attention") != 0 &&
            strcmp(name, "deepseek_sparse_attention") != 0)
            return ol_fail(
                err, "%s: layer_types[%d] is \"%s\", expected \"indexed_attention\"",
                config.file, l, name);
    }
    return 0;
}

/* indexer_types, or index_topk_pattern, which may also be "FSS" for the types. */
static const char *indexer_type(const struct ol_json *types, int l)
{
    if (ol_json_kind(types) == OL_JSON_STRING) {
        const char *letters = ol_json_string(types, NULL);
        const char letter = strlen(letters) > (size_t)l ? letters[l] : '?';
        return letter == 'F' ? "full" : letter == 'S' ? "shared" : "none of F and S";
    }
    const struct ol_json *item = ol_json_at(types, (size_t)l);
    return ol_json_kind(item) == OL_JSON_STRING ? ol_json_string(item, NULL)
                                                : "no string";
}

/* Which layers have an indexer: as is said one by one, or behind index_skip_topk_offset
 * every index_topk_freq-th. */
static int read_indexers(struct ol_config config, struct ol_spec *spec,
                         struct ol_error *err)
{
    const struct ol_json *types = ol_config_whole(config, "indexer_types"),
                         *pattern = ol_config_whole(config, "index_topk_pattern");
    int64_t frequency, offset;
    if (ol_config_int_or(config, "index_topk_freq", 0, OL_MAX_LAYERS, 1, &frequency,
                         err) != 0 ||
        ol_config_int_or(config, "index_skip_topk_offset", 0, OL_MAX_LAYERS, 2, &offset,
                         err) != 0)
        return -1;
    frequency = frequency > 0 ? frequency : 1;
    if (ol_json_kind(types) == OL_JSON_NULL)
        types = pattern;
    for (int l = 0; l < spec->n_layers; l++) {
        const int64_t past = l - offset + 1 > 0 ? l - offset + 1 : 0;
        const char *type = ol_json_kind(types) != OL_JSON_NULL ? indexer_type(types, l)
                           : past % frequency == 0             ? "full"
                                                               : "shared";
        spec->layers[l].indexer = strcmp(type, "full") == 0;
        if (!spec->layers[l].indexer && (l == 0 || strcmp(type, "shared") != 0))
            return ol_fail(err,
                           "%s: the indexer of layer %d is \"%s\", expected \"full\" or, "
                           "behind the first layer, \"shared\"",
                           config.file, l, type);
    }
    return 0;
}

static void name_indexer(struct ol_spec *spec)
{
    const char **names = spec->names;
    names[OL_ROLE_INDEX_Q] = "model.layers.{l}.self_attn.indexer.wq_b.weight";
    names[OL_ROLE_INDEX_K] = "model.layers.{l}.self_attn.indexer.wk.weight";
    names[OL_ROLE_INDEX_K_NORM] = "model.layers.{l}.self_attn.indexer.k_norm.weight";
    names[OL_ROLE_INDEX_K_NORM_BIAS] = "model.layers.{l}.self_attn.indexer.k_norm.bias";
    names[OL_ROLE_INDEX_WEIGHTS] =
        "model.layers.{l}.self_attn.indexer.weights_proj.weight";
}

int ol_family_read_indexed(struct ol_config config, const struct ol_family_latent *d,
                           const struct ol_family_indexer *of, struct ol_spec *spec,
                           struct ol_error *err)
{
    struct ol_index_spec *index = &spec->attention.index;
    int64_t n_heads, head_dim;
    bool interleaved;
    if (ol_family_read_latent(config, d, spec, err) != 0 ||
        ol_config_expect_bool(config, "rope_interleave", true, err) != 0 ||
        ol_config_int_or(config, "index_topk", 1, INT32_MAX, 2048, &index->top_k, err) !=
            0 ||
        ol_config_int_or(config, "index_n_heads", 1, OL_MAX_DIM, of->n_heads, &n_heads,
                         err) != 0 ||
        ol_config_int_or(config, "index_head_dim", 1, OL_MAX_HEAD_DIM, 128, &head_dim,
                         err) != 0 ||
        ol_config_bool_or(config, "indexer_rope_interleave", of->interleaved,
                          &interleaved, err) != 0 ||
        check_layer_types(config, spec, err) != 0 ||
        read_indexers(config, spec, err) != 0)
        return -1;
    if (spec->attention.q_rank == 0)
        return ol_fail(err, "%s: key \"q_lora_rank\": expected a number above 0",
                       config.file);
    if (n_heads * head_dim > OL_MAX_INDEX_WIDTH ||
        head_dim < spec->attention.rope.rotary_dim)
        return ol_fail(err,
                       "%s: %lld heads of an indexer of %lld values: expected at least "
                       "qk_rope_head_dim (%d) values and %d in all",
                       config.file, (long long)n_heads, (long long)head_dim,
                       spec->attention.rope.rotary_dim, OL_MAX_INDEX_WIDTH);
    /* Of the prediction of later tokens. */
    ol_config_whole(config, "index_share_for_mtp_iteration");
    index->rope = interleaved ? OL_ROPE_PAIRS : OL_ROPE_HALF;
    index->n_heads = (int)n_heads;
    index->head_dim = (int)head_dim;
    name_indexer(spec);
    return 0;
}
