/* OLMoE-1B-7B: norms of q and k over the whole vector, softmax router without
 * renormalisation. */
#include "extract/model/families/families.h"

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {.norm_eps = 1e-5, .rope_theta = 10000};
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_family_read_experts(config, "intermediate_size", spec, err) != 0 ||
        ol_config_bool_or(config, "norm_topk_prob", false, &spec->router.renormalize,
                          err) != 0 ||
        ol_config_real_or(config, "clip_qkv", (struct ol_config_range){0, 1e30, false}, 0,
                          &spec->attention.clip_qkv, err) != 0)
        return -1;
    ol_family_set_qk_norm(spec, OL_QK_NORM_FLAT);
    ol_family_name_experts(spec);
    for (int l = 0; l < spec->n_layers; l++)
        spec->layers[l].moe = true;
    return 0;
}

const struct ol_family ol_family_olmoe = {"olmoe", read};
