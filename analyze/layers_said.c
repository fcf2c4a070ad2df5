#include "analyze/layers_said.h"

#include <string.h>

#include "common/error.h"
#include "common/json.h"
#include "common/results/field.h"

/* The layers, which the caller frees; of no length when the text is something else. */
static struct ol_json *load(const char *layers_json)
{
    struct ol_error err = {0};
    return ol_json_load_text(layers_json, strlen(layers_json), "layers_json", &err);
}

/* "" when no text is there. */
static const char *text_of(const struct ol_json *layer, const char *key)
{
    const struct ol_json *value = ol_json_get(layer, key);
    return ol_json_kind(value) == OL_JSON_STRING ? ol_json_string(value, NULL) : "";
}

static int64_t integer_of(const struct ol_json *layer, const char *key, int64_t fallback)
{
    const struct ol_json *value = ol_json_get(layer, key);
    return ol_json_kind(value) == OL_JSON_INT ? ol_json_int(value) : fallback;
}

char *ol_layers_said(const char *layers_json, int number, const char *key)
{
    struct ol_json *layers = load(layers_json);
    char *said = NULL;
    for (size_t i = 0; said == NULL && i < ol_json_length(layers); i++) {
        const struct ol_json *layer = ol_json_at(layers, i);
        const char *text = text_of(layer, key);
        if (*text != '\0' &&
            (number == OL_ANY_LAYER || number == integer_of(layer, "layer", (int64_t)i)))
            said = ol_xstrdup(text);
    }
    ol_json_free(layers);
    return said;
}

char *ol_layers_routing(const char *layers_json)
{
    struct ol_json *layers = load(layers_json);
    char *routing = NULL;
    for (size_t i = 0; routing == NULL && i < ol_json_length(layers); i++) {
        const struct ol_json *layer = ol_json_at(layers, i);
        const char *score = text_of(layer, "router");
        const int64_t n_groups = integer_of(layer, "n_group", 1),
                      top = integer_of(layer, "topk_group", 1);
        if (*score != '\0')
            routing = n_groups > 1 ? ol_xasprintf("%s, %lld of %lld groups", score,
                                                  (long long)top, (long long)n_groups)
                                   : ol_xstrdup(score);
    }
    ol_json_free(layers);
    return routing;
}

static bool is_none(const struct ol_json *layer, const char *key)
{
    return strcmp(text_of(layer, key), "none") == 0;
}

int64_t ol_layers_sites(const char *layers_json, int64_t n_layers)
{
    struct ol_json *layers = load(layers_json);
    int64_t missing = 0;
    for (size_t i = 0; i < ol_json_length(layers); i++) {
        const struct ol_json *layer = ol_json_at(layers, i);
        missing += is_none(layer, "kind") + is_none(layer, "attention");
    }
    ol_json_free(layers);
    return missing > 0 ? 2 * n_layers - missing : OL_ABSENT;
}
