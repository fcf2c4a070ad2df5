/* Qwen3 dense (control): per-head norms of q and k. */
#include "extract/model/families/families.h"

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .head_dim = 128, .norm_eps = 1e-6, .rope_theta = 10000};
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_attention_bias(config, spec, err) != 0 ||
        ol_family_read_dense(config, spec, err) != 0 ||
        ol_family_read_late_sliding(config, spec, err) != 0)
        return -1;
    ol_family_set_qk_norm(spec, OL_QK_NORM_HEAD);
    return 0;
}

const struct ol_family ol_family_qwen3 = {"qwen3", read};
