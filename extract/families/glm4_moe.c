/* GLM-4.5 and GLM-4.5-Air: half of each head is rotated; the first layers are dense;
 * sigmoid router with a correction; one shared expert beside the routed ones. */
#include "extract/families/families.h"

static int read_router(struct ol_json_section config, struct ol_spec *spec,
                       struct ol_error *err)
{
    struct ol_router_spec *r = &spec->router;
    int64_t n_group, topk_group;
    if (ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_json_int_or(config, "n_group", 1, OL_MAX_GROUPS, 1, &n_group, err) != 0 ||
        ol_json_int_or(config, "topk_group", 1, n_group, 1, &topk_group, err) != 0 ||
        ol_json_bool_or(config, "norm_topk_prob", true, &r->renormalize, err) != 0 ||
        ol_json_real_or(config, "routed_scaling_factor", 1, &r->scale, err) != 0)
        return -1;
    if (r->n_experts % n_group != 0 || r->top_k > topk_group * (r->n_experts / n_group))
        return ol_fail(err,
                       "%s: %d experts in %lld groups of which %lld are kept cannot give "
                       "%d per token",
                       config.file, r->n_experts, (long long)n_group,
                       (long long)topk_group, r->top_k);
    r->score = OL_ROUTER_SIGMOID_GROUP;
    r->n_group = (int)n_group;
    r->topk_group = (int)topk_group;
    return 0;
}

static int read(struct ol_json_section config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 8, .norm_eps = 1e-5, .rope_theta = 10000, .partial_rotary = 0.5};
    int64_t n_dense, n_shared;
    bool bias, qk_norm;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        read_router(config, spec, err) != 0 ||
        ol_json_bool_or(config, "attention_bias", false, &bias, err) != 0 ||
        ol_json_bool_or(config, "use_qk_norm", false, &qk_norm, err) != 0 ||
        ol_json_int_or(config, "first_k_dense_replace", 0, OL_MAX_LAYERS, 1, &n_dense,
                       err) != 0 ||
        ol_json_int_or(config, "n_shared_experts", 1, 64, 1, &n_shared, err) != 0)
        return -1;
    for (int l = 0; l < spec->n_layers; l++)
        spec->layers[l].moe = l >= n_dense;
    if (n_dense > 0 && ol_family_read_dense(config, spec, err) != 0)
        return -1;
    spec->d_shared = spec->d_expert * (int)n_shared;
    if (bias)
        ol_family_name_qkv_bias(spec);
    if (qk_norm)
        ol_family_set_qk_norm(spec, OL_QK_NORM_HEAD);
    ol_family_name_experts(spec);
    spec->names[OL_ROLE_ROUTER_CORRECTION] =
        "model.layers.{l}.mlp.gate.e_score_correction_bias";
    spec->names[OL_ROLE_SHARED_GATE] =
        "model.layers.{l}.mlp.shared_experts.gate_proj.weight";
    spec->names[OL_ROLE_SHARED_UP] = "model.layers.{l}.mlp.shared_experts.up_proj.weight";
    spec->names[OL_ROLE_SHARED_DOWN] =
        "model.layers.{l}.mlp.shared_experts.down_proj.weight";
    return 0;
}

const struct ol_family ol_family_glm4_moe = {"glm4_moe", read};
