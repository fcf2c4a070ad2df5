/* Gemma 4, its text part: Gemma 3's frame with plain norm weights, heads of another size
 * in full layers, whose values may be their keys, a factor for the stream after each
 * layer. 26B-A4B: a dense MLP, which is taken for the shared expert, beside experts whose
 * router and input have norms of their own. E2B, E4B: inputs of every layer's own, and
 * last layers that borrow keys and values. */
#include "extract/model/families/families.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Of a layer's attention: values of a head, and how many heads have keys. */
struct full_heads {
    int64_t dim, n_kv;
};

static const struct ol_name_form forms[] = {
    {"model.language_model.", ""}, {"model.", ""}, {NULL, NULL}};
static const char *const left_out[] = {"model.vision_tower.", "model.embed_vision.",
                                       "model.audio_tower.", "model.embed_audio.", NULL};
static const struct ol_wrapper wrapper = {forms, left_out, true, OL_TIED_OUTSIDE};

/* The last layers borrow keys and values of the last layer of their kind that makes some,
 * and may have wider MLPs. */
static int read_borrowed(struct ol_config config, struct ol_spec *spec,
                         struct ol_error *err)
{
    static const char key[] = "num_kv_shared_layers";
    int64_t n;
    bool wide;
    if (ol_config_int_or(config, key, 0, spec->n_layers - 1, 0, &n, err) != 0 ||
        ol_config_bool_or(config, "use_double_wide_mlp", false, &wide, err) != 0)
        return -1;
    for (int l = spec->n_layers - (int)n; l < spec->n_layers; l++) {
        struct ol_layer_spec *layer = &spec->layers[l];
        int from = spec->n_layers - (int)n - 1;
        while (from >= 0 && spec->layers[from].attention != layer->attention)
            from--;
        if (from < 0)
            return ol_fail(err,
                           "%s: %s is %lld: no layer before these has keys for the %s "
                           "attention of layer %d",
                           config.file, key, (long long)n,
                           ol_attention_kind_name(layer->attention), l);
        spec->layers[from].keeps_keys = true;
        layer->borrows_keys = true;
        layer->wide = wide;
    }
    if (wide && n > 0 && spec->d_ff > OL_MAX_DIM / 2)
        return ol_fail(err,
                       "%s: intermediate_size is %d: expected at most %d where "
                       "use_double_wide_mlp is true",
                       config.file, spec->d_ff, OL_MAX_DIM / 2);
    return 0;
}

/* Every layer has an input of its own, made of the token's id. */
static int read_inputs(struct ol_config config, struct ol_spec *spec,
                       struct ol_error *err)
{
    int64_t d, rows;
    if (ol_config_int_or(config, "hidden_size_per_layer_input", 0,
                         OL_MAX_DIM / spec->n_layers, 256, &d, err) != 0)
        return -1;
    if (d == 0)
        return 0;
    if (ol_config_int_or(config, "vocab_size_per_layer_input", spec->vocab_size,
                         OL_MAX_VOCAB, 262144, &rows, err) != 0)
        return -1;
    if (rows < spec->vocab_size)
        return ol_fail(err,
                       "%s: vocab_size is %d: expected at most "
                       "vocab_size_per_layer_input (%lld)",
                       config.file, spec->vocab_size, (long long)rows);
    spec->d_input = (int)d;
    spec->n_input_rows = (int)rows;
    spec->names[OL_ROLE_INPUT_TABLE] = "model.embed_tokens_per_layer.weight";
    spec->names[OL_ROLE_INPUT_PROJECTION] = "model.per_layer_model_projection.weight";
    spec->names[OL_ROLE_INPUT_NORM] = "model.per_layer_projection_norm.weight";
    spec->names[OL_ROLE_INPUT_GATE] = "model.layers.{l}.per_layer_input_gate.weight";
    spec->names[OL_ROLE_INPUT_OUT] = "model.layers.{l}.per_layer_projection.weight";
    spec->names[OL_ROLE_INPUT_POST_NORM] =
        "model.layers.{l}.post_per_layer_input_norm.weight";
    return 0;
}

/* What an entry of per_layer_config says of a layer. */
static int read_entry(struct ol_config config, const char *layer, struct ol_json *entry,
                      struct full_heads *heads, struct ol_error *err)
{
    for (void *it = ol_json_first(entry); it != NULL; it = ol_json_next(entry, it)) {
        const char *key = ol_json_key(it);
        const struct ol_json *value = ol_json_value(it);
        int64_t *to = strcmp(key, "head_dim") == 0              ? &heads->dim
                      : strcmp(key, "num_key_value_heads") == 0 ? &heads->n_kv
                                                                : NULL;
        if (to == NULL)
            return ol_fail(err,
                           "%s: key \"per_layer_config.%s.%s\": only head_dim and "
                           "num_key_value_heads of a layer are read",
                           config.file, layer, key);
        *to = ol_json_kind(value) == OL_JSON_INT ? ol_json_int(value) : 0;
    }
    return 0;
}

/* As transformers 5.24 writes the heads of full layers: what differs from the others'
 * stands by the numbers of these layers. All of them are to be alike. */
static int read_layer_heads(struct ol_config config, struct ol_json *layers,
                            const struct ol_spec *spec, struct full_heads *heads,
                            struct ol_error *err)
{
    const struct full_heads common = *heads;
    int n = 0, n_full = 0;
    for (int l = 0; l < spec->n_layers; l++)
        n_full += spec->layers[l].attention == OL_ATTENTION_FULL;
    for (void *it = ol_json_first(layers); it != NULL; it = ol_json_next(layers, it)) {
        struct full_heads own = common;
        char *end;
        const char *key = ol_json_key(it);
        const long l = strtol(key, &end, 10);
        if (*key < '0' || *key > '9' || *end != '\0' || l >= spec->n_layers ||
            spec->layers[l].attention != OL_ATTENTION_FULL)
            return ol_fail(err,
                           "%s: key \"per_layer_config.%s\": expected the number of a "
                           "layer with full attention",
                           config.file, key);
        if (read_entry(config, key, ol_json_value(it), &own, err) != 0)
            return -1;
        if (n++ == 0)
            *heads = own;
        if (own.dim != heads->dim || own.n_kv != heads->n_kv)
            return ol_fail(err,
                           "%s: key \"per_layer_config.%s\" differs from those before: "
                           "heads of all layers with full attention are to be alike",
                           config.file, key);
    }
    return n == n_full || (heads->dim == common.dim && heads->n_kv == common.n_kv)
               ? 0
               : ol_fail(err,
                         "%s: per_layer_config has %d layers, expected all %d with full "
                         "attention",
                         config.file, n, n_full);
}

/* In full layers heads are larger, fewer keys may serve them, and these may be values. */
static int read_full_heads(struct ol_config config, struct ol_spec *spec,
                           struct ol_error *err)
{
    struct ol_attention_spec *a = &spec->attention;
    const struct ol_json *layers = ol_config_whole(config, "per_layer_config");
    struct full_heads heads, common = {a->head_dim, a->n_kv_heads};
    if (ol_config_int_or(config, "global_head_dim", 2, OL_MAX_HEAD_DIM, 512, &heads.dim,
                         err) != 0 ||
        ol_config_bool_or(config, "attention_k_eq_v", false, &a->keys_are_values, err) !=
            0 ||
        ol_config_int_or(config, "num_global_key_value_heads", 1, a->n_heads,
                         a->n_kv_heads, &heads.n_kv, err) != 0)
        return -1;
    /* As in the reference, which looks at the number only where values are keys. */
    if (!a->keys_are_values)
        heads.n_kv = a->n_kv_heads;
    if (ol_json_kind(layers) == OL_JSON_OBJECT) {
        heads = common;
        if (read_layer_heads(config, (struct ol_json *)(uintptr_t)layers, spec, &heads,
                             err) != 0)
            return -1;
    } else if (ol_json_kind(layers) != OL_JSON_NULL) {
        return ol_fail(err, "%s: per_layer_config: expected an object", config.file);
    }
    if (heads.dim < 2 || heads.dim > OL_MAX_HEAD_DIM || heads.dim % 2 != 0 ||
        a->n_heads * heads.dim > OL_MAX_DIM)
        return ol_fail(err,
                       "%s: global_head_dim is %lld: expected an even number, and at "
                       "most %d values in all heads",
                       config.file, (long long)heads.dim, OL_MAX_DIM);
    if (heads.n_kv < 1 || a->n_heads % heads.n_kv != 0)
        return ol_fail(err,
                       "%s: num_attention_heads is %d, expected a multiple of "
                       "num_global_key_value_heads (%lld)",
                       config.file, a->n_heads, (long long)heads.n_kv);
    a->n_kv_heads = (int)heads.n_kv;
    a->head_dim = a->value_dim = a->rope.rotary_dim = (int)heads.dim;
    return 0;
}

/* "proportional": pairs are those of the whole head, and the first share of them turns.
 */
static int read_full_rope(struct ol_config config, struct ol_rope_spec *rope,
                          struct ol_error *err)
{
    const struct ol_config_range share = {0, 1, false}, theta = {1, 1e15, false},
                                 factor = {1e-3, 1e6, false};
    struct ol_config all, s;
    double partial;
    if (ol_config_section(config, "rope_parameters", &all, err) != 0 ||
        ol_config_section(all, "full_attention", &s, err) != 0)
        return -1;
    *rope = (struct ol_rope_spec){.kind = OL_ROPE_HALF,
                                  .rotary_dim = rope->rotary_dim,
                                  .scaling = OL_ROPE_SCALING_PROPORTIONAL};
    if (ol_config_expect_string(s, "rope_type", "proportional", err) != 0 ||
        ol_config_real_or(s, "partial_rotary_factor", share, all.json == NULL ? 0.25 : 1,
                          &partial, err) != 0 ||
        ol_config_real_or(s, "rope_theta", theta, 1000000, &rope->theta, err) != 0 ||
        ol_config_real_or(s, "factor", factor, 1, &rope->factor, err) != 0)
        return -1;
    rope->turned = (int)(partial * rope->rotary_dim / 2);
    return 0;
}

static int read_ropes(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults local = {.rope_theta = 10000};
    bool found;
    if (read_full_rope(config, &spec->attention.rope, err) != 0)
        return -1;
    return ol_family_read_rope_of(config, "sliding_attention", &local,
                                  &spec->sliding.rope, &found, err);
}

static void name_experts(struct ol_spec *spec)
{
    const char **names = spec->names;
    names[OL_ROLE_SHARED_GATE] = names[OL_ROLE_GATE];
    names[OL_ROLE_SHARED_UP] = names[OL_ROLE_UP];
    names[OL_ROLE_SHARED_DOWN] = names[OL_ROLE_DOWN];
    names[OL_ROLE_SHARED_POST_NORM] =
        "model.layers.{l}.post_feedforward_layernorm_1.weight";
    names[OL_ROLE_EXPERT_NORM] = "model.layers.{l}.pre_feedforward_layernorm_2.weight";
    names[OL_ROLE_EXPERT_POST_NORM] =
        "model.layers.{l}.post_feedforward_layernorm_2.weight";
    names[OL_ROLE_ROUTER] = "model.layers.{l}.router.proj.weight";
    names[OL_ROLE_ROUTER_NORM] = "model.layers.{l}.router.scale";
    names[OL_ROLE_ROUTER_GAINS] = "model.layers.{l}.router.per_expert_scale";
    names[OL_ROLE_EXPERT_GATE] = "model.layers.{l}.experts.{e}.gate_proj.weight";
    names[OL_ROLE_EXPERT_UP] = "model.layers.{l}.experts.{e}.up_proj.weight";
    names[OL_ROLE_EXPERT_DOWN] = "model.layers.{l}.experts.{e}.down_proj.weight";
    spec->fused_names[OL_ROLE_EXPERT_GATE] = spec->fused_names[OL_ROLE_EXPERT_UP] =
        "model.layers.{l}.experts.gate_up_proj";
    spec->fused_names[OL_ROLE_EXPERT_DOWN] = "model.layers.{l}.experts.down_proj";
}

static int read_experts(struct ol_config config, struct ol_spec *spec,
                        struct ol_error *err)
{
    bool moe;
    if (ol_config_bool_or(config, "enable_moe_block", false, &moe, err) != 0)
        return -1;
    if (!moe)
        return 0;
    if (ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0)
        return -1;
    name_experts(spec);
    spec->router.renormalize = true;
    spec->d_shared = spec->d_ff;
    spec->d_ff = 0;
    for (int l = 0; l < spec->n_layers; l++)
        spec->layers[l].moe = true;
    return 0;
}

static int read_text(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {.n_kv_heads = 4,
                                                .head_dim = 256,
                                                .norm_eps = 1e-6,
                                                .rope_theta = 10000,
                                                .tied_embeddings = true,
                                                .n_heads = 8,
                                                .vocab_size = 262144,
                                                .gelu = true};
    const struct ol_config_range positive = {0, 1e9, true};
    const char *sees;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_dense(config, spec, err) != 0 ||
        ol_family_read_gemma(config, 6, 512, spec, err) != 0 ||
        read_inputs(config, spec, err) != 0)
        return -1;
    /* The reference makes the last layer full whatever the list says. */
    spec->layers[spec->n_layers - 1].attention = OL_ATTENTION_FULL;
    spec->layers[spec->n_layers - 1].window = 0;
    if (read_full_heads(config, spec, err) != 0 || read_ropes(config, spec, err) != 0 ||
        read_experts(config, spec, err) != 0 ||
        ol_config_real_or(config, "final_logit_softcapping", positive, 0,
                          &spec->logit_cap, err) != 0 ||
        ol_config_string_or(config, "use_bidirectional_attention", "vision", &sees,
                            err) != 0)
        return -1;
    if (strcmp(sees, "vision") != 0)
        return ol_fail(err,
                       "%s: use_bidirectional_attention is \"%s\": text is only seen "
                       "causally",
                       config.file, sees);
    if (read_borrowed(config, spec, err) != 0)
        return -1;
    if (spec->wrapper == NULL)
        ol_family_set_wrapper(spec, &wrapper);
    spec->norm = OL_NORM_RMS_ONCE;
    spec->attention.scale = spec->sliding.scale = 1;
    spec->attention.norm_values = spec->sliding.norm_values = true;
    spec->names[OL_ROLE_LAYER_SCALE] = "model.layers.{l}.layer_scalar";
    return 0;
}

static int read_wrapped(struct ol_config config, struct ol_spec *spec,
                        struct ol_error *err)
{
    return ol_family_read_wrapper(config, &wrapper, read_text, spec, err);
}

const struct ol_family ol_family_gemma4 = {"gemma4", read_wrapped};
const struct ol_family ol_family_gemma4_text = {"gemma4_text", read_text};
