/* The text models within the mistral3 wrapper: Mistral-Small-3.1 and 3.2 (mistral),
 * Ministral-3 (ministral3) and Mistral-Small-4 (mistral4). */
#include "extract/model/families/families.h"

#include <string.h>

#define OL_FAMILY(name) extern const struct ol_family ol_family_##name;
OL_FAMILY(ministral3)
OL_FAMILY(mistral)
OL_FAMILY(mistral4)

static const struct ol_name_form forms[] = {{"language_model.model.", "language_model."},
                                            {"model.language_model.", ""},
                                            {NULL, NULL}};
static const char *const left_out[] = {"vision_tower.", "multi_modal_projector.",
                                       "model.vision_tower.",
                                       "model.multi_modal_projector.", NULL};
static const struct ol_wrapper wrapper = {forms, left_out, true, OL_TIED_OUTSIDE};

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    static const struct ol_family *const inner[] = {
        &ol_family_mistral, &ol_family_ministral3, &ol_family_mistral4};
    struct ol_config text;
    const char *name;
    if (ol_config_section(config, "text_config", &text, err) != 0 ||
        ol_config_string_or(text, "model_type", "mistral", &name, err) != 0)
        return -1;
    for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++)
        if (strcmp(name, inner[i]->model_type) == 0)
            return ol_family_read_wrapper(config, &wrapper, inner[i]->read, spec, err);
    return ol_fail(err,
                   "%s: key \"text_config.model_type\" is \"%s\", expected \"mistral\", "
                   "\"ministral3\" or \"mistral4\" within model_type mistral3",
                   config.file, name);
}

const struct ol_family ol_family_mistral3 = {"mistral3", read};
