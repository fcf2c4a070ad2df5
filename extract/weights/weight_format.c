#include "extract/weights/weight_format.h"

#include <string.h>

#include "extract/weights/formats/formats.h"

static bool is_type(const struct ol_stored_tensor *t, const char *type)
{
    return strcmp(t->dtype_name, type) == 0;
}

/* A tensor of the expected name. */
static int find_named(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                      struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const enum ol_quantization method = want->spec->quantization.method;
    const bool modelopt = method == OL_QUANTIZATION_MODELOPT;
    if (is_type(t, "F8_E4M3") &&
        (modelopt || method == OL_QUANTIZATION_FP8 || method == OL_QUANTIZATION_FLOAT))
        return ol_format_fp8(s, t, weight);
    if (modelopt && is_type(t, "U8"))
        return ol_format_nvfp4_modelopt(s, t, weight);
    if (ol_role_has_expert(want->role) &&
        want->spec->expert_layout != OL_EXPERTS_SEPARATE)
        return ol_format_fused(s, t, weight);
    return ol_format_plain(s, t, weight);
}

/* As transformers 5 writes it. */
static int find_fused(const struct ol_format_search *s, struct ol_weight *weight)
{
    const enum ol_quantization method = s->want->spec->quantization.method;
    const struct ol_stored_tensor *t = ol_checkpoint_find(s->c, s->want->fused_name);
    if (t == NULL)
        return 0;
    if (is_type(t, "F8_E4M3") && ol_role_has_expert(s->want->role) &&
        (method == OL_QUANTIZATION_FP8 || method == OL_QUANTIZATION_FLOAT))
        return ol_format_fp8_fused(s, t, weight);
    return ol_format_fused_rows(s, t, weight);
}

/* Inputs that are scaled before the product belong to the weight: without them it is
 * another one. */
static int check_inputs(const struct ol_format_search *s)
{
    static const char suffix[] = ".pre_quant_scale";
    if (s->want->spec->quantization.method != OL_QUANTIZATION_MODELOPT)
        return 0;
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(s->want, base);
    const struct ol_stored_tensor *t = ol_format_find(s, base, suffix);
    return t == NULL
               ? 0
               : ol_fail(s->err,
                         "%s: tensor %s scales the inputs of a weight, which is not "
                         "supported",
                         ol_checkpoint_path(s->c, t->file), t->name);
}

int ol_weight_find(const struct ol_checkpoint *c, const struct ol_role_tensor *want,
                   struct ol_weight *weight, struct ol_error *err)
{
    const struct ol_format_search s = {c, want, err};
    const struct ol_stored_tensor *t = ol_checkpoint_find(c, want->name);
    int found = 0;
    if (check_inputs(&s) != 0)
        return -1;
    if (t != NULL)
        return find_named(&s, t, weight);
    if (want->fused_name[0] != '\0' && (found = find_fused(&s, weight)) != 0)
        return found;
    switch (want->spec->quantization.method) {
    case OL_QUANTIZATION_NONE:
    case OL_QUANTIZATION_FP8:
    case OL_QUANTIZATION_FLOAT:
    case OL_QUANTIZATION_MODELOPT:
        return 0;
    case OL_QUANTIZATION_MXFP4:
        return ol_format_mxfp4(&s, weight);
    case OL_QUANTIZATION_NVFP4:
        return ol_format_nvfp4(&s, weight);
    case OL_QUANTIZATION_PACKED:
        return ol_format_packed(&s, weight);
    case OL_QUANTIZATION_GPTQ:
    case OL_QUANTIZATION_AWQ:
        return ol_format_gptq_or_awq(&s, weight);
    }
    return 0;
}
