/* GLM-5 to 5.2: latent attention to keys that an indexer chooses, as in DeepSeek-V3.2. */
#include "extract/model/families/families.h"

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    static const struct ol_family_latent defaults = {1e-5, 3, {1, 1, 2.5}, false};
    /* As transformers and the published files have it; there are ports with halves. */
    static const struct ol_family_indexer indexer = {32, true};
    return ol_family_read_indexed(config, &defaults, &indexer, spec, err);
}

const struct ol_family ol_family_glm_moe_dsa = {"glm_moe_dsa", read};
