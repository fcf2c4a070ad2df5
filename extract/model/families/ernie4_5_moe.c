/* ERNIE-4.5 (21B-A3B, 300B-A47B): attention of Llama's kind with rope by pairs; a softmax
 * router whose choice a correction changes; shared experts, or none. */
#include "extract/model/families/families.h"

/* Layers from moe_layer_start_index to moe_layer_end_index, every moe_layer_interval-th.
 */
static int read_layers(struct ol_config config, struct ol_spec *spec,
                       struct ol_error *err)
{
    int64_t first, last, interval;
    bool dense = false;
    if (ol_config_int_or(config, "moe_layer_start_index", 0, OL_MAX_LAYERS, 1, &first,
                         err) != 0 ||
        ol_config_int_or(config, "moe_layer_end_index", -1, OL_MAX_LAYERS, -1, &last,
                         err) != 0 ||
        ol_config_int_or(config, "moe_layer_interval", 1, OL_MAX_LAYERS, 1, &interval,
                         err) != 0)
        return -1;
    for (int l = 0; l < spec->n_layers; l++) {
        spec->layers[l].moe =
            (l + 1) % interval == 0 && l >= first && (last < 0 || l <= last);
        dense = dense || !spec->layers[l].moe;
    }
    return dense ? ol_family_read_dense(config, spec, err) : 0;
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 4, .norm_eps = 1e-5, .rope_theta = 500000, .tied_embeddings = true};
    int64_t n_shared;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_config_expect_bool(config, "use_bias", false, err) != 0 ||
        ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        read_layers(config, spec, err) != 0 ||
        ol_config_int_or(config, "moe_num_shared_experts", 0, 64, 2, &n_shared, err) !=
            0 ||
        ol_config_real_or(config, "moe_norm_min", (struct ol_config_range){0, 1, false},
                          1e-12, &spec->router.least_sum, err) != 0)
        return -1;
    spec->attention.rope.kind = OL_ROPE_PAIRS_ONCE;
    spec->router.float_logits = true;
    spec->router.renormalize = true;
    if (n_shared > 0)
        ol_family_set_shared_experts(spec, n_shared);
    ol_family_name_experts(spec);
    spec->names[OL_ROLE_ROUTER_CORRECTION] =
        "model.layers.{l}.mlp.moe_statics.e_score_correction_bias";
    spec->fused_names[OL_ROLE_ROUTER_CORRECTION] =
        "model.layers.{l}.mlp.gate.moe_statics.e_score_correction_bias";
    return 0;
}

const struct ol_family ol_family_ernie4_5_moe = {"ernie4_5_moe", read};
