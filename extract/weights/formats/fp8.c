/* E4M3 codes [n_rows, n_cols] with scales of blocks, of rows, or one:
 *
 *     value = code * scales[r / block_rows][c / block_cols]
 *
 * the product in float. A block that is cut off by an edge is a block. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/narrow.h"
#include "extract/weights/formats/formats.h"
#include "extract/weights/formats/lookup.h"

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
        const int64_t rows = ol_ceil_div(w->n_rows, w->block_rows),
                      cols = ol_ceil_div(w->n_cols, w->block_cols);
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

static int find_single(const struct ol_format_search *s, const struct ol_stored_tensor *t,
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
        .scale_dtype = dtype,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .row_step = want->n_cols,
        .col_step = 1,
        .scales = scales->data,
        /* compressed-tensors multiplies in the type of the scales. */
        .rounds = want->spec->quantization.method == OL_QUANTIZATION_COMPRESSED,
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
        const int64_t down = ol_ceil_div(n_rows_stored, w->block_rows),
                      across = ol_ceil_div(w->n_cols, w->block_cols);
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
    const size_t size = ol_dtype_size(w->scale_dtype);
    const int64_t down_own = ol_ceil_div(w->n_rows, w->block_rows),
                  across = ol_ceil_div(w->n_cols, w->block_cols);
    w->scales = (const char *)scales->data +
                (size_t)(s->want->expert * per_expert + skipped) * size;
    w->spans[1] = (struct ol_span){w->scales, (size_t)(down_own * across) * size};
    return 0;
}

static int find_fused(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                      struct ol_weight *weight)
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
        .scale_dtype = dtype,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .row_step = want->n_cols,
        .col_step = 1,
        .rounds = want->spec->quantization.method == OL_QUANTIZATION_COMPRESSED,
        .spans = {{data, (size_t)(want->n_rows * want->n_cols)}},
        .sharers = 1,
    };
    return fused_scales(s, scales, first, stored, weight) == 0 ? 1 : -1;
}

static int find(const struct ol_format_search *s, struct ol_weight *weight)
{
    static const char type[] = "F8_E4M3";
    const struct ol_role_tensor *want = s->want;
    const struct ol_stored_tensor *t = ol_checkpoint_find(s->c, want->name),
                                  *fused = ol_format_find_fused(s);
    if (t != NULL)
        return ol_format_is_type(t, type) ? find_single(s, t, weight) : 0;
    return fused != NULL && ol_format_is_type(fused, type) &&
                   ol_role_has_expert(want->role) &&
                   want->spec->quantization.method != OL_QUANTIZATION_MODELOPT
               ? find_fused(s, fused, weight)
               : 0;
}

/* compressed-tensors keeps scales in the model's own type. */
static int64_t bytes(const struct ol_quantization_spec *q, int64_t n_rows, int64_t n_cols)
{
    int64_t n_scales = 1;
    if (q->scales == OL_SCALES_BLOCK)
        n_scales =
            ol_ceil_div(n_rows, q->block_rows) * ol_ceil_div(n_cols, q->block_cols);
    else if (q->scales == OL_SCALES_CHANNEL)
        n_scales = n_rows;
    return n_rows * n_cols + n_scales * (q->method == OL_QUANTIZATION_COMPRESSED ? 2 : 4);
}

/* ---- decoding ---- */

static void rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    const int64_t blocks = (w->n_cols + w->block_cols - 1) / w->block_cols;
    for (int64_t r = row; r < row + n; r++, dst += w->n_cols) {
        const uint8_t *codes = (const uint8_t *)w->data + r * w->n_cols;
        for (int64_t g = 0; g < blocks; g++) {
            const float scale = ol_dequant_scale(w, r / w->block_rows * blocks + g);
            const int64_t first = g * w->block_cols, left = w->n_cols - first;
            const int64_t end = first + (left < w->block_cols ? left : w->block_cols);
            for (int64_t c = first; c < end; c++)
                dst[c] = ol_e4m3_value(codes[c]) * scale;
            if (w->rounds && w->scale_dtype != OL_DTYPE_F32)
                for (int64_t c = first; c < end; c++)
                    dst[c] = ol_dequant_rounded(w, dst[c]);
        }
    }
}

/* The same numbers rounded to bf16. All codes of a block share 128 numbers and their
 * opposites; lookups: one for every block of a row. Row by row, as they lie. */
static void by_lookups(const struct ol_weight *w, int64_t row, int64_t n, uint16_t *dst,
                       struct ol_lookup *lookups)
{
    const int64_t blocks = (w->n_cols + w->block_cols - 1) / w->block_cols;
    for (int64_t r = row; r < row + n; r++, dst += w->n_cols) {
        const uint8_t *codes = (const uint8_t *)w->data + r * w->n_cols;
        for (int64_t g = 0; g < blocks; g++) {
            struct ol_lookup *l = &lookups[g];
            if (r == row || r % w->block_rows == 0) {
                const float scale = ol_dequant_scale(w, r / w->block_rows * blocks + g);
                for (int i = 0; i < 128; i++)
                    l->table[i] = ol_bf16_from_f32(ol_e4m3_value((uint32_t)i) * scale);
                ol_lookup_prepare(l);
            }
            const int64_t first = g * w->block_cols, left = w->n_cols - first;
            ol_lookup_fp8(codes + first, l, left < w->block_cols ? left : w->block_cols,
                          dst + first);
        }
    }
}

/* Whether there is room in the scratch of a decoding for them: not where blocks are so
 * narrow that they are not worth tables. */
static bool lookups_fit(const struct ol_weight *w)
{
    const int64_t blocks = (w->n_cols + w->block_cols - 1) / w->block_cols;
    return blocks * (int64_t)sizeof(struct ol_lookup) <=
           OL_DEQUANT_ROWS * w->n_cols * (int64_t)sizeof(float);
}

static bool rows_bf16(const struct ol_weight *w, int64_t row, int64_t n, uint16_t *dst,
                      float *scratch)
{
    if (w->rounds || !lookups_fit(w))
        return false;
    by_lookups(w, row, n, dst, (struct ol_lookup *)(void *)scratch);
    return true;
}

static void cut_rows(const struct ol_weight *w, int64_t row, int64_t n,
                     struct ol_weight_cut *cut)
{
    const int64_t size = (int64_t)ol_dtype_size(w->scale_dtype);
    const int64_t block = row / w->block_rows;
    const int64_t blocks = (row + n - 1) / w->block_rows - block + 1;
    cut->n_groups = ol_ceil_div(w->n_cols, w->block_cols);
    cut->first_row = row % w->block_rows;
    cut->runs[0] = ol_dequant_run(w->data, row * w->n_cols, 1, n * w->n_cols, 0);
    cut->runs[1] = ol_dequant_run(w->scales, block * cut->n_groups * size, 1,
                                  blocks * cut->n_groups * size, 0);
}

static const struct ol_format_label labels[] = {
    {.method = OL_QUANTIZATION_FP8},
    {.method = OL_QUANTIZATION_COMPRESSED,
     .form = "float-quantized",
     .bits = 8,
     .type = "float",
     .scales = OL_SCALES_TENSOR | OL_SCALES_CHANNEL | OL_SCALES_BLOCK},
    {.method = OL_QUANTIZATION_MODELOPT, .form = "FP8", .scales = OL_SCALES_TENSOR},
    {.method = OL_QUANTIZATION_MODELOPT,
     .form = "FP8_PER_CHANNEL_PER_TOKEN",
     .scales = OL_SCALES_CHANNEL},
    {.method = OL_QUANTIZATION_MODELOPT, .form = "FP8_PB_WO", .scales = OL_SCALES_BLOCK},
    {.method = OL_QUANTIZATION_MODELOPT,
     .form = "FP8_PB_REAL",
     .scales = OL_SCALES_BLOCK},
    {.method = OL_QUANTIZATION_NONE},
};

const struct ol_weight_format ol_weight_format_fp8 = {
    .name = "FP8",
    .labels = labels,
    .find = find,
    .bytes = bytes,
    .decoder = {.rows = rows, .rows_bf16 = rows_bf16, .cut = cut_rows},
};
