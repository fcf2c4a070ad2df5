/* Integers of 8 bits as compressed-tensors stores them when it does not pack them: codes
 * I8 [n_rows, n_cols] with a scale for a row, a group of its inputs, or all:
 *
 *     value = (code - zero) * scales[r][g]
 *
 * zeros I8, one for each scale, unless symmetric. */
#include "extract/weights/formats/formats.h"

/* Scales, and zero points alike: [] or [1], [n_rows], or [n_rows, groups]. */
static int check_scales(const struct ol_format_search *s,
                        const struct ol_stored_tensor *t, enum ol_scales scales,
                        int64_t groups)
{
    const int64_t n_rows = s->want->n_rows;
    struct ol_format_shape shape = {2, {n_rows, groups}};
    if (scales == OL_SCALES_TENSOR)
        shape = (struct ol_format_shape){t->rank == 2 ? 2 : 1, {1, 1}};
    else if (groups == 1 && t->rank == 1)
        shape.rank = 1;
    if (scales == OL_SCALES_TENSOR && t->rank == 0)
        return 0;
    return ol_format_check_shape(s, t, shape);
}

static int find(const struct ol_format_search *s, struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_quantization_spec *q = &want->spec->quantization;
    const struct ol_stored_tensor *t = ol_checkpoint_find(s->c, want->name);
    if (t == NULL || !ol_format_is_type(t, "I8"))
        return 0;
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(want, base);
    const struct ol_stored_tensor *scales = ol_format_need(s, t, base, ".weight_scale"),
                                  *zeros = NULL;
    if (scales == NULL ||
        (!q->symmetric &&
         (zeros = ol_format_need(s, t, base, ".weight_zero_point")) == NULL))
        return -1;
    const int64_t size = q->group > 0 ? q->group : want->n_cols;
    const int64_t groups = ol_ceil_div(want->n_cols, size);
    const struct ol_format_shape shape = {2, {want->n_rows, want->n_cols}};
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (ol_format_check_shape(s, t, shape) != 0 ||
        ol_format_read_type(s, scales, &dtype) != 0 ||
        check_scales(s, scales, q->scales, groups) != 0 ||
        (zeros != NULL && (ol_format_check_type(s, zeros, "I8") != 0 ||
                           check_scales(s, zeros, q->scales, groups) != 0)))
        return -1;
    *weight = (struct ol_weight){
        .data = t->data,
        .encoding = OL_ENCODING_INT8,
        .scale_dtype = dtype,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .scales = scales->data,
        .zeros = zeros != NULL ? zeros->data : NULL,
        .block_rows = q->scales == OL_SCALES_TENSOR ? want->n_rows : 1,
        .block_cols = size,
        .rounds = true,
        .spans = {ol_format_span(t), ol_format_span(scales)},
        .sharers = 1,
    };
    if (zeros != NULL)
        weight->spans[2] = ol_format_span(zeros);
    return 1;
}

static int64_t bytes(const struct ol_quantization_spec *q, int64_t n_rows, int64_t n_cols)
{
    const int64_t groups = ol_ceil_div(n_cols, q->group > 0 ? q->group : n_cols);
    const int64_t n_scales = q->scales == OL_SCALES_TENSOR ? 1 : n_rows * groups;
    return n_rows * n_cols + n_scales * (q->symmetric ? 2 : 3);
}

/* ---- decoding ---- */

static void rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    const int64_t groups = ol_ceil_div(w->n_cols, w->block_cols);
    for (int64_t r = row; r < row + n; r++, dst += w->n_cols) {
        const int8_t *codes = (const int8_t *)w->data + r * w->n_cols;
        for (int64_t g = 0; g < groups; g++) {
            const int64_t at = r / w->block_rows * groups + g;
            const float scale = ol_dequant_scale(w, at);
            const float zero =
                w->zeros != NULL ? (float)((const int8_t *)w->zeros)[at] : 0;
            const int64_t first = g * w->block_cols, left = w->n_cols - first;
            const int64_t end = first + (left < w->block_cols ? left : w->block_cols);
            for (int64_t c = first; c < end; c++)
                dst[c] = ((float)codes[c] - zero) * scale;
        }
        ol_dequant_round(w, dst, w->n_cols);
    }
}

static void cut_rows(const struct ol_weight *w, int64_t row, int64_t n,
                     struct ol_weight_cut *cut)
{
    const int64_t size = (int64_t)ol_dtype_size(w->scale_dtype);
    const int64_t groups = ol_ceil_div(w->n_cols, w->block_cols);
    const int64_t first = row / w->block_rows * groups;
    const int64_t scales = ((row + n - 1) / w->block_rows + 1) * groups - first;
    cut->n_groups = groups;
    cut->first_row = row % w->block_rows;
    cut->runs[0] = ol_dequant_run(w->data, row * w->n_cols, 1, n * w->n_cols, 0);
    cut->runs[1] = ol_dequant_run(w->scales, first * size, 1, scales * size, 0);
    if (w->zeros != NULL)
        cut->runs[2] = ol_dequant_run(w->zeros, first, 1, scales, 0);
}

static const struct ol_format_label labels[] = {
    {.method = OL_QUANTIZATION_COMPRESSED,
     .form = "int-quantized",
     .bits = 8,
     .type = "int",
     .scales = OL_SCALES_TENSOR | OL_SCALES_CHANNEL | OL_SCALES_GROUP,
     .zero_points = true},
    {.method = OL_QUANTIZATION_COMPRESSED,
     .form = "naive-quantized",
     .bits = 8,
     .type = "int",
     .scales = OL_SCALES_TENSOR | OL_SCALES_CHANNEL | OL_SCALES_GROUP,
     .zero_points = true},
    {.method = OL_QUANTIZATION_NONE},
};

const struct ol_weight_format ol_weight_format_int8 = {
    .name = "INT8",
    .labels = labels,
    .find = find,
    .bytes = bytes,
    .decoder = {.rows = rows, .cut = cut_rows},
};
