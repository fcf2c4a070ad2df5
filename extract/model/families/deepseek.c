/* DeepSeek-V2 and V3 (R1), and Kimi-K2, which is a DeepSeek-V3 with other numbers: latent
 * attention, dense layers first, routed experts in groups, shared experts. */
#include "extract/model/families/families.h"

#include <string.h>

static void name_attention(struct ol_spec *spec, bool bias)
{
    const char **names = spec->names;
    names[OL_ROLE_K] = names[OL_ROLE_V] = NULL;
    names[OL_ROLE_KV_A] = "model.layers.{l}.self_attn.kv_a_proj_with_mqa.weight";
    names[OL_ROLE_KV_A_NORM] = "model.layers.{l}.self_attn.kv_a_layernorm.weight";
    names[OL_ROLE_KV_B] = "model.layers.{l}.self_attn.kv_b_proj.weight";
    if (bias) {
        names[OL_ROLE_KV_A_BIAS] = "model.layers.{l}.self_attn.kv_a_proj_with_mqa.bias";
        names[OL_ROLE_O_BIAS] = "model.layers.{l}.self_attn.o_proj.bias";
    }
    if (spec->attention.q_rank == 0)
        return;
    names[OL_ROLE_Q_A] = "model.layers.{l}.self_attn.q_a_proj.weight";
    names[OL_ROLE_Q_A_NORM] = "model.layers.{l}.self_attn.q_a_layernorm.weight";
    names[OL_ROLE_Q] = "model.layers.{l}.self_attn.q_b_proj.weight";
    if (bias)
        names[OL_ROLE_Q_A_BIAS] = "model.layers.{l}.self_attn.q_a_proj.bias";
}

/* A stretched rope makes the scores larger by the square of its magnitude. */
static int read_score_scale(struct ol_config config, struct ol_spec *spec,
                            struct ol_error *err)
{
    const struct ol_rope_spec *rope = &spec->attention.rope;
    struct ol_config s;
    double all_dim;
    if (ol_family_rope_section(config, &s, err) != 0 ||
        ol_config_real_or(s, "mscale_all_dim", (struct ol_config_range){0, 1e6, false}, 0,
                          &all_dim, err) != 0)
        return -1;
    if (rope->scaling == OL_ROPE_SCALING_NONE || all_dim == 0)
        return 0;
    const double m = ol_family_yarn_magnitude(rope->factor, all_dim);
    spec->attention.scale *= m * m;
    return 0;
}

/* What both generations share; the router is the caller's. */
static int read_frame(struct ol_config config, int64_t n_dense, struct ol_spec *spec,
                      struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .norm_eps = 1e-6, .rope_theta = 10000, .latent = true};
    int64_t frequency;
    bool bias;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        read_score_scale(config, spec, err) != 0 ||
        ol_config_bool_or(config, "attention_bias", false, &bias, err) != 0 ||
        ol_config_int_or(config, "moe_layer_freq", 1, 1, 1, &frequency, err) != 0 ||
        ol_family_read_dense_first(config, n_dense, spec, err) != 0)
        return -1;
    /* These norms are built without the config's eps. */
    spec->attention.rank_norm_eps = 1e-6;
    name_attention(spec, bias);
    ol_family_name_experts(spec);
    return 0;
}

static int read_v3(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_groups groups = {8, 4, 2.5};
    bool interleaved;
    if (read_frame(config, 3, spec, err) != 0 ||
        ol_family_read_sigmoid_router(config, &groups, spec, err) != 0 ||
        ol_family_read_shared_experts(config, 1, spec, err) != 0 ||
        ol_config_bool_or(config, "rope_interleave", true, &interleaved, err) != 0)
        return -1;
    if (!interleaved)
        spec->attention.rope.kind = OL_ROPE_HALF;
    return 0;
}

static int read_v2(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_groups groups = {1, 1, 1};
    const char *method;
    if (read_frame(config, 0, spec, err) != 0 ||
        ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_family_read_groups(config, &groups, spec, err) != 0 ||
        ol_family_read_shared_experts(config, 2, spec, err) != 0 ||
        ol_config_string_or(config, "topk_method", "greedy", &method, err) != 0 ||
        ol_config_expect_string(config, "scoring_func", "softmax", err) != 0 ||
        /* The reference never divides the weights by their sum. */
        ol_config_expect_bool(config, "norm_topk_prob", false, err) != 0)
        return -1;
    if (strcmp(method, "greedy") == 0)
        spec->router.n_group = spec->router.topk_group = 1;
    else if (strcmp(method, "group_limited_greedy") != 0)
        return ol_fail(err,
                       "%s: topk_method is \"%s\", expected \"greedy\" or "
                       "\"group_limited_greedy\"",
                       config.file, method);
    spec->router.group_best = 1;
    spec->attention.rope.kind = OL_ROPE_PAIRS_ONCE;
    return 0;
}

const struct ol_family ol_family_deepseek_v2 = {"deepseek_v2", read_v2};
const struct ol_family ol_family_deepseek_v3 = {"deepseek_v3", read_v3};
const struct ol_family ol_family_kimi_k2 = {"kimi_k2", read_v3};
