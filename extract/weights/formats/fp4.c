/* E2M1 codes, two to a byte, in groups with a scale: MXFP4 as gpt-oss has it, all experts
 * in one tensor, and NVFP4, a tensor each. */
#include <inttypes.h>
#include <string.h>

#include "extract/weights/formats/formats.h"

enum { MXFP4_GROUP = 32, NVFP4_GROUP = 16 };

/* A scalar in F32, [] or [1]. */
static int read_scalar(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                       float *value)
{
    if (ol_format_check_type(s, t, "F32") != 0 ||
        (t->rank != 0 &&
         ol_format_check_shape(s, t, (struct ol_format_shape){1, {1}}) != 0))
        return -1;
    memcpy(value, t->data, sizeof *value);
    return 0;
}

/* codes U8 [out, in / 2], X.weight_scale F8_E4M3 [out, in / group], one F32 for all. */
static int nvfp4(const struct ol_format_search *s, const struct ol_stored_tensor *codes,
                 const char *base, const char *global, struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const int64_t group =
        want->spec->quantization.group > 0 ? want->spec->quantization.group : NVFP4_GROUP;
    const struct ol_stored_tensor *scales =
                                      ol_format_need(s, codes, base, ".weight_scale"),
                                  *one = ol_format_need(s, codes, base, global);
    float factor = 0;
    if (scales == NULL || one == NULL)
        return -1;
    if (group % 2 != 0 || want->n_cols % group != 0)
        return ol_fail(s->err,
                       "%s: tensor %s: NVFP4 needs a multiple of %" PRId64
                       " inputs (an even number), not %" PRId64,
                       ol_checkpoint_path(s->c, codes->file), codes->name, group,
                       want->n_cols);
    if (ol_format_check_type(s, codes, "U8") != 0 ||
        ol_format_check_type(s, scales, "F8_E4M3") != 0 ||
        ol_format_check_shape(
            s, codes, (struct ol_format_shape){2, {want->n_rows, want->n_cols / 2}}) !=
            0 ||
        ol_format_check_shape(
            s, scales,
            (struct ol_format_shape){2, {want->n_rows, want->n_cols / group}}) != 0 ||
        read_scalar(s, one, &factor) != 0)
        return -1;
    *weight = (struct ol_weight){
        .data = codes->data,
        .encoding = OL_ENCODING_NVFP4,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .row_step = want->n_cols,
        .col_step = 1,
        .scales = scales->data,
        .block_rows = 1,
        .block_cols = group,
        .factor = factor,
        .spans = {ol_format_span(codes), ol_format_span(scales), ol_format_span(one)},
        .sharers = 1,
    };
    return 1;
}

/* compressed-tensors: X.weight_packed, X.weight_global_scale, by which values are
 * divided. */
int ol_format_nvfp4(const struct ol_format_search *s, struct ol_weight *weight)
{
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(s->want, base);
    const struct ol_stored_tensor *codes = ol_format_find(s, base, ".weight_packed");
    if (codes == NULL)
        return 0;
    const int found = nvfp4(s, codes, base, ".weight_global_scale", weight);
    weight->divides = found > 0;
    return found;
}

/* X.weight, X.weight_scale_2. An input_scale is about activations. */
int ol_format_nvfp4_modelopt(const struct ol_format_search *s,
                             const struct ol_stored_tensor *t, struct ol_weight *weight)
{
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(s->want, base);
    return nvfp4(s, t, base, ".weight_scale_2", weight);
}

/* X_blocks U8 [n_experts, out, in / 32, 16], X_scales U8 [n_experts, out, in / 32]. */
int ol_format_mxfp4(const struct ol_format_search *s, struct ol_weight *weight)
{
    const struct ol_stored_tensor *blocks = ol_format_find(s, s->want->name, "_blocks");
    if (blocks == NULL)
        return 0;
    const struct ol_role_tensor *want = s->want;
    const struct ol_format_half half = ol_format_half_of(want->role);
    const int64_t n_experts = want->spec->router.n_experts;
    const int64_t step = half.is_half ? 2 : 1;
    const int64_t groups = want->n_cols / MXFP4_GROUP;
    const struct ol_stored_tensor *scales =
        ol_format_need(s, blocks, want->name, "_scales");
    if (want->n_cols % MXFP4_GROUP != 0)
        return ol_fail(s->err,
                       "%s: tensor %s: MXFP4 needs a multiple of %d inputs, not %" PRId64,
                       ol_checkpoint_path(s->c, blocks->file), blocks->name, MXFP4_GROUP,
                       want->n_cols);
    const struct ol_format_shape codes = {
        4, {n_experts, step * want->n_rows, groups, MXFP4_GROUP / 2}};
    const struct ol_format_shape exponents = {3,
                                              {n_experts, step * want->n_rows, groups}};
    if (scales == NULL || ol_format_check_type(s, blocks, "U8") != 0 ||
        ol_format_check_type(s, scales, "U8") != 0 ||
        ol_format_check_shape(s, blocks, codes) != 0 ||
        ol_format_check_shape(s, scales, exponents) != 0)
        return -1;
    const size_t code_bytes = (size_t)(step * want->n_rows * want->n_cols / 2);
    const size_t scale_bytes = (size_t)(step * want->n_rows * groups);
    const char *data = (const char *)blocks->data + (size_t)want->expert * code_bytes;
    const char *exponent =
        (const char *)scales->data + (size_t)want->expert * scale_bytes;
    *weight = (struct ol_weight){
        .data = data + (half.second ? want->n_cols / 2 : 0),
        .encoding = OL_ENCODING_MXFP4,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .row_step = step * want->n_cols,
        .col_step = 1,
        .scales = exponent + (half.second ? groups : 0),
        .block_rows = 1,
        .block_cols = MXFP4_GROUP,
        .spans = {{data, code_bytes}, {exponent, scale_bytes}},
        .sharers = (int)step,
    };
    return 1;
}
