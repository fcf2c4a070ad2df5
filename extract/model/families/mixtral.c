/* Mixtral 8x7B and 8x22B: softmax router, always renormalised; w1 is gate, w3 up, w2
 * down. */
#include "extract/model/families/families.h"

void ol_family_name_mixtral_experts(struct ol_spec *spec)
{
    spec->names[OL_ROLE_ROUTER] = "model.layers.{l}.block_sparse_moe.gate.weight";
    spec->names[OL_ROLE_EXPERT_GATE] =
        "model.layers.{l}.block_sparse_moe.experts.{e}.w1.weight";
    spec->names[OL_ROLE_EXPERT_UP] =
        "model.layers.{l}.block_sparse_moe.experts.{e}.w3.weight";
    spec->names[OL_ROLE_EXPERT_DOWN] =
        "model.layers.{l}.block_sparse_moe.experts.{e}.w2.weight";
    spec->fused_names[OL_ROLE_ROUTER] = "model.layers.{l}.mlp.gate.weight";
    ol_family_name_fused_experts(spec);
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 8, .norm_eps = 1e-5, .rope_theta = 1000000};
    int64_t window;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_experts(config, "intermediate_size", spec, err) != 0 ||
        ol_config_int_or(config, "sliding_window", 1, INT32_MAX, 0, &window, err) != 0 ||
        ol_config_expect_bool(config, "norm_topk_prob", true, err) != 0)
        return -1;
    spec->router.renormalize = true;
    ol_family_name_mixtral_experts(spec);
    for (int l = 0; l < spec->n_layers; l++)
        spec->layers[l].moe = true;
    ol_family_set_sliding(spec, 0, window);
    return 0;
}

const struct ol_family ol_family_mixtral = {"mixtral", read};
