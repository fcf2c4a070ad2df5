/* Llama 2 and 3 (dense controls): GQA, no norms of q and k, llama3 rope scaling from 3.1
 * on. */
#include "extract/model/families/families.h"

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {.norm_eps = 1e-6, .rope_theta = 10000};
    bool mlp_bias;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_family_read_dense(config, spec, err) != 0 ||
        ol_config_bool_or(config, "mlp_bias", false, &mlp_bias, err) != 0)
        return -1;
    if (mlp_bias)
        return ol_fail(err, "%s: mlp_bias is true: biases in the MLP are not supported",
                       config.file);
    return 0;
}

const struct ol_family ol_family_llama = {"llama", read};
