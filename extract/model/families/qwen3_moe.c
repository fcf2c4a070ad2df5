/* Qwen3-MoE (Qwen3-30B-A3B, 235B-A22B): Qwen3's attention; softmax router; layers may
 * stay dense. It is also the text part of Qwen3-VL-MoE, without windows. */
#include "extract/model/families/families.h"

/* Qwen3-VL-MoE as published, and its text model that was saved alone. */
static const struct ol_name_form forms[] = {
    {"model.language_model.", ""}, {"model.", ""}, {NULL, NULL}};
static const char *const left_out[] = {"model.visual.", NULL};
static const struct ol_wrapper wrapper = {forms, left_out, false, OL_TIED_OUTSIDE};

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

static int read_text(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 16, .norm_eps = 1e-6, .rope_theta = 500000};
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_family_read_layer_plan(config, spec, err) != 0 ||
        /* The router knows no other way. */
        ol_config_expect_bool(config, "norm_topk_prob", true, err) != 0)
        return -1;
    if (spec->wrapper == NULL)
        ol_family_set_wrapper(spec, &wrapper);
    spec->router.renormalize = true;
    spec->expert_layout = OL_EXPERTS_TURNED;
    ol_family_set_qk_norm(spec, OL_QK_NORM_HEAD);
    ol_family_name_experts(spec);
    return 0;
}

static int read_wrapped(struct ol_config config, struct ol_spec *spec,
                        struct ol_error *err)
{
    return ol_family_read_wrapper(config, &wrapper, read_text, spec, err);
}

const struct ol_family ol_family_qwen3_vl_moe = {"qwen3_vl_moe", read_wrapped};
const struct ol_family ol_family_qwen3_vl_moe_text = {"qwen3_vl_moe_text", read_text};
const struct ol_family ol_family_qwen3_moe = {"qwen3_moe", read};
