/* Mistral dense (control): all layers slide, or none. Ministral-3's queries grow with the
 * position besides. */
#include "extract/model/families/families.h"

/* Where the key is absent the window is `silent`; null turns it off. */
static int read_dense(struct ol_config config, const struct ol_family_defaults *defaults,
                      int64_t silent, struct ol_spec *spec, struct ol_error *err)
{
    static const char key[] = "sliding_window";
    int64_t window;
    if (ol_json_get(config.json, key) != NULL)
        silent = 0;
    if (ol_family_read_common(config, defaults, spec, err) != 0 ||
        ol_family_read_dense(config, spec, err) != 0 ||
        ol_config_int_or(config, key, 1, INT32_MAX, silent, &window, err) != 0)
        return -1;
    ol_family_set_sliding(spec, 0, window);
    return 0;
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 8, .norm_eps = 1e-6, .rope_theta = 10000};
    return read_dense(config, &defaults, 4096, spec, err);
}

static int read_ministral3(struct ol_config config, struct ol_spec *spec,
                           struct ol_error *err)
{
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 8, .head_dim = 128, .norm_eps = 1e-5, .rope_theta = 10000};
    return read_dense(config, &defaults, 0, spec, err) == 0
               ? ol_family_read_temperature(config, &spec->attention, err)
               : -1;
}

const struct ol_family ol_family_mistral = {"mistral", read};
const struct ol_family ol_family_ministral3 = {"ministral3", read_ministral3};
