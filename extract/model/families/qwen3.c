/* Qwen3 dense (control): per-head norms of q and k; layers from max_window_layers on may
 * slide. */
#include "extract/model/families/families.h"

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .head_dim = 128, .norm_eps = 1e-6, .rope_theta = 10000};
    int64_t window, first;
    bool slides;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_family_read_dense(config, spec, err) != 0 ||
        ol_config_bool_or(config, "use_sliding_window", false, &slides, err) != 0 ||
        ol_config_int_or(config, "sliding_window", slides, INT32_MAX, 4096, &window,
                         err) != 0 ||
        ol_config_int_or(config, "max_window_layers", 0, INT32_MAX, 28, &first, err) != 0)
        return -1;
    ol_family_set_qk_norm(spec, OL_QK_NORM_HEAD);
    if (!slides)
        window = 0;
    if (ol_json_kind(ol_config_whole(config, "layer_types")) != OL_JSON_NULL)
        /* Without use_sliding_window the reference applies no window even here. */
        return ol_family_read_layer_types(
            config, "sliding_attention",
            slides ? OL_ATTENTION_SLIDING : OL_ATTENTION_FULL, window, spec, err);
    ol_family_set_sliding(spec, first, window);
    return 0;
}

const struct ol_family ol_family_qwen3 = {"qwen3", read};
