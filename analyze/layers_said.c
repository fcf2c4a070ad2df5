#include "analyze/layers_said.h"

#include <stdint.h>
#include <string.h>

#include "common/error.h"
#include "common/json.h"

char *ol_layers_said(const char *layers_json, int number, const char *key)
{
    struct ol_error err = {0};
    struct ol_json *layers =
        ol_json_load_text(layers_json, strlen(layers_json), "layers_json", &err);
    char *said = NULL;
    for (size_t i = 0; said == NULL && i < ol_json_length(layers); i++) {
        const struct ol_json_section layer = {"layers_json", ol_json_at(layers, i)};
        const char *word = "";
        int64_t found;
        if (ol_json_int_or(layer, "layer", 0, INT64_MAX, (int64_t)i, &found, &err) == 0 &&
            (number == OL_ANY_LAYER || number == found) &&
            ol_json_string_or(layer, key, "", &word, &err) == 0 && *word != '\0')
            said = ol_xstrdup(word);
    }
    ol_json_free(layers);
    return said;
}
