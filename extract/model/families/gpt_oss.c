/* gpt-oss: every other layer slides; a sink in every head; biases everywhere; experts in
 * MXFP4, gate and up interleaved, with a clamped activation. */
#include "extract/model/families/families.h"

static void name_tensors(struct ol_spec *spec)
{
    const char **names = spec->names;
    names[OL_ROLE_SINKS] = "model.layers.{l}.self_attn.sinks";
    names[OL_ROLE_ROUTER] = "model.layers.{l}.mlp.router.weight";
    names[OL_ROLE_ROUTER_BIAS] = "model.layers.{l}.mlp.router.bias";
    names[OL_ROLE_EXPERT_GATE] = names[OL_ROLE_EXPERT_UP] =
        "model.layers.{l}.mlp.experts.gate_up_proj";
    names[OL_ROLE_EXPERT_DOWN] = "model.layers.{l}.mlp.experts.down_proj";
    names[OL_ROLE_EXPERT_GATE_BIAS] = names[OL_ROLE_EXPERT_UP_BIAS] =
        "model.layers.{l}.mlp.experts.gate_up_proj_bias";
    names[OL_ROLE_EXPERT_DOWN_BIAS] = "model.layers.{l}.mlp.experts.down_proj_bias";
}

/* What the class assumes when config.json says nothing of a rope. */
static void default_rope(struct ol_config config, struct ol_rope_spec *rope)
{
    if (ol_json_length(ol_json_get(config.json, "rope_scaling")) > 0 ||
        ol_json_length(ol_json_get(config.json, "rope_parameters")) > 0)
        return;
    rope->scaling = OL_ROPE_SCALING_YARN;
    rope->factor = 32;
    rope->beta_fast = 32;
    rope->beta_slow = 1;
    rope->original_position = 4096;
    rope->magnitude = ol_family_yarn_magnitude(rope->factor, 1);
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 8, .head_dim = 64, .norm_eps = 1e-5, .rope_theta = 150000};
    int64_t window;
    bool bias;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_experts(config, "intermediate_size", spec, err) != 0 ||
        ol_config_bool_or(config, "attention_bias", true, &bias, err) != 0 ||
        ol_config_int_or(config, "sliding_window", 1, INT32_MAX, 128, &window, err) !=
            0 ||
        ol_config_real_or(config, "swiglu_alpha",
                          (struct ol_config_range){-1e6, 1e6, false}, 1.702,
                          &spec->glu.alpha, err) != 0 ||
        ol_config_real_or(config, "swiglu_limit", (struct ol_config_range){0, 1e30, true},
                          7, &spec->glu.limit, err) != 0 ||
        ol_config_expect_bool(config, "norm_topk_prob", true, err) != 0)
        return -1;
    default_rope(config, &spec->attention.rope);
    if (bias)
        ol_family_name_attention_bias(spec);
    for (int l = 0; l < spec->n_layers; l++)
        spec->layers[l].moe = true;
    spec->norm = OL_NORM_RMS_ONCE;
    spec->glu.function = OL_GLU_CLAMPED;
    spec->router.renormalize = true;
    spec->expert_layout = OL_EXPERTS_INTERLEAVED;
    name_tensors(spec);
    if (ol_json_kind(ol_config_whole(config, "layer_types")) != OL_JSON_NULL)
        return ol_family_read_layer_types(config, "sliding_attention",
                                          OL_ATTENTION_SLIDING, window, spec, err);
    for (int l = 0; l < spec->n_layers; l += 2) {
        spec->layers[l].attention = OL_ATTENTION_SLIDING;
        spec->layers[l].window = (int)window;
    }
    return 0;
}

const struct ol_family ol_family_gpt_oss = {"gpt_oss", read};
