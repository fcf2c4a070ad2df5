/* Mistral dense (control): all layers slide, or none. */
#include "extract/model/families/families.h"

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    static const char key[] = "sliding_window";
    const struct ol_family_defaults defaults = {
        .n_kv_heads = 8, .norm_eps = 1e-6, .rope_theta = 10000};
    /* The class slides where the key is absent; null turns that off. */
    const int64_t silent = ol_json_get(config.json, key) == NULL ? 4096 : 0;
    int64_t window;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        ol_family_read_dense(config, spec, err) != 0 ||
        ol_config_int_or(config, key, 1, INT32_MAX, silent, &window, err) != 0)
        return -1;
    ol_family_set_sliding(spec, 0, window);
    return 0;
}

const struct ol_family ol_family_mistral = {"mistral", read};
