/* Keys and tensor names that the families share. Key names and defaults follow the
 * configuration classes of Hugging Face transformers (4.x and 5.x). */
#include "extract/model/families/families.h"

#include <math.h>
#include <string.h>

/* Of latent attention: num_key_value_heads and head_dim say nothing there. */
static int read_latent(struct ol_config config, struct ol_spec *spec,
                       const struct ol_family_defaults *d, struct ol_error *err)
{
    struct ol_attention_spec *a = &spec->attention;
    int64_t n_heads, q_rank, kv_rank, own, shared, value;
    if (ol_config_need_int(config, "num_attention_heads", 1, OL_MAX_DIM, &n_heads, err) !=
            0 ||
        ol_config_int_or(config, "q_lora_rank", 0, OL_MAX_DIM, 0, &q_rank, err) != 0 ||
        ol_config_need_int(config, "kv_lora_rank", 1, OL_MAX_DIM, &kv_rank, err) != 0 ||
        ol_config_need_int(config, "qk_nope_head_dim", 1, OL_MAX_HEAD_DIM, &own, err) !=
            0 ||
        ol_config_need_int(config, "qk_rope_head_dim", 2, OL_MAX_HEAD_DIM, &shared,
                           err) != 0 ||
        ol_config_need_int(config, "v_head_dim", 1, OL_MAX_HEAD_DIM, &value, err) != 0)
        return -1;
    if (shared % 2 != 0 || own + shared > OL_MAX_HEAD_DIM ||
        n_heads * (own + shared + value) > OL_MAX_DIM)
        return ol_fail(err,
                       "%s: %lld heads of %lld + %lld values: expected an even "
                       "qk_rope_head_dim, at most %d per head and %d in all",
                       config.file, (long long)n_heads, (long long)own, (long long)shared,
                       OL_MAX_HEAD_DIM, OL_MAX_DIM);
    a->n_heads = a->n_kv_heads = (int)n_heads;
    a->q_rank = (int)q_rank;
    a->kv_rank = (int)kv_rank;
    a->head_dim = (int)(own + shared);
    a->value_dim = (int)value;
    a->rope.kind = OL_ROPE_PAIRS;
    a->rope.rotary_dim = (int)shared;
    a->scale = 1 / sqrt((double)a->head_dim);
    return ol_family_read_rope(config, d, &a->rope, err);
}

static int read_attention(struct ol_config config, const struct ol_family_defaults *d,
                          struct ol_spec *spec, struct ol_error *err)
{
    struct ol_attention_spec *a = &spec->attention;
    int64_t n_heads, n_kv_heads, head_dim;
    if ((d->n_heads > 0 ? ol_config_int_or(config, "num_attention_heads", 1, OL_MAX_DIM,
                                           d->n_heads, &n_heads, err)
                        : ol_config_need_int(config, "num_attention_heads", 1, OL_MAX_DIM,
                                             &n_heads, err)) != 0)
        return -1;
    const int64_t kv_default = d->n_kv_heads > 0 ? d->n_kv_heads : n_heads;
    const int64_t head_default = d->head_dim > 0 ? d->head_dim : spec->d_model / n_heads;
    if (ol_config_int_or(config, "num_key_value_heads", 1, n_heads, kv_default,
                         &n_kv_heads, err) != 0 ||
        ol_config_int_or(config, "head_dim", 2, OL_MAX_HEAD_DIM, head_default, &head_dim,
                         err) != 0)
        return -1;
    if (n_heads % n_kv_heads != 0)
        return ol_fail(err,
                       "%s: num_attention_heads is %lld, expected a multiple of "
                       "num_key_value_heads (%lld)",
                       config.file, (long long)n_heads, (long long)n_kv_heads);
    if (head_dim < 2 || head_dim > OL_MAX_HEAD_DIM || head_dim % 2 != 0)
        return ol_fail(err, "%s: head_dim is %lld, expected an even number from 2 to %d",
                       config.file, (long long)head_dim, OL_MAX_HEAD_DIM);
    if (n_heads * head_dim > OL_MAX_DIM)
        return ol_fail(err, "%s: %lld heads of %lld values are more than %d", config.file,
                       (long long)n_heads, (long long)head_dim, OL_MAX_DIM);
    a->n_heads = (int)n_heads;
    a->n_kv_heads = (int)n_kv_heads;
    a->head_dim = a->value_dim = (int)head_dim;
    a->scale = 1 / sqrt((double)head_dim);
    a->rope.kind = OL_ROPE_HALF;
    a->rope.rotary_dim = (int)head_dim;
    return ol_family_read_rope(config, d, &a->rope, err);
}

static void name_frame(struct ol_spec *spec)
{
    const char **names = spec->names;
    names[OL_ROLE_EMBEDDING] = "model.embed_tokens.weight";
    names[OL_ROLE_FINAL_NORM] = "model.norm.weight";
    names[OL_ROLE_LM_HEAD] = "lm_head.weight";
    names[OL_ROLE_ATTN_NORM] = "model.layers.{l}.input_layernorm.weight";
    names[OL_ROLE_Q] = "model.layers.{l}.self_attn.q_proj.weight";
    names[OL_ROLE_K] = "model.layers.{l}.self_attn.k_proj.weight";
    names[OL_ROLE_V] = "model.layers.{l}.self_attn.v_proj.weight";
    names[OL_ROLE_O] = "model.layers.{l}.self_attn.o_proj.weight";
    names[OL_ROLE_MLP_NORM] = "model.layers.{l}.post_attention_layernorm.weight";
}

int ol_family_read_common(struct ol_config config, const struct ol_family_defaults *d,
                          struct ol_spec *spec, struct ol_error *err)
{
    int64_t n_layers, d_model, vocab_size;
    const char *activation, *key = d->gelu ? "hidden_activation" : "hidden_act",
                            *expected = d->gelu ? "gelu_pytorch_tanh" : "silu";
    if (ol_config_need_int(config, "num_hidden_layers", 1, OL_MAX_LAYERS, &n_layers,
                           err) != 0 ||
        ol_config_need_int(config, "hidden_size", 1, OL_MAX_DIM, &d_model, err) != 0 ||
        (d->vocab_size > 0 ? ol_config_int_or(config, "vocab_size", 1, OL_MAX_VOCAB,
                                              d->vocab_size, &vocab_size, err)
                           : ol_config_need_int(config, "vocab_size", 1, OL_MAX_VOCAB,
                                                &vocab_size, err)) != 0 ||
        ol_config_real_or(config, "rms_norm_eps", (struct ol_config_range){0, 1, false},
                          d->norm_eps, &spec->norm_eps, err) != 0 ||
        ol_config_bool_or(config, "tie_word_embeddings", d->tied_embeddings,
                          &spec->tied_embeddings, err) != 0 ||
        ol_config_string_or(config, key, expected, &activation, err) != 0)
        return -1;
    if (strcmp(activation, expected) != 0)
        return ol_fail(err, "%s: %s is \"%s\", expected \"%s\"", config.file, key,
                       activation, expected);
    if (ol_family_read_quantization(config, &spec->quantization, err) != 0)
        return -1;
    spec->n_layers = (int)n_layers;
    spec->d_model = (int)d_model;
    spec->vocab_size = (int)vocab_size;
    spec->norm = OL_NORM_RMS;
    spec->glu.function = d->gelu ? OL_GLU_GELU_TANH : OL_GLU_SILU;
    spec->layers = ol_xcalloc((size_t)n_layers, sizeof *spec->layers);
    name_frame(spec);
    return d->latent ? read_latent(config, spec, d, err)
                     : read_attention(config, d, spec, err);
}

void ol_family_name_qkv_bias(struct ol_spec *spec)
{
    spec->names[OL_ROLE_Q_BIAS] = "model.layers.{l}.self_attn.q_proj.bias";
    spec->names[OL_ROLE_K_BIAS] = "model.layers.{l}.self_attn.k_proj.bias";
    spec->names[OL_ROLE_V_BIAS] = "model.layers.{l}.self_attn.v_proj.bias";
}

int ol_family_read_attention_bias(struct ol_config config, struct ol_spec *spec,
                                  struct ol_error *err)
{
    bool bias;
    if (ol_config_bool_or(config, "attention_bias", false, &bias, err) != 0)
        return -1;
    if (bias)
        ol_family_name_attention_bias(spec);
    return 0;
}

void ol_family_name_attention_bias(struct ol_spec *spec)
{
    ol_family_name_qkv_bias(spec);
    spec->names[OL_ROLE_O_BIAS] = "model.layers.{l}.self_attn.o_proj.bias";
}

void ol_family_set_qk_norm(struct ol_spec *spec, enum ol_qk_norm kind)
{
    spec->attention.qk_norm = kind;
    spec->names[OL_ROLE_Q_NORM] = "model.layers.{l}.self_attn.q_norm.weight";
    spec->names[OL_ROLE_K_NORM] = "model.layers.{l}.self_attn.k_norm.weight";
}

int ol_family_read_dense(struct ol_config config, struct ol_spec *spec,
                         struct ol_error *err)
{
    int64_t d_ff;
    if (ol_config_need_int(config, "intermediate_size", 1, OL_MAX_DIM, &d_ff, err) != 0)
        return -1;
    spec->d_ff = (int)d_ff;
    spec->names[OL_ROLE_GATE] = "model.layers.{l}.mlp.gate_proj.weight";
    spec->names[OL_ROLE_UP] = "model.layers.{l}.mlp.up_proj.weight";
    spec->names[OL_ROLE_DOWN] = "model.layers.{l}.mlp.down_proj.weight";
    return 0;
}

int ol_family_read_experts(struct ol_config config, const char *width_key,
                           struct ol_spec *spec, struct ol_error *err)
{
    /* transformers 5.x writes num_local_experts where Hub files have num_experts. */
    static const char *const keys[] = {"num_experts", "n_routed_experts",
                                       "num_local_experts", "moe_num_experts"};
    /* Of ERNIE and of Gemma 4. */
    static const char *const top_keys[] = {"moe_k", "top_k_experts"};
    enum { KEYS = sizeof keys / sizeof keys[0] };
    const char *key = keys[2], *top_key = "num_experts_per_tok";
    for (size_t i = 0; i < sizeof top_keys / sizeof top_keys[0]; i++)
        if (ol_json_kind(ol_json_get(config.json, top_keys[i])) != OL_JSON_NULL)
            top_key = top_keys[i];
    int64_t n_experts, top_k, d_expert, others[KEYS];
    for (int i = KEYS - 1; i >= 0; i--) {
        if (ol_config_int_or(config, keys[i], 1, OL_MAX_EXPERTS, 0, &others[i], err) != 0)
            return -1;
        if (others[i] > 0)
            key = keys[i];
    }
    if (ol_config_need_int(config, key, 1, OL_MAX_EXPERTS, &n_experts, err) != 0 ||
        ol_config_need_int(config, top_key, 1, OL_MAX_TOP_K, &top_k, err) != 0 ||
        ol_config_need_int(config, width_key, 1, OL_MAX_DIM, &d_expert, err) != 0)
        return -1;
    for (int i = 0; i < KEYS; i++)
        if (others[i] > 0 && others[i] != n_experts)
            return ol_fail(err, "%s: %s is %lld, but %s is %lld", config.file, key,
                           (long long)n_experts, keys[i], (long long)others[i]);
    if (top_k > n_experts)
        return ol_fail(err, "%s: %s is %lld, but there are only %lld experts",
                       config.file, top_key, (long long)top_k, (long long)n_experts);
    spec->router = (struct ol_router_spec){
        .score = OL_ROUTER_SOFTMAX,
        .n_group = 1,
        .topk_group = 1,
        .scale = 1,
        .n_experts = (int)n_experts,
        .top_k = (int)top_k,
    };
    spec->d_expert = (int)d_expert;
    return 0;
}

void ol_family_name_experts(struct ol_spec *spec)
{
    spec->names[OL_ROLE_ROUTER] = "model.layers.{l}.mlp.gate.weight";
    spec->names[OL_ROLE_EXPERT_GATE] =
        "model.layers.{l}.mlp.experts.{e}.gate_proj.weight";
    spec->names[OL_ROLE_EXPERT_UP] = "model.layers.{l}.mlp.experts.{e}.up_proj.weight";
    spec->names[OL_ROLE_EXPERT_DOWN] =
        "model.layers.{l}.mlp.experts.{e}.down_proj.weight";
    ol_family_name_fused_experts(spec);
}

void ol_family_name_fused_experts(struct ol_spec *spec)
{
    spec->fused_names[OL_ROLE_EXPERT_GATE] = spec->fused_names[OL_ROLE_EXPERT_UP] =
        "model.layers.{l}.mlp.experts.gate_up_proj";
    spec->fused_names[OL_ROLE_EXPERT_DOWN] = "model.layers.{l}.mlp.experts.down_proj";
}

int ol_family_read_groups(struct ol_config config, const struct ol_family_groups *d,
                          struct ol_spec *spec, struct ol_error *err)
{
    struct ol_router_spec *r = &spec->router;
    int64_t n_group, topk_group;
    if (ol_config_int_or(config, "n_group", 1, OL_MAX_GROUPS, d->n_group, &n_group,
                         err) != 0 ||
        ol_config_int_or(config, "topk_group", 1, n_group,
                         d->topk_group < n_group ? d->topk_group : n_group, &topk_group,
                         err) != 0 ||
        ol_config_real_or(config, "routed_scaling_factor",
                          (struct ol_config_range){-1e6, 1e6, false}, d->scale, &r->scale,
                          err) != 0)
        return -1;
    if (r->n_experts % n_group != 0 || r->top_k > topk_group * (r->n_experts / n_group))
        return ol_fail(err,
                       "%s: %d experts in %lld groups of which %lld are kept cannot give "
                       "%d per token",
                       config.file, r->n_experts, (long long)n_group,
                       (long long)topk_group, r->top_k);
    r->float_logits = true;
    r->n_group = (int)n_group;
    r->topk_group = (int)topk_group;
    return 0;
}

int ol_family_read_sigmoid_router(struct ol_config config,
                                  const struct ol_family_groups *d, struct ol_spec *spec,
                                  struct ol_error *err)
{
    if (ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_family_read_groups(config, d, spec, err) != 0 ||
        ol_config_expect_string(config, "scoring_func", "sigmoid", err) != 0 ||
        ol_config_expect_string(config, "topk_method", "noaux_tc", err) != 0 ||
        ol_config_bool_or(config, "norm_topk_prob", true, &spec->router.renormalize,
                          err) != 0)
        return -1;
    spec->router.score = OL_ROUTER_SIGMOID;
    spec->router.group_best = 2;
    spec->names[OL_ROLE_ROUTER_CORRECTION] =
        "model.layers.{l}.mlp.gate.e_score_correction_bias";
    return 0;
}

int ol_family_read_shared_experts(struct ol_config config, int64_t otherwise,
                                  struct ol_spec *spec, struct ol_error *err)
{
    int64_t n;
    if (ol_config_int_or(config, "n_shared_experts", 1, 64, otherwise, &n, err) != 0)
        return -1;
    ol_family_set_shared_experts(spec, n);
    return 0;
}

void ol_family_set_shared_experts(struct ol_spec *spec, int64_t n)
{
    spec->d_shared = spec->d_expert * (int)n;
    spec->names[OL_ROLE_SHARED_GATE] =
        "model.layers.{l}.mlp.shared_experts.gate_proj.weight";
    spec->names[OL_ROLE_SHARED_UP] = "model.layers.{l}.mlp.shared_experts.up_proj.weight";
    spec->names[OL_ROLE_SHARED_DOWN] =
        "model.layers.{l}.mlp.shared_experts.down_proj.weight";
}

int ol_family_read_dense_first(struct ol_config config, int64_t otherwise,
                               struct ol_spec *spec, struct ol_error *err)
{
    static const char key[] = "first_k_dense_replace";
    const struct ol_json *types = ol_config_whole(config, "mlp_layer_types");
    const bool listed = ol_json_kind(types) != OL_JSON_NULL,
               counted = ol_json_kind(ol_json_get(config.json, key)) != OL_JSON_NULL;
    int64_t n;
    bool dense = false;
    if (ol_config_int_or(config, key, 0, OL_MAX_LAYERS, otherwise, &n, err) != 0)
        return -1;
    if (listed && (ol_json_kind(types) != OL_JSON_ARRAY ||
                   ol_json_length(types) < (size_t)spec->n_layers))
        return ol_fail(err, "%s: mlp_layer_types: expected an array of %d strings",
                       config.file, spec->n_layers);
    for (int l = 0; l < spec->n_layers; l++) {
        const struct ol_json *item = ol_json_at(types, (size_t)l);
        const char *type = ol_json_kind(item) == OL_JSON_STRING
                               ? ol_json_string(item, NULL)
                               : "no string";
        const bool sparse = listed ? strcmp(type, "sparse") == 0 : l >= n;
        if (listed && !sparse && strcmp(type, "dense") != 0)
            return ol_fail(
                err,
                "%s: mlp_layer_types[%d] is \"%s\", expected \"dense\" or \"sparse\"",
                config.file, l, type);
        if (counted && sparse != (l >= n))
            return ol_fail(err, "%s: mlp_layer_types[%d] is \"%s\", but %s is %lld",
                           config.file, l, type, key, (long long)n);
        spec->layers[l].moe = sparse;
        dense = dense || !sparse;
    }
    return dense ? ol_family_read_dense(config, spec, err) : 0;
}

int ol_family_read_switched_expert(struct ol_config config, struct ol_spec *spec,
                                   struct ol_error *err)
{
    int64_t width;
    if (ol_config_need_int(config, "shared_expert_intermediate_size", 1, OL_MAX_DIM,
                           &width, err) != 0)
        return -1;
    spec->d_shared = (int)width;
    spec->names[OL_ROLE_SHARED_GATE] =
        "model.layers.{l}.mlp.shared_expert.gate_proj.weight";
    spec->names[OL_ROLE_SHARED_UP] = "model.layers.{l}.mlp.shared_expert.up_proj.weight";
    spec->names[OL_ROLE_SHARED_DOWN] =
        "model.layers.{l}.mlp.shared_expert.down_proj.weight";
    spec->names[OL_ROLE_SHARED_SWITCH] = "model.layers.{l}.mlp.shared_expert_gate.weight";
    return 0;
}

int ol_family_read_layer_types(struct ol_config config, const char *type,
                               enum ol_attention_kind kind, int64_t window,
                               struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_json *types = ol_config_whole(config, "layer_types");
    if (ol_json_kind(types) != OL_JSON_ARRAY ||
        ol_json_length(types) != (size_t)spec->n_layers)
        return ol_fail(err, "%s: layer_types: expected an array of %d strings",
                       config.file, spec->n_layers);
    for (int l = 0; l < spec->n_layers; l++) {
        const struct ol_json *item = ol_json_at(types, (size_t)l);
        const char *name = ol_json_kind(item) == OL_JSON_STRING
                               ? ol_json_string(item, NULL)
                               : "no string";
        const bool full = strcmp(name, "full_attention") == 0;
        if (!full && strcmp(name, type) != 0)
            return ol_fail(
                err,
                "%s: layer_types[%d] is \"%s\", expected \"full_attention\" or \"%s\"",
                config.file, l, name, type);
        spec->layers[l].attention = full ? OL_ATTENTION_FULL : kind;
        spec->layers[l].window = full ? 0 : (int)window;
    }
    return 0;
}

int ol_family_read_late_sliding(struct ol_config config, struct ol_spec *spec,
                                struct ol_error *err)
{
    int64_t window, first;
    bool slides;
    if (ol_config_bool_or(config, "use_sliding_window", false, &slides, err) != 0 ||
        ol_config_int_or(config, "sliding_window", slides, INT32_MAX, 4096, &window,
                         err) != 0 ||
        ol_config_int_or(config, "max_window_layers", 0, INT32_MAX, 28, &first, err) != 0)
        return -1;
    if (!slides)
        window = 0;
    if (ol_json_kind(ol_config_whole(config, "layer_types")) != OL_JSON_NULL)
        /* Without use_sliding_window the reference applies no window even here. */
        return ol_family_read_layer_types(
            config, "sliding_attention",
            slides ? OL_ATTENTION_SLIDING : OL_ATTENTION_FULL, window, spec, err);
    ol_family_set_sliding(spec, first, window);
    return 0;
}

void ol_family_set_sliding(struct ol_spec *spec, int64_t first, int64_t window)
{
    if (window <= 0)
        return;
    for (int64_t l = first; l < spec->n_layers; l++) {
        spec->layers[l].attention = OL_ATTENTION_SLIDING;
        spec->layers[l].window = (int)window;
    }
}

void ol_family_set_pattern(struct ol_spec *spec, int64_t period, int64_t window)
{
    for (int64_t l = 0; l < spec->n_layers; l++)
        if ((l + 1) % period != 0) {
            spec->layers[l].attention = OL_ATTENTION_SLIDING;
            spec->layers[l].window = (int)window;
        }
}

int ol_family_read_layer_plan(struct ol_config config, struct ol_spec *spec,
                              struct ol_error *err)
{
    int64_t step;
    if (ol_config_int_or(config, "decoder_sparse_step", 1, OL_MAX_LAYERS, 1, &step,
                         err) != 0)
        return -1;
    for (int l = 0; l < spec->n_layers; l++)
        spec->layers[l].moe = (l + 1) % step == 0;
    const struct ol_json *dense = ol_config_whole(config, "mlp_only_layers");
    if (ol_json_kind(dense) != OL_JSON_NULL && ol_json_kind(dense) != OL_JSON_ARRAY)
        return ol_fail(err, "%s: mlp_only_layers: expected an array of integers",
                       config.file);
    for (size_t i = 0; i < ol_json_length(dense); i++) {
        const struct ol_json *item = ol_json_at(dense, i);
        if (ol_json_kind(item) != OL_JSON_INT)
            return ol_fail(err, "%s: mlp_only_layers[%zu]: expected an integer",
                           config.file, i);
        const int64_t l = ol_json_int(item);
        if (l >= 0 && l < spec->n_layers)
            spec->layers[l].moe = false;
    }
    for (int l = 0; l < spec->n_layers; l++)
        if (!spec->layers[l].moe)
            return ol_family_read_dense(config, spec, err);
    return 0;
}
