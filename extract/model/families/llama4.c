/* Llama 4 (Scout, Maverick), its text part: most layers see chunks of positions, every
 * fourth sees all of them without rope; the router scales what goes into an expert. */
#include "extract/model/families/families.h"

/* Which layers have rope, and see chunks. */
static int read_attention(struct ol_config config, struct ol_spec *spec,
                          struct ol_error *err)
{
    const struct ol_json *list = ol_config_whole(config, "no_rope_layers");
    const size_t n = ol_json_length(list);
    int64_t interval, chunk;
    if (ol_config_int_or(config, "no_rope_layer_interval", 1, OL_MAX_LAYERS, 4, &interval,
                         err) != 0 ||
        ol_config_int_or(config, "attention_chunk_size", 1, INT32_MAX, 8192, &chunk,
                         err) != 0)
        return -1;
    if (n > 0 && (ol_json_kind(list) != OL_JSON_ARRAY || n < (size_t)spec->n_layers))
        return ol_fail(err, "%s: no_rope_layers: expected an array of %d integers",
                       config.file, spec->n_layers);
    for (int l = 0; l < spec->n_layers; l++) {
        bool rope = (l + 1) % interval != 0;
        if (n > 0) {
            const struct ol_json *item = ol_json_at(list, (size_t)l);
            if (ol_json_kind(item) != OL_JSON_INT)
                return ol_fail(err, "%s: no_rope_layers[%d]: expected 0 or 1",
                               config.file, l);
            rope = ol_json_int(item) != 0; /* 1 means that there is rope */
        }
        spec->layers[l].no_rope = !rope;
        spec->layers[l].attention = rope ? OL_ATTENTION_CHUNKED : OL_ATTENTION_FULL;
        spec->layers[l].window = rope ? (int)chunk : 0;
    }
    if (ol_json_kind(ol_config_whole(config, "layer_types")) == OL_JSON_NULL)
        return 0;
    return ol_family_read_layer_types(config, "chunked_attention", OL_ATTENTION_CHUNKED,
                                      chunk, spec, err);
}

/* attn_temperature_tuning is true, false, or a number that stands for true. */
static int read_temperature(struct ol_config config, struct ol_attention_spec *a,
                            struct ol_error *err)
{
    const struct ol_json *tuned = ol_config_whole(config, "attn_temperature_tuning");
    bool on = true;
    if (ol_json_kind(tuned) == OL_JSON_INT)
        on = ol_json_int(tuned) != 0;
    else if (ol_config_bool_or(config, "attn_temperature_tuning", true, &on, err) != 0)
        return -1;
    if (ol_config_real_or(config, "floor_scale", (struct ol_config_range){0, 1e9, true},
                          8192, &a->temperature_floor, err) != 0 ||
        ol_config_real_or(config, "attn_scale",
                          (struct ol_config_range){-1e6, 1e6, false}, 0.1,
                          &a->temperature_scale, err) != 0)
        return -1;
    if (!on)
        a->temperature_floor = a->temperature_scale = 0;
    a->temperature_from = 1;
    return 0;
}

static int read_layer_plan(struct ol_config config, struct ol_spec *spec,
                           struct ol_error *err)
{
    const struct ol_json *list = ol_config_whole(config, "moe_layers");
    int64_t step;
    if (ol_config_int_or(config, "interleave_moe_layer_step", 1, OL_MAX_LAYERS, 1, &step,
                         err) != 0)
        return -1;
    if (ol_json_kind(list) != OL_JSON_NULL && ol_json_kind(list) != OL_JSON_ARRAY)
        return ol_fail(err, "%s: moe_layers: expected an array of integers", config.file);
    for (int l = 0; l < spec->n_layers; l++)
        spec->layers[l].moe = ol_json_kind(list) == OL_JSON_NULL && (l + 1) % step == 0;
    for (size_t i = 0; i < ol_json_length(list); i++) {
        const struct ol_json *item = ol_json_at(list, i);
        const int64_t l = ol_json_kind(item) == OL_JSON_INT ? ol_json_int(item) : -1;
        if (l < 0 || l >= spec->n_layers)
            return ol_fail(err, "%s: moe_layers[%zu]: expected a layer from 0 to %d",
                           config.file, i, spec->n_layers - 1);
        spec->layers[l].moe = true;
    }
    int64_t d_ff;
    for (int l = 0; l < spec->n_layers; l++) {
        if (spec->layers[l].moe)
            continue;
        if (ol_config_need_int(config, "intermediate_size_mlp", 1, OL_MAX_DIM, &d_ff,
                               err) != 0)
            return -1;
        spec->d_ff = (int)d_ff;
        break;
    }
    return 0;
}

static void name_tensors(struct ol_spec *spec)
{
    const char **names = spec->names;
    names[OL_ROLE_GATE] = "model.layers.{l}.feed_forward.gate_proj.weight";
    names[OL_ROLE_UP] = "model.layers.{l}.feed_forward.up_proj.weight";
    names[OL_ROLE_DOWN] = "model.layers.{l}.feed_forward.down_proj.weight";
    names[OL_ROLE_ROUTER] = "model.layers.{l}.feed_forward.router.weight";
    names[OL_ROLE_SHARED_GATE] =
        "model.layers.{l}.feed_forward.shared_expert.gate_proj.weight";
    names[OL_ROLE_SHARED_UP] =
        "model.layers.{l}.feed_forward.shared_expert.up_proj.weight";
    names[OL_ROLE_SHARED_DOWN] =
        "model.layers.{l}.feed_forward.shared_expert.down_proj.weight";
    /* Quantised exports hold a tensor per expert, others one for all. */
    names[OL_ROLE_EXPERT_GATE] =
        "model.layers.{l}.feed_forward.experts.{e}.gate_proj.weight";
    names[OL_ROLE_EXPERT_UP] = "model.layers.{l}.feed_forward.experts.{e}.up_proj.weight";
    names[OL_ROLE_EXPERT_DOWN] =
        "model.layers.{l}.feed_forward.experts.{e}.down_proj.weight";
    spec->expert_layout = OL_EXPERTS_TURNED;
    spec->fused_names[OL_ROLE_EXPERT_GATE] = spec->fused_names[OL_ROLE_EXPERT_UP] =
        "model.layers.{l}.feed_forward.experts.gate_up_proj";
    spec->fused_names[OL_ROLE_EXPERT_DOWN] =
        "model.layers.{l}.feed_forward.experts.down_proj";
}

static int read_text(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 8, .head_dim = 128, .norm_eps = 1e-5, .rope_theta = 500000};
    bool qk_norm;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_experts(config, "intermediate_size", spec, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_config_bool_or(config, "use_qk_norm", true, &qk_norm, err) != 0 ||
        read_layer_plan(config, spec, err) != 0 ||
        read_attention(config, spec, err) != 0 ||
        read_temperature(config, &spec->attention, err) != 0)
        return -1;
    spec->attention.rope.kind = OL_ROPE_PAIRS_ONCE;
    spec->attention.qk_norm = qk_norm ? OL_QK_NORM_UNIT : OL_QK_NORM_NONE;
    spec->router.score = OL_ROUTER_SIGMOID;
    spec->router.scales_input = true;
    spec->d_shared = spec->d_expert;
    name_tensors(spec);
    return 0;
}

/* The whole model, of which only the text part is read. */
static int read_nested(struct ol_config config, struct ol_spec *spec,
                       struct ol_error *err)
{
    static const struct ol_name_form forms[] = {
        {"language_model.model.", "language_model."},
        {"model.language_model.", ""},
        {NULL, NULL}};
    static const char *const left_out[] = {"vision_model.", "multi_modal_projector.",
                                           "model.vision_model.",
                                           "model.multi_modal_projector.", NULL};
    static const struct ol_wrapper wrapper = {forms, left_out, false, OL_TIED_INSIDE};
    return ol_family_read_wrapper(config, &wrapper, read_text, spec, err);
}

const struct ol_family ol_family_llama4 = {"llama4", read_nested};
const struct ol_family ol_family_llama4_text = {"llama4_text", read_text};
