/* GLM-4.5 and GLM-4.5-Air: half of each head is rotated; the first layers are dense;
 * sigmoid router with a correction; one shared expert beside the routed ones. */
#include "extract/model/families/families.h"

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 8, .norm_eps = 1e-5, .rope_theta = 10000, .partial_rotary = 0.5};
    const struct ol_family_groups groups = {1, 1, 1};
    bool bias, qk_norm;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_sigmoid_router(config, &groups, spec, err) != 0 ||
        ol_family_read_shared_experts(config, 1, spec, err) != 0 ||
        ol_family_read_dense_first(config, 1, spec, err) != 0 ||
        ol_config_bool_or(config, "attention_bias", false, &bias, err) != 0 ||
        ol_config_bool_or(config, "use_qk_norm", false, &qk_norm, err) != 0)
        return -1;
    if (bias)
        ol_family_name_qkv_bias(spec);
    if (qk_norm)
        ol_family_set_qk_norm(spec, OL_QK_NORM_HEAD);
    ol_family_name_experts(spec);
    return 0;
}

const struct ol_family ol_family_glm4_moe = {"glm4_moe", read};
