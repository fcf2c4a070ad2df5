/* config.json: any text is read into a spec, or refused; of a spec all tensors have names
 * and sizes, and ropes frequencies. */
#include <math.h>
#include <stdlib.h>

#include "extract/model/cost.h"
#include "extract/model/modules.h"
#include "extract/model/rope_table.h"
#include "extract/model/spec.h"
#include "tests/fuzz/fuzz.h"

const char *const fuzz_seeds[] = {"data/models/*.json", "data/*/config.json",
                                  "tests/golden/models/*/config.json",
                                  "tests/golden/models/*/hf_quant_config.json", NULL};
const int fuzz_short_run = 40000;

enum { MOST_TENSORS = 3000 };

static void use(const struct ol_spec *spec)
{
    struct ol_role_tensor t = {.spec = spec};
    struct ol_modules *modules = ol_modules_new(spec);
    for (int i = 0; i < MOST_TENSORS && ol_role_next(&t); i++)
        if (t.n_rows < 1 || t.n_cols < 1 || ol_modules_bytes(modules, &t) < 1)
            abort();
    ol_modules_free(modules);
    const struct ol_rope_spec *rope = &spec->attention.rope;
    const int n = rope->rotary_dim / 2;
    if (n > 0) {
        float *inverse = ol_xcalloc((size_t)n, sizeof *inverse);
        for (int i = 0; i < n * OL_ROPE_TABLES; i++) {
            if (i % n == 0)
                ol_rope_frequencies(rope, i / n, inverse);
            if (!isfinite(inverse[i % n]))
                abort();
        }
        free(inverse);
    }
    const int32_t length = 7;
    const struct ol_cost_tokens tokens = {1, &length};
    for (int l = 0; l < spec->n_layers && l < 8; l++) {
        /* A layer may be one of the two alone. */
        const double mixer = ol_cost_mixer(spec, l, &tokens),
                     mlp = ol_cost_mlp(spec, l, &tokens);
        if (!(mixer >= 0) || !(mlp >= 0) || !(mixer + mlp > 0))
            abort();
    }
    ol_json_free(ol_spec_layers_json(spec));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ol_error err = {0};
    struct ol_spec spec;
    struct ol_config_notes notes = {0};
    struct ol_json *json = ol_config_parse((const char *)data, size, "config.json", &err);
    if (json == NULL)
        return err.text[0] != '\0' ? 0 : (abort(), 0);
    const struct ol_json *inner = ol_json_get(json, "config");
    const struct ol_json_section s = {"config.json", inner != NULL ? inner : json};
    if (ol_spec_read(s, &spec, &notes, &err) == 0)
        use(&spec);
    else if (err.text[0] == '\0')
        abort();
    ol_spec_clear(&spec);
    ol_config_notes_clear(&notes);
    ol_json_free(json);
    return 0;
}
