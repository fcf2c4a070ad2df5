/* E2M1 codes (e2m1.h) in groups of 32 inputs with a power of two, E8M0:
 *
 *     value = code * 2^(scale - 127)
 *
 * as gpt-oss has them, all experts in one tensor, or a tensor for each matrix, which
 * DeepSeek-V4 calls integers of eight bits. */
#include "common/narrow.h"
#include "extract/weights/formats/e2m1.h"
#include "extract/weights/formats/formats.h"

enum { MXFP4_GROUP = 32 };

/* X_blocks U8 [n_experts, out, in / 32, 16], X_scales U8 [n_experts, out, in / 32]. */
static int find_fused(const struct ol_format_search *s, struct ol_weight *weight)
{
    const struct ol_stored_tensor *blocks = ol_format_find(s, s->want->name, "_blocks");
    if (blocks == NULL)
        return 0;
    const struct ol_role_tensor *want = s->want;
    const struct ol_format_half half = ol_format_half_of(want);
    const int64_t n_experts = want->spec->router.n_experts;
    const int64_t step = half.is_half ? 2 : 1;
    const int64_t groups = want->n_cols / MXFP4_GROUP;
    const struct ol_stored_tensor *scales =
        ol_format_need(s, blocks, want->name, "_scales");
    if (ol_format_check_groups(s, blocks, "MXFP4", MXFP4_GROUP) != 0)
        return -1;
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
        .scale_dtype = OL_DTYPE_E8M0,
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

/* Codes U8, or `type`, [out, in / 2], scales U8 or F8_E8M0 [out, in / 32]. */
static int packed(const struct ol_format_search *s, const struct ol_stored_tensor *codes,
                  const struct ol_stored_tensor *scales, const char *type,
                  struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const int group = want->spec->quantization.group;
    const int64_t size = group > 0 ? group : MXFP4_GROUP;
    if (ol_format_check_groups(s, codes, "MXFP4", size) != 0 ||
        ol_format_check_type(s, codes, type) != 0 ||
        (!ol_format_is_type(scales, "F8_E8M0") &&
         ol_format_check_type(s, scales, "U8") != 0) ||
        ol_format_check_shape(
            s, codes, (struct ol_format_shape){2, {want->n_rows, want->n_cols / 2}}) !=
            0 ||
        ol_format_check_shape(
            s, scales,
            (struct ol_format_shape){2, {want->n_rows, want->n_cols / size}}) != 0)
        return -1;
    *weight = (struct ol_weight){
        .data = codes->data,
        .encoding = OL_ENCODING_MXFP4,
        .scale_dtype = OL_DTYPE_E8M0,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .row_step = want->n_cols,
        .col_step = 1,
        .scales = scales->data,
        .block_rows = 1,
        .block_cols = size,
        .spans = {ol_format_span(codes), ol_format_span(scales)},
        .sharers = 1,
    };
    return 1;
}

/* compressed-tensors: X.weight_packed, X.weight_scale, of a matrix or of all experts. */
static int find_packed(const struct ol_format_search *s, struct ol_weight *weight)
{
    struct ol_stored_tensor rows, row_scales;
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(s->want, base);
    const struct ol_stored_tensor *codes = ol_format_find(s, base, ".weight_packed");
    if (codes != NULL) {
        const struct ol_stored_tensor *scales =
            ol_format_need(s, codes, base, ".weight_scale");
        return scales != NULL ? packed(s, codes, scales, "U8", weight) : -1;
    }
    int found = ol_format_rows_of_fused(s, ".weight_packed", &rows);
    if (found <= 0)
        return found;
    found = ol_format_rows_of_fused(s, ".weight_scale", &row_scales);
    if (found == 0) /* says so */
        ol_format_need(s, &rows, s->want->fused_name, ".weight_scale");
    return found > 0 ? packed(s, &rows, &row_scales, "U8", weight) : -1;
}

/* DeepSeek-V4: X.weight I8, X.scale, of experts alone, and maybe not of all. */
static int find_signed(const struct ol_format_search *s, struct ol_weight *weight)
{
    const struct ol_stored_tensor *codes = ol_checkpoint_find(s->c, s->want->name);
    char base[OL_FORMAT_NAME_BYTES];
    if (codes == NULL || !ol_format_is_type(codes, "I8"))
        return 0;
    ol_format_base(s->want, base);
    const struct ol_stored_tensor *scales = ol_format_need(s, codes, base, ".scale");
    return scales != NULL ? packed(s, codes, scales, "I8", weight) : -1;
}

static int find(const struct ol_format_search *s, struct ol_weight *weight)
{
    switch (s->want->spec->quantization.method) {
    case OL_QUANTIZATION_MXFP4:
        return find_fused(s, weight);
    case OL_QUANTIZATION_FP8:
        return find_signed(s, weight);
    default:
        return find_packed(s, weight);
    }
}

static int64_t bytes(const struct ol_quantization_spec *q, int64_t n_rows, int64_t n_cols)
{
    const int64_t size = q->group > 0 ? q->group : MXFP4_GROUP;
    return n_rows * n_cols / 2 + n_rows * ol_ceil_div(n_cols, size);
}

/* ---- decoding ---- */

static float group_scale(const struct ol_weight *w, uint8_t code)
{
    (void)w;
    return ol_e8m0_value(code);
}

static void rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    ol_e2m1_rows(w, row, n, dst, group_scale);
}

static bool rows_bf16(const struct ol_weight *w, int64_t row, int64_t n, uint16_t *dst,
                      float *scratch)
{
    (void)scratch;
    ol_e2m1_rows_bf16(w, row, n, dst, group_scale);
    return true;
}

static const struct ol_format_label labels[] = {
    {.method = OL_QUANTIZATION_MXFP4, .experts_alone = true},
    {.method = OL_QUANTIZATION_COMPRESSED,
     .form = "mxfp4-pack-quantized",
     .bits = 4,
     .type = "float",
     .scales = OL_SCALES_GROUP},
    {.method = OL_QUANTIZATION_FP8, .form = OL_FORM_FP4_EXPERTS, .experts_alone = true},
    {.method = OL_QUANTIZATION_NONE},
};

const struct ol_weight_format ol_weight_format_mxfp4 = {
    .name = "MXFP4",
    .labels = labels,
    .find = find,
    .bytes = bytes,
    .decoder = {.rows = rows, .rows_bf16 = rows_bf16, .cut = ol_e2m1_cut},
};
