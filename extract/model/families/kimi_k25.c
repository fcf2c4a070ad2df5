/* Kimi-K2.5, 2.6 and 2.7: a Kimi-K2 that also sees. */
#include "extract/model/families/families.h"

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    /* As published; as transformers 5 writes it; as one published copy has it. */
    static const struct ol_name_form forms[] = {
        {"language_model.model.", "language_model."},
        {"model.language_model.", ""},
        {"language_model.", "language_model."},
        {NULL, NULL}};
    static const char *const left_out[] = {"vision_tower.", "mm_projector.",
                                           "model.vision_tower.", "model.mm_projector.",
                                           NULL};
    static const struct ol_wrapper wrapper = {forms, left_out, true, OL_TIED_OUTSIDE};
    return ol_family_read_wrapper(config, &wrapper, ol_family_read_deepseek_v3, spec,
                                  err);
}

const struct ol_family ol_family_kimi_k25 = {"kimi_k25", read};
