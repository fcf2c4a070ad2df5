/* Qwen2-MoE (Qwen1.5-MoE-A2.7B, Qwen2-57B-A14B): biases on q, k and v; softmax router; a
 * shared expert that a sigmoid of its own scales. */
#include "extract/model/families/families.h"

/* Even layers below max_window_layers slide, or what layer_types says. */
static int read_sliding(struct ol_config config, struct ol_spec *spec,
                        struct ol_error *err)
{
    bool slides;
    int64_t window, below;
    if (ol_config_bool_or(config, "use_sliding_window", false, &slides, err) != 0 ||
        ol_config_int_or(config, "sliding_window", slides, INT32_MAX, 4096, &window,
                         err) != 0 ||
        ol_config_int_or(config, "max_window_layers", 0, INT32_MAX, 28, &below, err) != 0)
        return -1;
    if (ol_json_kind(ol_config_whole(config, "layer_types")) != OL_JSON_NULL) {
        if (ol_family_read_layer_types(config, "sliding_attention", OL_ATTENTION_SLIDING,
                                       window, spec, err) != 0)
            return -1;
        for (int l = 0; !slides && l < spec->n_layers; l++)
            if (spec->layers[l].attention == OL_ATTENTION_SLIDING)
                return ol_fail(err,
                               "%s: layer_types[%d] is \"sliding_attention\", but "
                               "use_sliding_window is not true",
                               config.file, l);
        return 0;
    }
    for (int l = 0; slides && l < spec->n_layers && l < below; l += 2) {
        spec->layers[l].attention = OL_ATTENTION_SLIDING;
        spec->layers[l].window = (int)window;
    }
    return 0;
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 16, .norm_eps = 1e-6, .rope_theta = 10000};
    bool bias;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_family_read_layer_plan(config, spec, err) != 0 ||
        ol_config_bool_or(config, "norm_topk_prob", false, &spec->router.renormalize,
                          err) != 0 ||
        ol_config_bool_or(config, "qkv_bias", true, &bias, err) != 0 ||
        ol_family_read_switched_expert(config, spec, err) != 0 ||
        read_sliding(config, spec, err) != 0)
        return -1;
    if (bias)
        ol_family_name_qkv_bias(spec);
    ol_family_name_experts(spec);
    return 0;
}

const struct ol_family ol_family_qwen2_moe = {"qwen2_moe", read};
