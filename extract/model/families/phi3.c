/* Phi-3 and Phi-4 dense (controls): q, k and v are one matrix, gate and up another; all
 * layers slide where there is a window; a part of each head may be rotated. */
#include "extract/model/families/families.h"

static void name_tensors(struct ol_spec *spec)
{
    const char **names = spec->names;
    names[OL_ROLE_Q] = names[OL_ROLE_K] = names[OL_ROLE_V] = NULL;
    names[OL_ROLE_GATE] = names[OL_ROLE_UP] = NULL;
    names[OL_ROLE_QKV] = "model.layers.{l}.self_attn.qkv_proj.weight";
    names[OL_ROLE_GATE_UP] = "model.layers.{l}.mlp.gate_up_proj.weight";
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .norm_eps = 1e-5, .rope_theta = 10000, .partial_rotary = 1};
    int64_t window;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_dense(config, spec, err) != 0 ||
        ol_config_int_or(config, "sliding_window", 1, INT32_MAX, 0, &window, err) != 0)
        return -1;
    const enum ol_rope_scaling scaling = spec->attention.rope.scaling;
    if (scaling != OL_ROPE_SCALING_NONE && scaling != OL_ROPE_SCALING_LONGROPE)
        return ol_fail(err,
                       "%s: this family knows no types of rope but \"default\" and "
                       "\"longrope\"",
                       config.file);
    name_tensors(spec);
    ol_family_set_sliding(spec, 0, window);
    return 0;
}

const struct ol_family ol_family_phi3 = {"phi3", read};
