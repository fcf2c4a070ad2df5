/* E4M3 codes with scales of blocks, of rows, or one. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "extract/weights/formats/formats.h"

enum { MODELOPT_BLOCK = 128 };

static int64_t n_elements(const struct ol_stored_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

/* Sets block_rows and block_cols by the shape of the scales. modelopt's blocks have ones
 * between their dimensions. */
static int read_scales(const struct ol_format_search *s,
                       const struct ol_stored_tensor *scales, struct ol_weight *w)
{
    const struct ol_quantization_spec *q = &s->want->spec->quantization;
    const bool split = q->method == OL_QUANTIZATION_MODELOPT && scales->rank == 4;
    const int64_t n = n_elements(scales);
    w->block_rows = w->n_rows;
    w->block_cols = w->n_cols;
    if (q->block_rows > 0 || split) {
        w->block_rows = split ? MODELOPT_BLOCK : q->block_rows;
        w->block_cols = split ? MODELOPT_BLOCK : q->block_cols;
        const int64_t rows = ol_format_ceil_div(w->n_rows, w->block_rows),
                      cols = ol_format_ceil_div(w->n_cols, w->block_cols);
        return ol_format_check_shape(s, scales,
                                     split
                                         ? (struct ol_format_shape){4, {rows, 1, cols, 1}}
                                         : (struct ol_format_shape){2, {rows, cols}});
    }
    if (n == 1)
        return 0;
    w->block_rows = 1;
    if (scales->rank == 1 && n == w->n_rows)
        return 0;
    return ol_format_check_shape(s, scales, (struct ol_format_shape){2, {w->n_rows, 1}});
}

/* Of compressed-tensors and modelopt: ".weight_scale"; "fp8": ".weight_scale_inv" of
 * blocks, and either of whole tensors. */
static const struct ol_stored_tensor *find_scales(const struct ol_format_search *s,
                                                  const struct ol_stored_tensor *t,
                                                  const char *base)
{
    const struct ol_quantization_spec *q = &s->want->spec->quantization;
    const struct ol_stored_tensor *scales = ol_format_find(s, base, ".weight_scale_inv");
    if (scales != NULL)
        return scales;
    return ol_format_need(s, t, base,
                          q->method != OL_QUANTIZATION_FP8 || q->block_rows == 0
                              ? ".weight_scale"
                              : ".weight_scale_inv");
}

int ol_format_fp8(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                  struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(want, base);
    const struct ol_stored_tensor *scales = find_scales(s, t, base);
    const struct ol_format_shape shape = {2, {want->n_rows, want->n_cols}};
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (scales == NULL || ol_format_check_shape(s, t, shape) != 0 ||
        ol_format_read_type(s, scales, &dtype) != 0)
        return -1;
    *weight = (struct ol_weight){
        .data = t->data,
        .encoding = OL_ENCODING_FP8,
        .dtype = dtype,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .row_step = want->n_cols,
        .col_step = 1,
        .scales = scales->data,
        /* compressed-tensors multiplies in the type of the scales. */
        .rounds = want->spec->quantization.method == OL_QUANTIZATION_FLOAT,
        .spans = {ol_format_span(t), ol_format_span(scales)},
        .sharers = 1,
    };
    return read_scales(s, scales, weight) == 0 ? 1 : -1;
}

/* Where in X_scale_inv [n_experts, blocks down, blocks across], or one number per expert
 * or for all, the scales of rows [first, first + n_rows) of the expert begin. */
static int fused_scales(const struct ol_format_search *s,
                        const struct ol_stored_tensor *scales, int64_t first,
                        int64_t n_rows_stored, struct ol_weight *w)
{
    const struct ol_quantization_spec *q = &s->want->spec->quantization;
    const int64_t n_experts = s->want->spec->router.n_experts, n = n_elements(scales);
    int64_t per_expert = n == 1 ? 0 : 1, skipped = 0;
    w->block_rows = w->n_rows;
    w->block_cols = w->n_cols;
    if (q->block_rows > 0 && n != 1 && n != n_experts) {
        w->block_rows = q->block_rows;
        w->block_cols = q->block_cols;
        const int64_t down = ol_format_ceil_div(n_rows_stored, w->block_rows),
                      across = ol_format_ceil_div(w->n_cols, w->block_cols);
        if (ol_format_check_shape(
                s, scales, (struct ol_format_shape){3, {n_experts, down, across}}) != 0)
            return -1;
        if (first % w->block_rows != 0)
            return ol_fail(
                s->err,
                "%s: tensor %s: a block of %" PRId64 " rows holds rows of gate "
                "and of up, which is not supported",
                ol_checkpoint_path(s->c, scales->file), scales->name, w->block_rows);
        per_expert = down * across;
        skipped = first / w->block_rows * across;
    } else if (n != 1 && n != n_experts) {
        return ol_format_check_shape(s, scales,
                                     (struct ol_format_shape){3, {n_experts, 1, 1}});
    }
    const size_t size = ol_dtype_size(w->dtype);
    const int64_t down_own = ol_format_ceil_div(w->n_rows, w->block_rows),
                  across = ol_format_ceil_div(w->n_cols, w->block_cols);
    w->scales = (const char *)scales->data +
                (size_t)(s->want->expert * per_expert + skipped) * size;
    w->spans[1] = (struct ol_span){w->scales, (size_t)(down_own * across) * size};
    return 0;
}

int ol_format_fp8_fused(const struct ol_format_search *s,
                        const struct ol_stored_tensor *t, struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_format_half half = ol_format_half_of(want->role);
    const int64_t stored = want->n_rows * (half.is_half ? 2 : 1),
                  first = half.second ? want->n_rows : 0;
    const struct ol_stored_tensor *scales = ol_format_find(s, t->name, "_scale_inv");
    if (scales == NULL)
        scales = ol_format_need(s, t, t->name, "_scale");
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (scales == NULL || ol_format_read_type(s, scales, &dtype) != 0 ||
        ol_format_check_shape(
            s, t,
            (struct ol_format_shape){
                3, {want->spec->router.n_experts, stored, want->n_cols}}) != 0)
        return -1;
    const char *data =
        (const char *)t->data + (size_t)((want->expert * stored + first) * want->n_cols);
    *weight = (struct ol_weight){
        .data = data,
        .encoding = OL_ENCODING_FP8,
        .dtype = dtype,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .row_step = want->n_cols,
        .col_step = 1,
        .rounds = want->spec->quantization.method == OL_QUANTIZATION_FLOAT,
        .spans = {{data, (size_t)(want->n_rows * want->n_cols)}},
        .sharers = 1,
    };
    return fused_scales(s, scales, first, stored, weight) == 0 ? 1 : -1;
}
