/* Text models that are a part of another one, of which only the text is run. */
#include "extract/model/families/families.h"

void ol_family_set_wrapper(struct ol_spec *spec, const struct ol_wrapper *wrapper)
{
    spec->wrapper = wrapper;
    spec->form = wrapper->forms[0];
}

int ol_family_read_wrapper(struct ol_config config, const struct ol_wrapper *wrapper,
                           int (*read)(struct ol_config config, struct ol_spec *spec,
                                       struct ol_error *err),
                           struct ol_spec *spec, struct ol_error *err)
{
    static const char tied[] = "tie_word_embeddings";
    struct ol_config text;
    bool outside;
    if (ol_config_section(config, "text_config", &text, err) != 0)
        return -1;
    if (text.json == NULL)
        return ol_fail(err, "%s: key \"text_config\": expected an object", config.file);
    ol_family_set_wrapper(spec, wrapper);
    if (ol_family_read_quantization(config, &spec->quantization, err) != 0 ||
        ol_config_bool_or(config, tied, wrapper->tied_embeddings, &outside, err) != 0 ||
        read(text, spec, err) != 0)
        return -1;
    switch (wrapper->tied_level) {
    case OL_TIED_OUTSIDE:
        spec->tied_embeddings = outside;
        break;
    case OL_TIED_INSIDE: /* as it was read */
        break;
    case OL_TIED_EITHER:
        spec->tied_embeddings |= outside;
        break;
    }
    return 0;
}
