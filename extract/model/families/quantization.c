/* quantization_config: which method the checkpoint was quantised with, and what its
 * formats need to know. What cannot be read is refused by name. */
#include "extract/model/families/families.h"

#include <string.h>

static int refuse(struct ol_json_section config, const char *method, const char *what,
                  const char *found, struct ol_error *err)
{
    return ol_fail(err,
                   "%s: quantised weights (quant_method \"%s\") with %s %s are not "
                   "supported",
                   config.file, method, what, found);
}

static int read_fp8(struct ol_json_section q, struct ol_quantization_spec *spec,
                    struct ol_error *err)
{
    const struct ol_json *size = ol_json_get(q.json, "weight_block_size");
    spec->method = OL_QUANTIZATION_FP8;
    if (ol_json_kind(size) == OL_JSON_NULL)
        return 0;
    int64_t sides[2] = {0, 0};
    for (size_t i = 0; i < 2 && ol_json_kind(size) == OL_JSON_ARRAY; i++) {
        const struct ol_json *side = ol_json_at(size, i);
        if (i < ol_json_length(size) && ol_json_kind(side) == OL_JSON_INT)
            sides[i] = ol_json_int(side);
    }
    if (sides[0] < 1 || sides[1] < 1 || sides[0] > OL_MAX_DIM || sides[1] > OL_MAX_DIM ||
        ol_json_length(size) != 2)
        return ol_fail(err, "%s: weight_block_size: expected two positive integers",
                       q.file);
    spec->block_rows = (int)sides[0];
    spec->block_cols = (int)sides[1];
    return 0;
}

/* group_size: -1 or null means all inputs. */
static int read_group(struct ol_json_section q, int *group, struct ol_error *err)
{
    int64_t size;
    if (ol_json_int_or(q, "group_size", -1, OL_MAX_DIM, -1, &size, err) != 0)
        return -1;
    *group = size > 0 ? (int)size : 0;
    return 0;
}

static int read_bits(struct ol_json_section q, const char *method, const char *key,
                     int64_t wanted, struct ol_error *err)
{
    int64_t bits;
    if (ol_json_need_int(q, key, 1, 64, &bits, err) != 0)
        return -1;
    if (bits == wanted)
        return 0;
    char found[24] = "";
    found[0] = (char)('0' + bits / 10);
    found[1] = (char)('0' + bits % 10);
    return refuse(q, method, key, found[0] == '0' ? found + 1 : found, err);
}

static int read_compressed_group(struct ol_json_section config, const char *format,
                                 struct ol_json_section w,
                                 struct ol_quantization_spec *spec, struct ol_error *err)
{
    static const char method[] = "compressed-tensors";
    const bool packed = strcmp(format, "pack-quantized") == 0;
    const char *type, *strategy;
    if (ol_json_string_or(w, "type", "int", &type, err) != 0 ||
        ol_json_string_or(w, "strategy", "tensor", &strategy, err) != 0 ||
        ol_json_bool_or(w, "symmetric", true, &spec->symmetric, err) != 0 ||
        read_bits(w, method, "num_bits", packed ? 4 : 8, err) != 0 ||
        read_group(w, &spec->group, err) != 0)
        return -1;
    if (strcmp(type, packed ? "int" : "float") != 0)
        return refuse(config, method, "type", type, err);
    const bool known =
        packed ? strcmp(strategy, "group") == 0 || strcmp(strategy, "channel") == 0
               : strcmp(strategy, "channel") == 0 || strcmp(strategy, "tensor") == 0;
    if (!known)
        return refuse(config, method, "strategy", strategy, err);
    spec->method = packed ? OL_QUANTIZATION_PACKED : OL_QUANTIZATION_FLOAT;
    if (packed && strcmp(strategy, "channel") == 0)
        spec->group = 0;
    return 0;
}

static int read_compressed(struct ol_json_section q, struct ol_quantization_spec *spec,
                           struct ol_error *err)
{
    static const char method[] = "compressed-tensors";
    const char *format;
    if (ol_json_string_or(q, "format", "unnamed", &format, err) != 0)
        return -1;
    if (strcmp(format, "pack-quantized") != 0 && strcmp(format, "float-quantized") != 0)
        return refuse(q, method, "format", format, err);
    const struct ol_json *groups = ol_json_get(q.json, "config_groups");
    const struct ol_json *group = ol_json_get(groups, "group_0");
    if (ol_json_kind(group) != OL_JSON_OBJECT || ol_json_length(groups) != 1)
        return ol_fail(
            err, "%s: config_groups: expected one group of weights, \"group_0\"", q.file);
    const struct ol_json_section w = {q.file, ol_json_get(group, "weights")};
    return read_compressed_group(q, format, w, spec, err);
}

static int read_gptq(struct ol_json_section q, struct ol_quantization_spec *spec,
                     struct ol_error *err)
{
    const char *format;
    if (ol_json_string_or(q, "checkpoint_format", "gptq", &format, err) != 0 ||
        read_bits(q, "gptq", "bits", 4, err) != 0 ||
        read_group(q, &spec->group, err) != 0)
        return -1;
    if (strcmp(format, "gptq") != 0 && strcmp(format, "gptq_v2") != 0)
        return refuse(q, "gptq", "checkpoint_format", format, err);
    spec->method = OL_QUANTIZATION_GPTQ;
    spec->zero_offset = strcmp(format, "gptq") == 0 ? 1 : 0;
    return 0;
}

static int read_awq(struct ol_json_section q, struct ol_quantization_spec *spec,
                    struct ol_error *err)
{
    const char *version;
    if (ol_json_string_or(q, "version", "gemm", &version, err) != 0 ||
        read_bits(q, "awq", "bits", 4, err) != 0 || read_group(q, &spec->group, err) != 0)
        return -1;
    if (strcmp(version, "gemm") != 0 && strcmp(version, "GEMM") != 0)
        return refuse(q, "awq", "version", version, err);
    spec->method = OL_QUANTIZATION_AWQ;
    return 0;
}

int ol_family_read_quantization(struct ol_json_section config,
                                struct ol_quantization_spec *spec, struct ol_error *err)
{
    const struct ol_json_section q = {config.file,
                                      ol_json_get(config.json, "quantization_config")};
    const char *method;
    if (ol_json_kind(q.json) == OL_JSON_NULL)
        return 0;
    if (ol_json_string_or(q, "quant_method", "unnamed", &method, err) != 0)
        return -1;
    if (strcmp(method, "fp8") == 0)
        return read_fp8(q, spec, err);
    if (strcmp(method, "compressed-tensors") == 0)
        return read_compressed(q, spec, err);
    if (strcmp(method, "gptq") == 0)
        return read_gptq(q, spec, err);
    if (strcmp(method, "awq") == 0)
        return read_awq(q, spec, err);
    if (strcmp(method, "mxfp4") == 0) {
        spec->method = OL_QUANTIZATION_MXFP4;
        return 0;
    }
    return ol_fail(
        err,
        "%s: quantised weights (quant_method \"%s\") are not supported; known: "
        "awq, compressed-tensors, fp8, gptq, mxfp4",
        config.file, method);
}
