/* Hy3: Qwen3's attention; DeepSeek-V3's router without groups; one shared expert. */
#include "extract/model/families/families.h"

static void name_tensors(struct ol_spec *spec)
{
    const char **names = spec->names;
    ol_family_name_experts(spec);
    names[OL_ROLE_ROUTER] = "model.layers.{l}.mlp.router.gate.weight";
    names[OL_ROLE_ROUTER_CORRECTION] = "model.layers.{l}.mlp.expert_bias";
    names[OL_ROLE_SHARED_GATE] = "model.layers.{l}.mlp.shared_mlp.gate_proj.weight";
    names[OL_ROLE_SHARED_UP] = "model.layers.{l}.mlp.shared_mlp.up_proj.weight";
    names[OL_ROLE_SHARED_DOWN] = "model.layers.{l}.mlp.shared_mlp.down_proj.weight";
    names = spec->fused_names;
    names[OL_ROLE_ROUTER] = "model.layers.{l}.mlp.gate.weight";
    names[OL_ROLE_ROUTER_CORRECTION] = "model.layers.{l}.mlp.e_score_correction_bias";
    names[OL_ROLE_SHARED_GATE] = "model.layers.{l}.mlp.shared_experts.gate_proj.weight";
    names[OL_ROLE_SHARED_UP] = "model.layers.{l}.mlp.shared_experts.up_proj.weight";
    names[OL_ROLE_SHARED_DOWN] = "model.layers.{l}.mlp.shared_experts.down_proj.weight";
}

/* What earlier configurations say of the only way there is. */
static int expect(struct ol_config config, struct ol_error *err)
{
    static const char *const keys[] = {"qk_norm",
                                       "use_qk_norm",
                                       "route_norm",
                                       "norm_topk_prob",
                                       "moe_router_use_sigmoid",
                                       "moe_router_enable_expert_bias"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (ol_config_expect_bool(config, keys[i], true, err) != 0)
            return -1;
    return ol_config_expect_string(config, "scoring_func", "sigmoid", err);
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 8, .head_dim = 128, .norm_eps = 1e-5, .rope_theta = 11158840};
    int64_t n_shared;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_family_read_dense_first(config, 1, spec, err) != 0 ||
        ol_config_int_or(config, "num_shared_experts", 1, 64, 1, &n_shared, err) != 0 ||
        ol_config_real_or(config, "router_scaling_factor",
                          (struct ol_config_range){-1e6, 1e6, false}, 2.826,
                          &spec->router.scale, err) != 0 ||
        expect(config, err) != 0)
        return -1;
    spec->router.score = OL_ROUTER_SIGMOID;
    spec->router.float_logits = true;
    spec->router.renormalize = true;
    ol_family_set_qk_norm(spec, OL_QK_NORM_HEAD);
    ol_family_set_shared_experts(spec, n_shared);
    name_tensors(spec);
    return 0;
}

const struct ol_family ol_family_hy_v3 = {"hy_v3", read};
