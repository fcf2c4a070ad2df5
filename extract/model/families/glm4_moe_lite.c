/* GLM-4.7-Flash: DeepSeek-V3's forward pass with other numbers; a head's value is wider
 * than the part of its key that is its own. */
#include "extract/model/families/families.h"

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    static const struct ol_family_latent defaults = {1e-5, 1, {1, 1, 1.8}, false};
    return ol_family_read_latent(config, &defaults, spec, err);
}

const struct ol_family ol_family_glm4_moe_lite = {"glm4_moe_lite", read};
