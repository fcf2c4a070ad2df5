/* E2M1 codes (e2m1.h) in groups of 16 inputs with an E4M3 scale, and one scale in F32 for
 * all of them, which modelopt multiplies in and compressed-tensors divides by:
 *
 *     value = code * (scale * factor)    or    code * (scale / factor)
 *
 * both steps in float. A tensor for each matrix, or for all experts of a layer. */
#include <string.h>

#include "common/narrow.h"
#include "extract/weights/formats/e2m1.h"
#include "extract/weights/formats/formats.h"

enum { NVFP4_GROUP = 16 };

/* A scalar in F32, [] or [1]. */
static int read_scalar(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                       float *value)
{
    if (ol_format_check_type(s, t, "F32") != 0 ||
        (t->rank != 0 &&
         ol_format_check_shape(s, t, (struct ol_format_shape){1, {1}}) != 0))
        return -1;
    if (s->seen)
        memcpy(value, t->data, sizeof *value);
    return 0;
}

/* What a matrix is stored in: codes U8 [out, in / 2], scales F8_E4M3 [out, in / group],
 * one F32 for all. */
struct parts {
    const struct ol_stored_tensor *codes, *scales, *one;
};

static int nvfp4(const struct ol_format_search *s, const struct parts *p,
                 struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const int64_t group =
        want->spec->quantization.group > 0 ? want->spec->quantization.group : NVFP4_GROUP;
    float factor = 0;
    if (ol_format_check_groups(s, p->codes, "NVFP4", group) != 0)
        return -1;
    if (ol_format_check_type(s, p->codes, "U8") != 0 ||
        ol_format_check_type(s, p->scales, "F8_E4M3") != 0 ||
        ol_format_check_shape(
            s, p->codes, (struct ol_format_shape){2, {want->n_rows, want->n_cols / 2}}) !=
            0 ||
        ol_format_check_shape(
            s, p->scales,
            (struct ol_format_shape){2, {want->n_rows, want->n_cols / group}}) != 0 ||
        read_scalar(s, p->one, &factor) != 0)
        return -1;
    *weight = (struct ol_weight){
        .data = p->codes->data,
        .encoding = OL_ENCODING_NVFP4,
        .scale_dtype = OL_DTYPE_E4M3,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .row_step = want->n_cols,
        .col_step = 1,
        .scales = p->scales->data,
        .block_rows = 1,
        .block_cols = group,
        .factor = factor,
        .unseen = !s->seen,
        .spans = {ol_format_span(p->codes), ol_format_span(p->scales),
                  ol_format_span(p->one)},
        .sharers = 1,
    };
    return 1;
}

/* compressed-tensors: X.weight_packed, X.weight_scale, X.weight_global_scale, by which
 * values are divided; modelopt: X.weight, X.weight_scale, X.weight_scale_2. An
 * input_scale is about activations. */
static int find_single(const struct ol_format_search *s, bool compressed,
                       struct ol_weight *weight)
{
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(s->want, base);
    struct parts p = {.codes = compressed ? ol_format_find(s, base, ".weight_packed")
                                          : ol_checkpoint_find(s->c, s->want->name)};
    if (p.codes == NULL || (!compressed && !ol_format_is_type(p.codes, "U8")))
        return 0;
    p.scales = ol_format_need(s, p.codes, base, ".weight_scale");
    p.one = p.scales == NULL
                ? NULL
                : ol_format_need(s, p.codes, base,
                                 compressed ? ".weight_global_scale" : ".weight_scale_2");
    return p.one != NULL ? nvfp4(s, &p, weight) : -1;
}

/* The same of all experts of a layer, X experts.gate_up_proj or experts.down_proj;
 * modelopt: X, X_weight_scale, X_weight_scale_2. */
static int find_fused(const struct ol_format_search *s, bool compressed,
                      struct ol_weight *weight)
{
    const char *const suffixes[] = {compressed ? ".weight_packed" : "",
                                    compressed ? ".weight_scale" : "_weight_scale",
                                    compressed ? ".weight_global_scale"
                                               : "_weight_scale_2"};
    struct ol_stored_tensor codes, scales, one;
    const struct parts p = {&codes, &scales, &one};
    const struct ol_stored_tensor *whole = ol_format_find_fused(s);
    if (!compressed && (whole == NULL || !ol_format_is_type(whole, "U8")))
        return 0;
    int found = ol_format_rows_of_fused(s, suffixes[0], &codes);
    if (found <= 0)
        return found;
    found = ol_format_rows_of_fused(s, suffixes[1], &scales);
    if (found > 0)
        found = ol_format_number_of_fused(s, suffixes[2], &one);
    if (found == 0)
        for (int i = 1; i < 3; i++)
            if (ol_format_need(s, &codes, s->want->fused_name, suffixes[i]) == NULL)
                return -1;
    return found > 0 ? nvfp4(s, &p, weight) : -1;
}

static int find(const struct ol_format_search *s, struct ol_weight *weight)
{
    const bool compressed =
        s->want->spec->quantization.method == OL_QUANTIZATION_COMPRESSED;
    int found = find_single(s, compressed, weight);
    if (found == 0)
        found = find_fused(s, compressed, weight);
    weight->divides = found > 0 && compressed;
    return found;
}

static int64_t bytes(const struct ol_quantization_spec *q, int64_t n_rows, int64_t n_cols)
{
    const int64_t group = q->group > 0 ? q->group : NVFP4_GROUP;
    return n_rows * n_cols / 2 + n_rows * ol_ceil_div(n_cols, group) +
           (int64_t)sizeof(float);
}

/* ---- decoding ---- */

static float group_scale(const struct ol_weight *w, uint8_t code)
{
    const float scale = ol_e4m3_value(code);
    return w->divides ? scale / w->factor : scale * w->factor;
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
    {.method = OL_QUANTIZATION_COMPRESSED,
     .form = "nvfp4-pack-quantized",
     .bits = 4,
     .type = "float",
     .scales = OL_SCALES_TENSOR_GROUP},
    {.method = OL_QUANTIZATION_MODELOPT,
     .form = "NVFP4",
     .scales = OL_SCALES_TENSOR_GROUP},
    {.method = OL_QUANTIZATION_MODELOPT,
     .form = "W4A16_NVFP4",
     .scales = OL_SCALES_TENSOR_GROUP},
    {.method = OL_QUANTIZATION_NONE},
};

const struct ol_weight_format ol_weight_format_nvfp4 = {
    .name = "NVFP4",
    .labels = labels,
    .find = find,
    .bytes = bytes,
    .decoder = {.rows = rows, .rows_bf16 = rows_bf16, .cut = ol_e2m1_cut},
};
