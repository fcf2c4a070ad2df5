/* DeepSeek-V2, V3 (R1) and V3.2, and Kimi-K2, which is a DeepSeek-V3 with other numbers:
 * latent attention, dense layers first, routed experts in groups, shared experts. */
#include "extract/model/families/families.h"

#include <string.h>

static const struct ol_family_latent defaults_v3 = {1e-6, 3, {8, 4, 2.5}, false};

int ol_family_read_deepseek_v3(struct ol_config config, struct ol_spec *spec,
                               struct ol_error *err)
{
    return ol_family_read_latent(config, &defaults_v3, spec, err);
}

/* DeepSeek-V3.2: behind index_topk positions a query sees the keys that an indexer
 * chooses. */
static int read_v32(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    static const struct ol_family_indexer indexer = {64, false};
    return ol_family_read_indexed(config, &defaults_v3, &indexer, spec, err);
}

static int read_v2(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_latent defaults = {1e-6, 0, {1, 1, 1}, false};
    const char *method;
    if (ol_family_read_latent_frame(config, &defaults, spec, err) != 0 ||
        ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_family_read_groups(config, &defaults.groups, spec, err) != 0 ||
        ol_family_read_shared_experts(config, 2, spec, err) != 0 ||
        ol_config_string_or(config, "topk_method", "greedy", &method, err) != 0 ||
        ol_config_expect_string(config, "scoring_func", "softmax", err) != 0 ||
        /* The reference never divides the weights by their sum. */
        ol_config_expect_bool(config, "norm_topk_prob", false, err) != 0)
        return -1;
    if (strcmp(method, "greedy") == 0)
        spec->router.n_group = spec->router.topk_group = 1;
    else if (strcmp(method, "group_limited_greedy") != 0)
        return ol_fail(err,
                       "%s: topk_method is \"%s\", expected \"greedy\" or "
                       "\"group_limited_greedy\"",
                       config.file, method);
    spec->router.group_best = 1;
    spec->attention.rope.kind = OL_ROPE_PAIRS_ONCE;
    return 0;
}

const struct ol_family ol_family_deepseek_v2 = {"deepseek_v2", read_v2};
const struct ol_family ol_family_deepseek_v3 = {"deepseek_v3",
                                                ol_family_read_deepseek_v3};
const struct ol_family ol_family_deepseek_v32 = {"deepseek_v32", read_v32};
const struct ol_family ol_family_kimi_k2 = {"kimi_k2", ol_family_read_deepseek_v3};
