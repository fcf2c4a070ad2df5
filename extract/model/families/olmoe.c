/* OLMoE-1B-7B: norms of q and k over the whole vector, softmax router without
 * renormalisation. */
#include "extract/model/families/families.h"

static int read(struct ol_json_section config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {.norm_eps = 1e-5, .rope_theta = 10000};
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_family_read_experts(config, "intermediate_size", spec, err) != 0 ||
        ol_json_bool_or(config, "norm_topk_prob", false, &spec->router.renormalize,
                        err) != 0 ||
        ol_json_real_or(config, "clip_qkv", 0, &spec->attention.clip_qkv, err) != 0)
        return -1;
    if (spec->attention.clip_qkv < 0)
        return ol_fail(err, "%s: clip_qkv is %g, expected null or a number >= 0",
                       config.file, spec->attention.clip_qkv);
    ol_family_set_qk_norm(spec, OL_QK_NORM_FLAT);
    ol_family_name_experts(spec);
    for (int l = 0; l < spec->n_layers; l++)
        spec->layers[l].moe = true;
    return 0;
}

const struct ol_family ol_family_olmoe = {"olmoe", read};
