/* Qwen2 and Qwen2.5 dense (controls): biases on q, k and v, which no key turns off. */
#include "extract/model/families/families.h"

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {.norm_eps = 1e-6, .rope_theta = 10000};
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_dense(config, spec, err) != 0 ||
        ol_family_read_late_sliding(config, spec, err) != 0)
        return -1;
    ol_family_name_qkv_bias(spec);
    return 0;
}

const struct ol_family ol_family_qwen2 = {"qwen2", read};
