/* Gemma 3, dense (controls with very large residual streams), its text part: norms before
 * and behind attention and MLP that count from one, five layers of six slide with a rope
 * of their own. */
#include "extract/model/families/families.h"

#include <math.h>

/* As published, as transformers 5 writes it, and as a text model that was saved alone. */
static const struct ol_name_form forms[] = {{"language_model.model.", "language_model."},
                                            {"model.language_model.", ""},
                                            {"model.", ""},
                                            {NULL, NULL}};
static const char *const left_out[] = {"vision_tower.", "multi_modal_projector.",
                                       "model.vision_tower.",
                                       "model.multi_modal_projector.", NULL};
static const struct ol_wrapper wrapper = {forms, left_out, true, OL_TIED_OUTSIDE};

int ol_family_read_gemma(struct ol_config config, int64_t pattern, int64_t window,
                         struct ol_spec *spec, struct ol_error *err)
{
    const char **names = spec->names;
    if (ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_config_int_or(config, "sliding_window", 1, INT32_MAX, window, &window, err) !=
            0)
        return -1;
    ol_family_set_qk_norm(spec, OL_QK_NORM_HEAD);
    names[OL_ROLE_ATTN_POST_NORM] = "model.layers.{l}.post_attention_layernorm.weight";
    names[OL_ROLE_MLP_NORM] = "model.layers.{l}.pre_feedforward_layernorm.weight";
    names[OL_ROLE_MLP_POST_NORM] = "model.layers.{l}.post_feedforward_layernorm.weight";
    spec->embedding_scale = sqrt((double)spec->d_model);
    spec->sliding = spec->attention;
    if (ol_json_kind(ol_config_whole(config, "layer_types")) != OL_JSON_NULL)
        return ol_family_read_layer_types(config, "sliding_attention",
                                          OL_ATTENTION_SLIDING, window, spec, err);
    ol_family_set_pattern(spec, pattern, window);
    return 0;
}

/* Full layers have the rope that is said at the top; rope_local_base_freq is the theta of
 * the others, which are not stretched. transformers 5 has an object for each. */
static int read_ropes(struct ol_config config, const struct ol_family_defaults *d,
                      struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_config_range range = {1, 1e15, false};
    struct ol_rope_spec *full = &spec->attention.rope, *sliding = &spec->sliding.rope;
    bool found;
    *sliding = (struct ol_rope_spec){.kind = full->kind, .rotary_dim = full->rotary_dim};
    if (ol_config_real_or(config, "rope_local_base_freq", range, 10000, &sliding->theta,
                          err) != 0 ||
        ol_family_read_rope_of(config, "full_attention", d, full, &found, err) != 0)
        return -1;
    const struct ol_family_defaults local = {.rope_theta = sliding->theta};
    return ol_family_read_rope_of(config, "sliding_attention", &local, sliding, &found,
                                  err);
}

static int read_text(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {.n_kv_heads = 4,
                                                .head_dim = 256,
                                                .norm_eps = 1e-6,
                                                .rope_theta = 1000000,
                                                .tied_embeddings = true,
                                                .n_heads = 8,
                                                .vocab_size = 262208,
                                                .gelu = true};
    const struct ol_config_range positive = {0, 1e9, true};
    int64_t pattern;
    double scalar;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_dense(config, spec, err) != 0 ||
        ol_config_int_or(config, "sliding_window_pattern", 1, OL_MAX_LAYERS, 6, &pattern,
                         err) != 0 ||
        ol_family_read_gemma(config, pattern, 4096, spec, err) != 0 ||
        ol_config_real_or(config, "query_pre_attn_scalar", positive, 256, &scalar, err) !=
            0 ||
        ol_config_real_or(config, "final_logit_softcapping", positive, 0,
                          &spec->logit_cap, err) != 0 ||
        ol_config_expect_bool(config, "use_bidirectional_attention", false, err) != 0)
        return -1;
    if (spec->wrapper == NULL)
        ol_family_set_wrapper(spec, &wrapper);
    spec->norm = OL_NORM_RMS_OFFSET;
    spec->attention.scale = spec->sliding.scale = 1 / sqrt(scalar);
    return read_ropes(config, &defaults, spec, err);
}

static int read_wrapped(struct ol_config config, struct ol_spec *spec,
                        struct ol_error *err)
{
    return ol_family_read_wrapper(config, &wrapper, read_text, spec, err);
}

const struct ol_family ol_family_gemma3 = {"gemma3", read_wrapped};
const struct ol_family ol_family_gemma3_text = {"gemma3_text", read_text};
