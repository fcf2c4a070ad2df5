/* Qwen3-MoE (Qwen3-30B-A3B, 235B-A22B): Qwen3's attention; softmax router; layers may
 * stay dense. */
#include "extract/model/families/families.h"

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 4, .norm_eps = 1e-6, .rope_theta = 10000};
    int64_t window;
    bool slides;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_family_read_layer_plan(config, spec, err) != 0 ||
        ol_config_bool_or(config, "norm_topk_prob", false, &spec->router.renormalize,
                          err) != 0 ||
        ol_config_bool_or(config, "use_sliding_window", false, &slides, err) != 0 ||
        ol_config_int_or(config, "sliding_window", slides, INT32_MAX, 4096, &window,
                         err) != 0)
        return -1;
    ol_family_set_qk_norm(spec, OL_QK_NORM_HEAD);
    ol_family_name_experts(spec);
    ol_family_set_sliding(spec, 0, slides ? window : 0);
    return 0;
}

const struct ol_family ol_family_qwen3_moe = {"qwen3_moe", read};
