/* Mistral-Small-4: latent attention whose queries grow with the position, a softmax
 * router, shared experts; by itself, and as the text part of the mistral3 wrapper. */
#include "extract/model/families/families.h"

#include <string.h>

/* Queries are multiplied after rope, by 1 up to the positions of the training. */
static int read_temperature(struct ol_config config, struct ol_attention_spec *a,
                            struct ol_error *err)
{
    struct ol_config s;
    if (ol_family_rope_section(config, &s, err) != 0 ||
        ol_config_real_or(s, "llama_4_scaling_beta",
                          (struct ol_config_range){-1e6, 1e6, false}, 0,
                          &a->temperature_scale, err) != 0)
        return -1;
    if (a->rope.scaling != OL_ROPE_SCALING_YARN)
        return ol_fail(err, "%s: rope_parameters: expected an object of type \"yarn\"",
                       config.file);
    if (a->temperature_scale == 0)
        return 0;
    a->temperature_floor = a->rope.original_position;
    a->temperature_from = 0;
    a->temperature_rounds = true;
    return 0;
}

static int read_text(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_latent d = {1e-6, 0, {1, 1, 1}, true};
    bool interleaved;
    if (ol_family_read_latent_frame(config, &d, spec, err) != 0 ||
        read_temperature(config, &spec->attention, err) != 0 ||
        ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_family_read_groups(config, &d.groups, spec, err) != 0 ||
        ol_family_read_shared_experts(config, 1, spec, err) != 0 ||
        ol_config_expect_string(config, "scoring_func", "softmax", err) != 0 ||
        ol_config_bool_or(config, "norm_topk_prob", true, &spec->router.renormalize,
                          err) != 0 ||
        ol_config_bool_or(config, "rope_interleave", true, &interleaved, err) != 0)
        return -1;
    if (!interleaved)
        spec->attention.rope.kind = OL_ROPE_HALF;
    spec->router.group_best = 2;
    spec->router.float_logits = false;
    return 0;
}

static int read_wrapped(struct ol_config config, struct ol_spec *spec,
                        struct ol_error *err)
{
    static const struct ol_name_form forms[] = {
        {"language_model.model.", "language_model."},
        {"model.language_model.", ""},
        {NULL, NULL}};
    static const char *const left_out[] = {"vision_tower.", "multi_modal_projector.",
                                           "model.vision_tower.",
                                           "model.multi_modal_projector.", NULL};
    static const struct ol_wrapper wrapper = {forms, left_out, true};
    const struct ol_json *type =
        ol_json_get(ol_json_get(config.json, "text_config"), "model_type");
    const char *name =
        ol_json_kind(type) == OL_JSON_STRING ? ol_json_string(type, NULL) : "missing";
    if (strcmp(name, "mistral4") != 0)
        return ol_fail(err,
                       "%s: key \"text_config.model_type\" is %s, expected \"mistral4\" "
                       "within model_type mistral3",
                       config.file, name);
    return ol_family_read_wrapper(config, &wrapper, read_text, spec, err);
}

const struct ol_family ol_family_mistral4 = {"mistral4", read_text};
const struct ol_family ol_family_mistral3 = {"mistral3", read_wrapped};
