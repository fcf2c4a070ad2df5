/* MiniMax-M2, M2.1, M2.5 and M2.7: norms of all heads' queries and keys together, then a
 * rope on a part of each head; sigmoid router with a correction, which stands beside the
 * router and not in it; no shared expert, no dense layer. */
#include "extract/model/families/families.h"

/* How much of a head is rotated: rotary_dim in the published files, else
 * partial_rotary_factor. */
static int read_rotary(struct ol_config config, struct ol_spec *spec,
                       struct ol_error *err)
{
    struct ol_attention_spec *a = &spec->attention;
    int64_t dim;
    if (ol_config_int_or(config, "rotary_dim", 2, a->head_dim, a->rope.rotary_dim, &dim,
                         err) != 0)
        return -1;
    if (dim % 2 != 0)
        return ol_fail(err, "%s: rotary_dim is %lld, expected an even number",
                       config.file, (long long)dim);
    a->rope.rotary_dim = (int)dim;
    return 0;
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {.n_kv_heads = 8,
                                                .head_dim = 128,
                                                .norm_eps = 1e-6,
                                                .rope_theta = 5000000,
                                                .partial_rotary = 1};
    bool qk_norm;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        read_rotary(config, spec, err) != 0 ||
        ol_family_read_experts(config, "intermediate_size", spec, err) != 0 ||
        ol_config_expect_string(config, "scoring_func", "sigmoid", err) != 0 ||
        ol_config_expect_bool(config, "use_routing_bias", true, err) != 0 ||
        ol_config_expect_string(config, "qk_norm_type", "per_layer", err) != 0 ||
        ol_config_bool_or(config, "use_qk_norm", true, &qk_norm, err) != 0)
        return -1;
    if (qk_norm)
        ol_family_set_qk_norm(spec, OL_QK_NORM_FLAT);
    spec->router.score = OL_ROUTER_SIGMOID;
    spec->router.group_best = 2;
    spec->router.renormalize = true;
    ol_family_name_mixtral_experts(spec);
    spec->names[OL_ROLE_ROUTER_CORRECTION] =
        "model.layers.{l}.block_sparse_moe.e_score_correction_bias";
    spec->fused_names[OL_ROLE_ROUTER_CORRECTION] =
        "model.layers.{l}.mlp.e_score_correction_bias";
    for (int l = 0; l < spec->n_layers; l++)
        spec->layers[l].moe = true;
    return 0;
}

const struct ol_family ol_family_minimax_m2 = {"minimax_m2", read};
