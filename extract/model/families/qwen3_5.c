/* Qwen3.5 and Qwen3.6, dense and MoE, their text part: Qwen3-Next whose delta nets have a
 * matrix for each of their inputs, in a wrapper. */
#include "extract/model/families/families.h"

/* As published, and as a text model that was saved alone. */
static const struct ol_name_form forms[] = {
    {"model.language_model.", ""}, {"model.", ""}, {NULL, NULL}};
static const char *const left_out[] = {"model.visual.", "mtp.", NULL};
static const struct ol_wrapper wrapper = {forms, left_out, false, OL_TIED_OUTSIDE};

static void name_delta_net(struct ol_spec *spec)
{
    const char **names = spec->names;
    names[OL_ROLE_DELTA_QKV] = "model.layers.{l}.linear_attn.in_proj_qkv.weight";
    names[OL_ROLE_DELTA_Z] = "model.layers.{l}.linear_attn.in_proj_z.weight";
    names[OL_ROLE_DELTA_B] = "model.layers.{l}.linear_attn.in_proj_b.weight";
    names[OL_ROLE_DELTA_A] = "model.layers.{l}.linear_attn.in_proj_a.weight";
}

static int read_frame(struct ol_config config, int64_t n_kv_heads, struct ol_spec *spec,
                      struct ol_error *err)
{
    const struct ol_family_defaults defaults = {.n_kv_heads = n_kv_heads,
                                                .head_dim = 256,
                                                .norm_eps = 1e-6,
                                                .rope_theta = 10000,
                                                .partial_rotary = 0.25};
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_config_expect_bool(config, "attn_output_gate", true, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_family_read_delta_net(config, spec, err) != 0)
        return -1;
    if (spec->wrapper == NULL)
        ol_family_set_wrapper(spec, &wrapper);
    ol_family_set_qk_norm(spec, OL_QK_NORM_HEAD);
    name_delta_net(spec);
    spec->norm = OL_NORM_RMS_OFFSET;
    spec->attention.gated = true;
    return 0;
}

static int read_dense(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    return read_frame(config, 4, spec, err) == 0 ? ol_family_read_dense(config, spec, err)
                                                 : -1;
}

static int read_moe(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    if (read_frame(config, 2, spec, err) != 0 ||
        ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_family_read_switched_expert(config, spec, err) != 0 ||
        /* The router knows no other way. */
        ol_config_expect_bool(config, "norm_topk_prob", true, err) != 0)
        return -1;
    for (int l = 0; l < spec->n_layers; l++)
        spec->layers[l].moe = true;
    spec->router.renormalize = true;
    ol_family_name_experts(spec);
    return 0;
}

static int read_wrapped_dense(struct ol_config config, struct ol_spec *spec,
                              struct ol_error *err)
{
    return ol_family_read_wrapper(config, &wrapper, read_dense, spec, err);
}

static int read_wrapped_moe(struct ol_config config, struct ol_spec *spec,
                            struct ol_error *err)
{
    return ol_family_read_wrapper(config, &wrapper, read_moe, spec, err);
}

const struct ol_family ol_family_qwen3_5 = {"qwen3_5", read_wrapped_dense};
const struct ol_family ol_family_qwen3_5_text = {"qwen3_5_text", read_dense};
const struct ol_family ol_family_qwen3_5_moe = {"qwen3_5_moe", read_wrapped_moe};
const struct ol_family ol_family_qwen3_5_moe_text = {"qwen3_5_moe_text", read_moe};
