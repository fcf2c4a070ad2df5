/* Qwen3 dense (control): per-head norms of q and k; layers from max_window_layers on may
 * slide. */
#include "extract/families/families.h"

#include <string.h>

static int read_layer_types(struct ol_json_section config, int64_t window,
                            struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_json *types = ol_json_get(config.json, "layer_types");
    if (ol_json_kind(types) != OL_JSON_ARRAY ||
        ol_json_length(types) != (size_t)spec->n_layers)
        return ol_fail(err, "%s: layer_types: expected an array of %d strings",
                       config.file, spec->n_layers);
    for (int l = 0; l < spec->n_layers; l++) {
        const struct ol_json *type = ol_json_at(types, (size_t)l);
        const char *name = ol_json_kind(type) == OL_JSON_STRING
                               ? ol_json_string(type, NULL)
                               : "no string";
        if (strcmp(name, "full_attention") == 0)
            continue;
        if (strcmp(name, "sliding_attention") != 0)
            return ol_fail(
                err,
                "%s: layer_types[%d] is \"%s\", expected \"full_attention\" or "
                "\"sliding_attention\"",
                config.file, l, name);
        /* Without use_sliding_window the reference applies no window even here. */
        if (window > 0) {
            spec->layers[l].attention = OL_ATTENTION_SLIDING;
            spec->layers[l].window = (int)window;
        }
    }
    return 0;
}

static int read(struct ol_json_section config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .head_dim = 128, .norm_eps = 1e-6, .rope_theta = 10000};
    int64_t window, first;
    bool slides;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_family_read_dense(config, spec, err) != 0 ||
        ol_json_bool_or(config, "use_sliding_window", false, &slides, err) != 0 ||
        ol_json_int_or(config, "sliding_window", 1, INT32_MAX, 4096, &window, err) != 0 ||
        ol_json_int_or(config, "max_window_layers", 0, INT32_MAX, 28, &first, err) != 0)
        return -1;
    ol_family_set_qk_norm(spec, OL_QK_NORM_HEAD);
    if (!slides)
        window = 0;
    if (ol_json_kind(ol_json_get(config.json, "layer_types")) != OL_JSON_NULL)
        return read_layer_types(config, window, spec, err);
    ol_family_set_sliding(spec, first, window);
    return 0;
}

const struct ol_family ol_family_qwen3 = {"qwen3", read};
