/* quantization_config: which method the checkpoint was quantised with, and what its
 * formats need to know. What cannot be read is refused by name. */
#include "extract/model/families/families.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extract/weights/formats/formats.h"

static int refuse(struct ol_config config, const char *method, const char *what,
                  const char *found, struct ol_error *err)
{
    return ol_fail(err,
                   "%s: quantised weights (quant_method \"%s\") with %s %s are not "
                   "supported",
                   config.file, method, what, found);
}

/* What must be in a label, and how the config calls the method. */
struct label_query {
    const char *name;
    enum ol_quantization method;
    const char *form;
};

/* Two positive integers. */
static int read_block(struct ol_config q, const char *key,
                      struct ol_quantization_spec *spec, struct ol_error *err)
{
    const struct ol_json *size = ol_config_whole(q, key);
    int64_t sides[2] = {0, 0};
    for (size_t i = 0; i < 2 && ol_json_kind(size) == OL_JSON_ARRAY; i++) {
        const struct ol_json *side = ol_json_at(size, i);
        if (i < ol_json_length(size) && ol_json_kind(side) == OL_JSON_INT)
            sides[i] = ol_json_int(side);
    }
    if (sides[0] < 1 || sides[1] < 1 || sides[0] > OL_MAX_DIM || sides[1] > OL_MAX_DIM ||
        ol_json_length(size) != 2)
        return ol_fail(err, "%s: %s: expected two positive integers", q.file, key);
    spec->block_rows = (int)sides[0];
    spec->block_cols = (int)sides[1];
    return 0;
}

/* Without blocks a tensor of "fp8" has one scale. */
static int read_fp8(struct ol_config q, struct ol_quantization_spec *spec,
                    struct ol_error *err)
{
    static const char key[] = "weight_block_size";
    const bool blocks = ol_json_kind(ol_config_whole(q, key)) != OL_JSON_NULL;
    const char *form;
    if (ol_config_string_or(q, "scale_fmt", "float", &form, err) != 0)
        return -1;
    spec->exponents = strcmp(form, "ue8m0") == 0;
    if (!spec->exponents && strcmp(form, "float") != 0)
        return refuse(q, "fp8", "scale_fmt", form, err);
    spec->plain_modules = ol_config_whole(q, "modules_to_not_convert");
    if (ol_json_kind(spec->plain_modules) == OL_JSON_NULL)
        spec->plain_modules = ol_config_whole(q, "ignored_layers");
    spec->scales = blocks ? OL_SCALES_BLOCK : OL_SCALES_TENSOR;
    return blocks ? read_block(q, key, spec, err) : 0;
}

static int read_mxfp4(struct ol_config q, struct ol_quantization_spec *spec,
                      struct ol_error *err)
{
    (void)q, (void)spec, (void)err;
    return 0;
}

/* group_size: -1 or null means all inputs. */
static int read_group(struct ol_config q, int *group, struct ol_error *err)
{
    int64_t size;
    if (ol_config_int_or(q, "group_size", -1, OL_MAX_DIM, -1, &size, err) != 0)
        return -1;
    *group = size > 0 ? (int)size : 0;
    return 0;
}

/* Bits of a code, which some label of the method must have: -1 with err. */
static int read_bits(struct ol_config q, const char *key, struct label_query query,
                     int *bits, struct ol_error *err)
{
    int64_t found;
    if (ol_config_need_int(q, key, 1, 64, &found, err) != 0)
        return -1;
    *bits = (int)found;
    if (ol_format_find_label(query.method, query.form, *bits, NULL) != NULL)
        return 0;
    char text[24];
    snprintf(text, sizeof text, "%d", *bits);
    return refuse(q, query.name, key, text, err);
}

/* ---- compressed-tensors ---- */

static const char compressed[] = "compressed-tensors";

static int read_strategy(struct ol_config w, unsigned known, enum ol_scales *scales,
                         struct ol_error *err)
{
    static const struct {
        const char *name;
        enum ol_scales scales;
    } strategies[] = {
        {"tensor", OL_SCALES_TENSOR},
        {"channel", OL_SCALES_CHANNEL},
        {"block", OL_SCALES_BLOCK},
        {"group", OL_SCALES_GROUP},
        {"tensor_group", OL_SCALES_TENSOR_GROUP},
    };
    const char *name;
    if (ol_config_string_or(w, "strategy", "tensor", &name, err) != 0)
        return -1;
    for (size_t i = 0; i < sizeof strategies / sizeof strategies[0]; i++) {
        *scales = strategies[i].scales;
        if (strcmp(strategies[i].name, name) == 0 && (known & *scales) != 0)
            return 0;
    }
    return refuse(w, compressed, "strategy", name, err);
}

static int read_weights(struct ol_config w, const char *form,
                        struct ol_quantization_spec *spec, struct ol_error *err)
{
    static const enum ol_quantization method = OL_QUANTIZATION_COMPRESSED;
    const char *type;
    if (ol_format_find_label(method, form, 0, NULL) == NULL)
        return refuse(w, compressed, "format", form, err);
    if (ol_config_string_or(w, "type", "int", &type, err) != 0 ||
        ol_config_bool_or(w, "symmetric", true, &spec->symmetric, err) != 0 ||
        read_bits(w, "num_bits", (struct label_query){compressed, method, form},
                  &spec->bits, err) != 0 ||
        read_group(w, &spec->group, err) != 0)
        return -1;
    spec->label = ol_format_find_label(method, form, spec->bits, type);
    if (spec->label == NULL)
        return refuse(w, compressed, "type", type, err);
    if (read_strategy(w, spec->label->scales, &spec->scales, err) != 0)
        return -1;
    if (!spec->symmetric && !spec->label->zero_points)
        return refuse(w, compressed, "symmetric", "false", err);
    if (spec->scales == OL_SCALES_CHANNEL || spec->scales == OL_SCALES_TENSOR)
        spec->group = 0;
    return spec->scales == OL_SCALES_BLOCK ? read_block(w, "block_structure", spec, err)
                                           : 0;
}

static bool are_equal(const struct ol_quantization_spec *a,
                      const struct ol_quantization_spec *b)
{
    return a->label == b->label && a->scales == b->scales &&
           a->block_rows == b->block_rows && a->block_cols == b->block_cols &&
           a->group == b->group && a->symmetric == b->symmetric;
}

/* Groups have any name; those without weights are about activations. All must store
 * weights alike. */
static int read_groups(struct ol_config q, const char *format,
                       struct ol_quantization_spec *spec, struct ol_error *err)
{
    struct ol_config groups, group, weights;
    const char *first = NULL;
    if (ol_config_section(q, "config_groups", &groups, err) != 0)
        return -1;
    struct ol_json *members = (struct ol_json *)(uintptr_t)groups.json;
    for (void *it = ol_json_first(members); it != NULL; it = ol_json_next(members, it)) {
        const char *name = ol_json_key(it), *own;
        struct ol_quantization_spec found = {.method = spec->method};
        if (ol_config_section(groups, name, &group, err) != 0 ||
            ol_config_string_or(group, "format", format, &own, err) != 0 ||
            ol_config_section(group, "weights", &weights, err) != 0)
            return -1;
        if (weights.json == NULL)
            continue;
        if (read_weights(weights, own, &found, err) != 0)
            return -1;
        if (first != NULL && !are_equal(spec, &found))
            return ol_fail(err,
                           "%s: config_groups: the weights of \"%s\" and \"%s\" are "
                           "quantised in different ways, which is not supported",
                           q.file, first, name);
        if (first == NULL)
            *spec = found;
        first = first == NULL ? name : first;
    }
    return first != NULL
               ? 0
               : ol_fail(err, "%s: config_groups: no group has weights", q.file);
}

/* Rotations that were multiplied into the weights ("weight_input", "weight_output") leave
 * the model as it was; all others are computed while it runs. */
static int check_transforms(struct ol_config q, struct ol_error *err)
{
    const struct ol_json *config = ol_config_whole(q, "transform_config");
    struct ol_json *groups = ol_json_get(config, "config_groups");
    for (void *it = ol_json_first(groups); it != NULL; it = ol_json_next(groups, it)) {
        const struct ol_json *apply = ol_json_get(ol_json_value(it), "apply");
        for (size_t i = 0; i < ol_json_length(apply); i++) {
            const struct ol_json *location =
                ol_json_get(ol_json_at(apply, i), "location");
            const char *name = ol_json_kind(location) == OL_JSON_STRING
                                   ? ol_json_string(location, NULL)
                                   : "unnamed";
            if (strcmp(name, "weight_input") != 0 && strcmp(name, "weight_output") != 0)
                return ol_fail(err,
                               "%s: transform_config: \"%s\" is applied at location "
                               "\"%s\" while the model runs: such rotations are not "
                               "supported",
                               q.file, ol_json_key(it), name);
        }
    }
    return 0;
}

static int check_sparsity(struct ol_config q, struct ol_error *err)
{
    struct ol_config sparsity;
    const char *format;
    if (ol_config_section(q, "sparsity_config", &sparsity, err) != 0 ||
        ol_config_string_or(sparsity, "format", "dense", &format, err) != 0)
        return -1;
    ol_config_whole(q, "sparsity_config");
    return strcmp(format, "dense") == 0
               ? 0
               : refuse(q, compressed, "sparsity_config.format", format, err);
}

static int read_compressed(struct ol_config q, struct ol_quantization_spec *spec,
                           struct ol_error *err)
{
    const char *format;
    if (ol_config_string_or(q, "format", "unnamed", &format, err) != 0 ||
        check_transforms(q, err) != 0 || check_sparsity(q, err) != 0 ||
        read_groups(q, format, spec, err) != 0)
        return -1;
    spec->plain_modules = ol_config_whole(q, "ignore");
    return 0;
}

/* ---- modelopt ---- */

/* What is done to activations does not count. */
static int find_algorithm(struct ol_config q, const char *name, const char *module,
                          const struct ol_format_label **label, struct ol_error *err)
{
    *label = ol_format_find_label(OL_QUANTIZATION_MODELOPT, name, 0, NULL);
    if (*label != NULL)
        return 0;
    char *known = ol_xstrdup("");
    const struct ol_format_label *l = NULL;
    while ((l = ol_format_next_label(OL_QUANTIZATION_MODELOPT, l)) != NULL) {
        char *longer = ol_xasprintf("%s%s, ", known, l->form);
        free(known);
        known = longer;
    }
    ol_fail(err,
            "%s: quantised weights (modelopt, here or in hf_quant_config.json) "
            "with quant_algo %s%s%s are not supported; known: %sMIXED_PRECISION of these",
            q.file, name, module != NULL ? " of " : "", module != NULL ? module : "",
            known);
    free(known);
    return -1;
}

/* quantized_layers: {"model.layers.0.mlp.gate_proj": {"quant_algo": ...}, ...} */
static int read_modules(struct ol_config q, struct ol_quantization_spec *spec,
                        struct ol_error *err)
{
    struct ol_json *modules =
        (struct ol_json *)(uintptr_t)ol_config_whole(q, "quantized_layers");
    if (ol_json_kind(modules) != OL_JSON_OBJECT)
        return ol_fail(err,
                       "%s: quant_algo is MIXED_PRECISION: key \"quantized_layers\": "
                       "expected an object",
                       q.file);
    for (void *it = ol_json_first(modules); it != NULL; it = ol_json_next(modules, it)) {
        const struct ol_json *name = ol_json_get(ol_json_value(it), "quant_algo");
        if (ol_json_kind(name) != OL_JSON_STRING)
            return ol_fail(err,
                           "%s: quantized_layers: %s: key \"quant_algo\": expected a "
                           "string",
                           q.file, ol_json_key(it));
        const struct ol_format_label *label;
        if (find_algorithm(q, ol_json_string(name, NULL), ol_json_key(it), &label, err) !=
            0)
            return -1;
    }
    spec->module_methods = modules;
    return 0;
}

static int read_modelopt(struct ol_config q, struct ol_quantization_spec *spec,
                         struct ol_error *err)
{
    const char *algorithm;
    const struct ol_format_label *label;
    if (ol_config_string_or(q, "quant_algo", "unnamed", &algorithm, err) != 0 ||
        read_group(q, &spec->group, err) != 0)
        return -1;
    ol_config_whole(q, "config_groups"); /* says the same once more */
    spec->plain_modules = ol_config_whole(q, "exclude_modules");
    if (ol_json_kind(spec->plain_modules) == OL_JSON_NULL)
        spec->plain_modules = ol_config_whole(q, "ignore");
    if (strcmp(algorithm, "MIXED_PRECISION") == 0)
        return read_modules(q, spec, err);
    if (find_algorithm(q, algorithm, NULL, &label, err) != 0)
        return -1;
    ol_format_apply(label, spec);
    return 0;
}

/* ---- GPTQ and AWQ ---- */

/* Rules by module; those that begin with "-" leave a module plain, which is seen in the
 * checkpoint. */
static int check_dynamic(struct ol_config q, struct ol_error *err)
{
    struct ol_json *rules = (struct ol_json *)(uintptr_t)ol_config_whole(q, "dynamic");
    for (void *it = ol_json_first(rules); it != NULL; it = ol_json_next(rules, it))
        if (ol_json_key(it)[0] != '-' && ol_json_length(ol_json_value(it)) > 0)
            return refuse(q, "gptq", "a \"dynamic\" rule of its own for", ol_json_key(it),
                          err);
    return 0;
}

static int read_gptq(struct ol_config q, struct ol_quantization_spec *spec,
                     struct ol_error *err)
{
    const char *format;
    if (ol_config_string_or(q, "checkpoint_format", "gptq", &format, err) != 0 ||
        read_bits(q, "bits", (struct label_query){"gptq", spec->method, NULL},
                  &spec->bits, err) != 0 ||
        read_group(q, &spec->group, err) != 0 ||
        ol_config_bool_or(q, "sym", false, &spec->symmetric, err) != 0 ||
        check_dynamic(q, err) != 0)
        return -1;
    if (strcmp(format, "gptq") != 0 && strcmp(format, "gptq_v2") != 0)
        return refuse(q, "gptq", "checkpoint_format", format, err);
    spec->zero_offset = strcmp(format, "gptq") == 0 ? 1 : 0;
    return 0;
}

static int read_awq(struct ol_config q, struct ol_quantization_spec *spec,
                    struct ol_error *err)
{
    const char *version;
    if (ol_config_string_or(q, "version", "gemm", &version, err) != 0 ||
        read_bits(q, "bits", (struct label_query){"awq", spec->method, NULL}, &spec->bits,
                  err) != 0 ||
        read_group(q, &spec->group, err) != 0)
        return -1;
    if (strcmp(version, "gemm") != 0 && strcmp(version, "GEMM") != 0)
        return refuse(q, "awq", "version", version, err);
    spec->plain_modules = ol_config_whole(q, "modules_to_not_convert");
    return 0;
}

/* ---- all ---- */

static const struct {
    const char *name;
    enum ol_quantization method;
    int (*read)(struct ol_config q, struct ol_quantization_spec *spec,
                struct ol_error *err);
} methods[] = {
    {"awq", OL_QUANTIZATION_AWQ, read_awq},
    {"compressed-tensors", OL_QUANTIZATION_COMPRESSED, read_compressed},
    {"fp8", OL_QUANTIZATION_FP8, read_fp8},
    {"gptq", OL_QUANTIZATION_GPTQ, read_gptq},
    {"modelopt", OL_QUANTIZATION_MODELOPT, read_modelopt},
    {"modelopt_fp4", OL_QUANTIZATION_MODELOPT, read_modelopt},
    {"mxfp4", OL_QUANTIZATION_MXFP4, read_mxfp4},
    {"mxfp8", OL_QUANTIZATION_MXFP8, read_fp8},
};
enum { N_METHODS = sizeof methods / sizeof methods[0] };

static int refuse_method(const char *file, const char *name, struct ol_error *err)
{
    char *known = ol_xstrdup("");
    for (int i = 0; i < N_METHODS; i++) {
        char *longer = ol_xasprintf("%s%s%s", known, i > 0 ? ", " : "", methods[i].name);
        free(known);
        known = longer;
    }
    ol_fail(err,
            "%s: quantised weights (quant_method \"%s\") are not supported; known: %s",
            file, name, known);
    free(known);
    return -1;
}

int ol_family_read_quantization(struct ol_config config,
                                struct ol_quantization_spec *spec, struct ol_error *err)
{
    static const char key[] = "quantization_config";
    struct ol_config q;
    const char *name;
    if (spec->method != OL_QUANTIZATION_NONE) {
        ol_config_whole(config, key);
        return 0;
    }
    if (ol_config_section(config, key, &q, err) != 0)
        return -1;
    if (q.json == NULL)
        return 0;
    if (ol_config_string_or(q, "quant_method", "unnamed", &name, err) != 0)
        return -1;
    for (int i = 0; i < N_METHODS; i++) {
        if (strcmp(methods[i].name, name) != 0)
            continue;
        spec->method = methods[i].method;
        if (methods[i].read(q, spec, err) != 0)
            return -1;
        /* Where the method says it all. */
        if (spec->label == NULL && spec->module_methods == NULL)
            spec->label = ol_format_find_label(spec->method, NULL, spec->bits, NULL);
        return 0;
    }
    return refuse_method(config.file, name, err);
}
