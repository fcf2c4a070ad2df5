#include "extract/weights/formats/e4m3.h"

#include <inttypes.h>

#include "common/narrow.h"
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
                       const struct ol_stored_tensor *scales,
                       const struct ol_e4m3_scales *kind, struct ol_weight *w)
{
    const struct ol_quantization_spec *q = &s->want->spec->quantization;
    const bool split = q->method == OL_QUANTIZATION_MODELOPT && scales->rank == 4;
    const int64_t n = n_elements(scales);
    w->block_rows = w->n_rows;
    w->block_cols = w->n_cols;
    if (kind->block_rows > 0 || split) {
        w->block_rows = split ? MODELOPT_BLOCK : kind->block_rows;
        w->block_cols = split ? MODELOPT_BLOCK : kind->block_cols;
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

/* Bytes are exponents where config.json says so; F8_E8M0 says it itself. */
static int read_scale_type(const struct ol_format_search *s,
                           const struct ol_stored_tensor *scales,
                           const struct ol_e4m3_scales *kind, enum ol_dtype *dtype)
{
    *dtype = OL_DTYPE_E8M0;
    if (ol_format_is_type(scales, "F8_E8M0") ||
        (kind->bytes_are_exponents && ol_format_is_type(scales, "U8")))
        return 0;
    if (!kind->only_exponents)
        return ol_format_read_type(s, scales, dtype);
    return ol_fail(s->err, "%s: tensor %s has type %s, expected U8 or F8_E8M0",
                   ol_checkpoint_path(s->c, scales->file), scales->name,
                   scales->dtype_name);
}

/* Of compressed-tensors and modelopt: ".weight_scale"; others': ".weight_scale_inv" of
 * blocks (DeepSeek-V4's: ".scale"), and either of whole tensors. */
const struct ol_stored_tensor *ol_e4m3_find_scales(const struct ol_format_search *s,
                                                   const struct ol_e4m3_scales *kind)
{
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(s->want, base);
    const struct ol_stored_tensor *scales = ol_format_find(s, base, ".weight_scale_inv");
    if (scales == NULL && s->want->spec->quantization.method == OL_QUANTIZATION_FP8)
        scales = ol_format_find(s, base, ".scale");
    return scales != NULL || kind->only_inv ? scales
                                            : ol_format_find(s, base, ".weight_scale");
}

static int find_single(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                       const struct ol_e4m3_scales *kind, struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_stored_tensor *scales = ol_e4m3_find_scales(s, kind);
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(want, base);
    if (scales == NULL) /* says which is missing */
        ol_format_need(s, t, base,
                       kind->only_inv ? ".weight_scale_inv" : ".weight_scale");
    const struct ol_format_shape shape = {2, {want->n_rows, want->n_cols}};
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (scales == NULL || ol_format_check_shape(s, t, shape) != 0 ||
        read_scale_type(s, scales, kind, &dtype) != 0)
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
    return read_scales(s, scales, kind, weight) == 0 ? 1 : -1;
}

/* Where in X_scale_inv [n_experts, blocks down, blocks across], or one number per expert
 * or for all, the scales of rows [first, first + n_rows) of the expert begin. */
static int fused_scales(const struct ol_format_search *s,
                        const struct ol_stored_tensor *scales,
                        const struct ol_e4m3_scales *kind, int64_t first,
                        int64_t n_rows_stored, struct ol_weight *w)
{
    const int64_t n_experts = s->want->spec->router.n_experts, n = n_elements(scales);
    int64_t per_expert = n == 1 ? 0 : 1, skipped = 0;
    w->block_rows = w->n_rows;
    w->block_cols = w->n_cols;
    if (kind->block_rows > 0 && n != 1 && n != n_experts) {
        w->block_rows = kind->block_rows;
        w->block_cols = kind->block_cols;
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
                      const struct ol_e4m3_scales *kind, struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_format_half half = ol_format_half_of(want);
    const int64_t stored = want->n_rows * (half.is_half ? 2 : 1),
                  first = half.second ? want->n_rows : 0;
    const struct ol_stored_tensor *scales = ol_format_find(s, t->name, "_scale_inv");
    if (scales == NULL)
        scales = ol_format_need(s, t, t->name, "_scale");
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (scales == NULL || read_scale_type(s, scales, kind, &dtype) != 0 ||
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
    return fused_scales(s, scales, kind, first, stored, weight) == 0 ? 1 : -1;
}

int ol_e4m3_find(const struct ol_format_search *s, const struct ol_e4m3_scales *kind,
                 struct ol_weight *weight)
{
    static const char type[] = "F8_E4M3";
    const struct ol_role_tensor *want = s->want;
    const struct ol_stored_tensor *t = ol_checkpoint_find(s->c, want->name),
                                  *fused = ol_format_find_fused(s);
    if (t != NULL)
        return ol_format_is_type(t, type) ? find_single(s, t, kind, weight) : 0;
    return fused != NULL && ol_format_is_type(fused, type) &&
                   ol_role_has_expert(want->role) &&
                   want->spec->quantization.method != OL_QUANTIZATION_MODELOPT
               ? find_fused(s, fused, kind, weight)
               : 0;
}

/* ---- decoding ---- */

void ol_e4m3_rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
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
        }
        ol_dequant_round(w, dst, w->n_cols);
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

/* Whether there is room in the scratch of a decoding for them, and a block has more
 * values than its table. */
static bool lookups_fit(const struct ol_weight *w)
{
    const int64_t blocks = (w->n_cols + w->block_cols - 1) / w->block_cols;
    return w->block_rows * w->block_cols > 128 &&
           blocks * (int64_t)sizeof(struct ol_lookup) <=
               (int64_t)OL_DEQUANT_ROWS * w->n_cols * (int64_t)sizeof(float);
}

bool ol_e4m3_rows_bf16(const struct ol_weight *w, int64_t row, int64_t n, uint16_t *dst,
                       float *scratch)
{
    if (w->rounds || !lookups_fit(w))
        return false;
    by_lookups(w, row, n, dst, (struct ol_lookup *)(void *)scratch);
    return true;
}

void ol_e4m3_cut(const struct ol_weight *w, int64_t row, int64_t n,
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
