/* The gated delta nets of Qwen3-Next and Qwen3.5: their sizes, and which layers have one.
 */
#include "extract/model/families/families.h"

static int read_sizes(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    struct ol_delta_net_spec *d = &spec->delta_net;
    int64_t key_heads, value_heads, key_dim, value_dim, kernel;
    if (ol_config_int_or(config, "linear_num_key_heads", 1, OL_MAX_DIM, 16, &key_heads,
                         err) != 0 ||
        ol_config_int_or(config, "linear_num_value_heads", 1, OL_MAX_DIM, 32,
                         &value_heads, err) != 0 ||
        ol_config_int_or(config, "linear_key_head_dim", 1, OL_MAX_HEAD_DIM, 128, &key_dim,
                         err) != 0 ||
        ol_config_int_or(config, "linear_value_head_dim", 1, OL_MAX_HEAD_DIM, 128,
                         &value_dim, err) != 0 ||
        ol_config_int_or(config, "linear_conv_kernel_dim", 1, 64, 4, &kernel, err) != 0)
        return -1;
    if (value_heads % key_heads != 0 ||
        2 * (key_heads * key_dim + value_heads * value_dim) > OL_MAX_DIM)
        return ol_fail(
            err,
            "%s: %lld value heads for %lld key heads: expected a multiple, and "
            "at most %d values in all",
            config.file, (long long)value_heads, (long long)key_heads, OL_MAX_DIM);
    *d = (struct ol_delta_net_spec){(int)key_heads, (int)value_heads, (int)key_dim,
                                    (int)value_dim, (int)kernel};
    spec->names[OL_ROLE_DELTA_CONV] = "model.layers.{l}.linear_attn.conv1d.weight";
    spec->names[OL_ROLE_DELTA_DT_BIAS] = "model.layers.{l}.linear_attn.dt_bias";
    spec->names[OL_ROLE_DELTA_A_LOG] = "model.layers.{l}.linear_attn.A_log";
    spec->names[OL_ROLE_DELTA_NORM] = "model.layers.{l}.linear_attn.norm.weight";
    spec->names[OL_ROLE_DELTA_OUT] = "model.layers.{l}.linear_attn.out_proj.weight";
    return 0;
}

static int read_layers(struct ol_config config, struct ol_spec *spec,
                       struct ol_error *err)
{
    int64_t interval;
    if (ol_config_int_or(config, "full_attention_interval", 1, OL_MAX_LAYERS, 4,
                         &interval, err) != 0)
        return -1;
    if (ol_json_kind(ol_config_whole(config, "layer_types")) != OL_JSON_NULL)
        return ol_family_read_layer_types(config, "linear_attention", OL_ATTENTION_LINEAR,
                                          0, spec, err);
    for (int l = 0; l < spec->n_layers; l++)
        if ((l + 1) % interval != 0)
            spec->layers[l].attention = OL_ATTENTION_LINEAR;
    return 0;
}

int ol_family_read_delta_net(struct ol_config config, struct ol_spec *spec,
                             struct ol_error *err)
{
    return read_sizes(config, spec, err) != 0 ? -1 : read_layers(config, spec, err);
}
