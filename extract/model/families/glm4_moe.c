/* GLM-4.5 and GLM-4.5-Air, and the text part of GLM-4.5V and GLM-4.6V: half of each head
 * is rotated; the first layers are dense; sigmoid router with a correction; one shared
 * expert beside the routed ones. */
#include "extract/model/families/families.h"

/* GLM-4.5V as published, and its text model that was saved alone. */
static const struct ol_name_form forms[] = {
    {"model.language_model.", ""}, {"model.", ""}, {NULL, NULL}};
static const char *const left_out[] = {"model.visual.", NULL};
static const struct ol_wrapper wrapper = {forms, left_out, false, OL_TIED_EITHER};

static int read_text(struct ol_config config, bool bias_otherwise, struct ol_spec *spec,
                     struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 8, .norm_eps = 1e-5, .rope_theta = 10000, .partial_rotary = 0.5};
    const struct ol_family_groups groups = {1, 1, 1};
    bool bias;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_sigmoid_router(config, &groups, spec, err) != 0 ||
        ol_family_read_shared_experts(config, 1, spec, err) != 0 ||
        ol_family_read_dense_first(config, 1, spec, err) != 0 ||
        ol_config_bool_or(config, "attention_bias", bias_otherwise, &bias, err) != 0)
        return -1;
    if (bias)
        ol_family_name_qkv_bias(spec);
    ol_family_name_experts(spec);
    return 0;
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    bool qk_norm;
    if (read_text(config, false, spec, err) != 0 ||
        ol_config_bool_or(config, "use_qk_norm", false, &qk_norm, err) != 0)
        return -1;
    if (qk_norm)
        ol_family_set_qk_norm(spec, OL_QK_NORM_HEAD);
    return 0;
}

/* GLM-4.5V's has no norms of q and k. */
static int read_seeing(struct ol_config config, struct ol_spec *spec,
                       struct ol_error *err)
{
    if (spec->wrapper == NULL)
        ol_family_set_wrapper(spec, &wrapper);
    return read_text(config, true, spec, err);
}

static int read_wrapped(struct ol_config config, struct ol_spec *spec,
                        struct ol_error *err)
{
    return ol_family_read_wrapper(config, &wrapper, read_seeing, spec, err);
}

const struct ol_family ol_family_glm4_moe = {"glm4_moe", read};
const struct ol_family ol_family_glm4v_moe = {"glm4v_moe", read_wrapped};
const struct ol_family ol_family_glm4v_moe_text = {"glm4v_moe_text", read_seeing};
