/* OLMo 2 and 3 dense (controls): norms behind attention and MLP and none before them,
 * norms of q and k over the whole vector. In OLMo 3 three layers of four slide, and only
 * the fourth's rope is stretched. */
#include "extract/model/families/families.h"

static int read_frame(struct ol_config config, const struct ol_family_defaults *d,
                      struct ol_spec *spec, struct ol_error *err)
{
    if (ol_family_read_common(config, d, spec, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_family_read_dense(config, spec, err) != 0)
        return -1;
    ol_family_set_qk_norm(spec, OL_QK_NORM_FLAT);
    spec->norm = OL_NORM_RMS_ONCE;
    spec->attention.rope.kind = OL_ROPE_HALF_ONCE;
    spec->names[OL_ROLE_ATTN_NORM] = spec->names[OL_ROLE_MLP_NORM] = NULL;
    spec->names[OL_ROLE_ATTN_POST_NORM] =
        "model.layers.{l}.post_attention_layernorm.weight";
    spec->names[OL_ROLE_MLP_POST_NORM] =
        "model.layers.{l}.post_feedforward_layernorm.weight";
    return 0;
}

static int read_2(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {.norm_eps = 1e-5, .rope_theta = 10000};
    return read_frame(config, &defaults, spec, err);
}

/* What is said outside of rope_parameters' objects is of full layers, but for the theta:
 * that is both types'. */
static int read_ropes(struct ol_config config, const struct ol_family_defaults *d,
                      struct ol_spec *spec, struct ol_error *err)
{
    bool found;
    spec->sliding = spec->attention;
    struct ol_rope_spec *full = &spec->attention.rope, *sliding = &spec->sliding.rope;
    sliding->scaling = OL_ROPE_SCALING_NONE;
    if (ol_family_read_rope_of(config, "full_attention", d, full, &found, err) != 0)
        return -1;
    return ol_family_read_rope_of(config, "sliding_attention", d, sliding, &found, err);
}

static int read_3(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {.norm_eps = 1e-5, .rope_theta = 500000};
    int64_t window;
    if (read_frame(config, &defaults, spec, err) != 0 ||
        read_ropes(config, &defaults, spec, err) != 0 ||
        ol_config_int_or(config, "sliding_window", 1, INT32_MAX, 4096, &window, err) != 0)
        return -1;
    if (ol_json_kind(ol_config_whole(config, "layer_types")) != OL_JSON_NULL)
        return ol_family_read_layer_types(config, "sliding_attention",
                                          OL_ATTENTION_SLIDING, window, spec, err);
    ol_family_set_pattern(spec, 4, window);
    return 0;
}

const struct ol_family ol_family_olmo2 = {"olmo2", read_2};
const struct ol_family ol_family_olmo3 = {"olmo3", read_3};
