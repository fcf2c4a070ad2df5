/* Qwen3-Next: three of four layers are gated delta nets, the fourth is gated attention;
 * norm weights count from one; many small experts and a shared one with a switch. */
#include "extract/model/families/families.h"

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {.n_kv_heads = 2,
                                                .head_dim = 256,
                                                .norm_eps = 1e-6,
                                                .rope_theta = 10000,
                                                .partial_rotary = 0.25};
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_config_expect_bool(config, "attn_output_gate", true, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_family_read_delta_net(config, spec, err) != 0 ||
        ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_family_read_layer_plan(config, spec, err) != 0 ||
        ol_family_read_switched_expert(config, spec, err) != 0 ||
        ol_config_bool_or(config, "norm_topk_prob", true, &spec->router.renormalize,
                          err) != 0)
        return -1;
    ol_family_set_qk_norm(spec, OL_QK_NORM_HEAD);
    ol_family_name_experts(spec);
    spec->names[OL_ROLE_DELTA_QKVZ] = "model.layers.{l}.linear_attn.in_proj_qkvz.weight";
    spec->names[OL_ROLE_DELTA_BA] = "model.layers.{l}.linear_attn.in_proj_ba.weight";
    spec->norm = OL_NORM_RMS_OFFSET;
    spec->attention.gated = true;
    return 0;
}

const struct ol_family ol_family_qwen3_next = {"qwen3_next", read};
