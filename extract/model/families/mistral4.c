/* Mistral-Small-4: latent attention whose queries grow with the position, a softmax
 * router, shared experts. */
#include "extract/model/families/families.h"

int ol_family_read_temperature(struct ol_config config, struct ol_attention_spec *a,
                               struct ol_error *err)
{
    struct ol_config s;
    if (ol_family_rope_section(config, &s, err) != 0 ||
        ol_config_real_or(s, "llama_4_scaling_beta",
                          (struct ol_config_range){-1e6, 1e6, false}, 0,
                          &a->temperature_scale, err) != 0)
        return -1;
    if (a->rope.scaling != OL_ROPE_SCALING_YARN)
        return ol_fail(err, "%s: rope_parameters: expected an object of type \"yarn\"",
                       config.file);
    if (a->temperature_scale == 0)
        return 0;
    a->temperature_floor = a->rope.original_position;
    a->temperature_from = 0;
    a->temperature_rounds = a->temperature_everywhere = true;
    return 0;
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_latent d = {1e-6, 0, {1, 1, 1}, true};
    bool interleaved;
    if (ol_family_read_latent_frame(config, &d, spec, err) != 0 ||
        ol_family_read_temperature(config, &spec->attention, err) != 0 ||
        ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_family_read_groups(config, &d.groups, spec, err) != 0 ||
        ol_family_read_shared_experts(config, 1, spec, err) != 0 ||
        ol_config_expect_string(config, "scoring_func", "softmax", err) != 0 ||
        ol_config_bool_or(config, "norm_topk_prob", true, &spec->router.renormalize,
                          err) != 0 ||
        ol_config_bool_or(config, "rope_interleave", true, &interleaved, err) != 0)
        return -1;
    if (!interleaved)
        spec->attention.rope.kind = OL_ROPE_HALF;
    spec->router.group_best = 2;
    spec->router.float_logits = false;
    return 0;
}

const struct ol_family ol_family_mistral4 = {"mistral4", read};
