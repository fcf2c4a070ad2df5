/* Integers of 4 or 8 bits as compressed-tensors packs them, words [n_rows, n_cols / codes
 * per word], lowest bits first:
 *
 *     value = (code - zero) * scales[r][g]
 *
 * scales [n_rows, groups]; zero is the middle, 8 or 128, or one of zeros [n_rows / codes
 * per word, groups], which are packed along the rows. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "extract/weights/formats/formats.h"
#include "extract/weights/formats/words.h"

/* weight_shape: [out, in] once more. Where its bytes come with the weight's it is one of
 * the spans, so that it can be looked at. */
static int check_packed_shape(const struct ol_format_search *s,
                              const struct ol_stored_tensor *t, struct ol_weight *w)
{
    const struct ol_role_tensor *want = s->want;
    const bool wide = strcmp(t->dtype_name, "I64") == 0;
    if (ol_format_check_shape(s, t, (struct ol_format_shape){1, {2}}) != 0 ||
        (!wide && ol_format_check_type(s, t, "I32") != 0))
        return -1;
    if (!ol_checkpoint_has_bytes(s->c))
        w->spans[OL_WEIGHT_RUNS] = ol_format_span(t);
    w->unseen |= !s->seen;
    if (!s->seen)
        return 0;
    int64_t found[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        int32_t narrow;
        if (wide) {
            memcpy(&found[i], (const char *)t->data + 8 * i, 8);
        } else {
            memcpy(&narrow, (const char *)t->data + 4 * i, 4);
            found[i] = narrow;
        }
    }
    if (found[0] == want->n_rows && found[1] == want->n_cols)
        return 0;
    return ol_fail(s->err,
                   "%s: tensor %s says [%" PRId64 ", %" PRId64 "], expected [%" PRId64
                   ", %" PRId64 "] from config.json (%s)",
                   ol_checkpoint_path(s->c, t->file), t->name, found[0], found[1],
                   want->n_rows, want->n_cols, want->spec->family);
}

/* What a matrix is stored in: codes I32 [out, words], scales [out, groups], zeros I32
 * [words, groups] unless symmetric (else NULL). */
struct parts {
    const struct ol_stored_tensor *codes, *scales, *zeros;
};

static int packed(const struct ol_format_search *s, const struct parts *p,
                  struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_quantization_spec *q = &want->spec->quantization;
    const int64_t per_word = 32 / q->bits;
    const int64_t size = q->group > 0 ? q->group : want->n_cols;
    const int64_t groups = ol_ceil_div(want->n_cols, size);
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (ol_format_check_type(s, p->codes, "I32") != 0 ||
        ol_format_check_shape(
            s, p->codes,
            (struct ol_format_shape){
                2, {want->n_rows, ol_ceil_div(want->n_cols, per_word)}}) != 0 ||
        ol_format_read_type(s, p->scales, &dtype) != 0 ||
        ol_format_check_shape(s, p->scales,
                              (struct ol_format_shape){2, {want->n_rows, groups}}) != 0)
        return -1;
    if (p->zeros != NULL &&
        (ol_format_check_type(s, p->zeros, "I32") != 0 ||
         ol_format_check_shape(s, p->zeros,
                               (struct ol_format_shape){
                                   2, {ol_ceil_div(want->n_rows, per_word), groups}}) !=
             0))
        return -1;
    *weight = (struct ol_weight){
        .data = p->codes->data,
        .encoding = OL_ENCODING_PACKED,
        .bits = q->bits,
        .scale_dtype = dtype,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .scales = p->scales->data,
        .zeros = p->zeros != NULL ? p->zeros->data : NULL,
        .block_rows = 1,
        .block_cols = size,
        .rounds = true,
        .spans = {ol_format_span(p->codes), ol_format_span(p->scales)},
        .sharers = 1,
    };
    if (p->zeros != NULL)
        weight->spans[2] = ol_format_span(p->zeros);
    return 1;
}

/* X.weight_packed and X.weight_scale of all experts of a layer, without zero points. */
static int find_fused(const struct ol_format_search *s, struct ol_weight *weight)
{
    struct ol_stored_tensor codes, scales;
    const struct parts p = {&codes, &scales, NULL};
    int found = ol_format_rows_of_fused(s, ".weight_packed", &codes);
    if (found <= 0)
        return found;
    if (!s->want->spec->quantization.symmetric)
        return ol_fail(s->err,
                       "%s: tensor %s: experts in one tensor with zero points are not "
                       "supported",
                       ol_checkpoint_path(s->c, codes.file), codes.name);
    found = ol_format_rows_of_fused(s, ".weight_scale", &scales);
    if (found == 0) /* says so */
        ol_format_need(s, &codes, s->want->fused_name, ".weight_scale");
    return found > 0 ? packed(s, &p, weight) : -1;
}

/* X.weight_packed, X.weight_scale, X.weight_zero_point unless symmetric, X.weight_g_idx
 * when inputs are not in order. */
static int find(const struct ol_format_search *s, struct ol_weight *weight)
{
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(s->want, base);
    struct parts p = {.codes = ol_format_find(s, base, ".weight_packed")};
    if (p.codes == NULL)
        return find_fused(s, weight);
    const struct ol_stored_tensor *shape = ol_format_find(s, base, ".weight_shape");
    p.scales = ol_format_need(s, p.codes, base, ".weight_scale");
    if (p.scales == NULL)
        return -1;
    if (!s->want->spec->quantization.symmetric &&
        (p.zeros = ol_format_need(s, p.codes, base, ".weight_zero_point")) == NULL)
        return -1;
    return packed(s, &p, weight) > 0 &&
                   (shape == NULL || check_packed_shape(s, shape, weight) == 0) &&
                   ol_format_groups_of_inputs(s, base, ".weight_g_idx", weight) == 0
               ? 1
               : -1;
}

static int64_t bytes(const struct ol_quantization_spec *q, int64_t n_rows, int64_t n_cols)
{
    const int64_t per_word = 32 / q->bits, word = sizeof(uint32_t);
    const int64_t groups = ol_ceil_div(n_cols, q->group > 0 ? q->group : n_cols);
    return n_rows * ol_ceil_div(n_cols, per_word) * word + 2 * n_rows * groups +
           (q->symmetric ? 0 : ol_ceil_div(n_rows, per_word) * groups * word);
}

/* ---- decoding ---- */

static float zero_of(const struct ol_weight *w, int64_t r, int64_t g, int64_t groups)
{
    const int64_t per_word = 32 / w->bits;
    if (w->zeros == NULL)
        return (float)(1 << (w->bits - 1));
    return (float)ol_words_code(ol_dequant_word(w->zeros, r / per_word * groups + g),
                                r % per_word, w->bits);
}

/* What the 16 codes of 4 bits stand for in a group; 256 would not be worth a table. */
static inline void row_of(const struct ol_weight *w, int64_t r, int bits, float *dst)
{
    const int64_t per_word = 32 / bits, words = ol_ceil_div(w->n_cols, per_word);
    const int64_t groups = ol_ceil_div(w->n_cols, w->block_cols);
    int64_t known = -1;
    float table[16] = {0}, scale = 0, zero = 0;
    for (int64_t c = 0; c < w->n_cols; c++) {
        const int64_t g = ol_dequant_group(w, c);
        if (g != known) {
            scale = ol_dequant_scale(w, r * groups + g);
            zero = zero_of(w, r, g, groups);
            for (int i = 0; i < 16 && bits == 4; i++)
                table[i] = ol_dequant_rounded(w, ((float)i - zero) * scale);
            known = g;
        }
        const uint32_t code = ol_words_code(
            ol_dequant_word(w->data, r * words + c / per_word), c % per_word, bits);
        dst[c] =
            bits == 4 ? table[code] : ol_dequant_rounded(w, ((float)code - zero) * scale);
    }
}

static void rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    for (int64_t r = row; r < row + n; r++, dst += w->n_cols) {
        if (w->bits == 4)
            row_of(w, r, 4, dst);
        else
            row_of(w, r, 8, dst);
    }
}

static void cut_rows(const struct ol_weight *w, int64_t row, int64_t n,
                     struct ol_weight_cut *cut)
{
    const int64_t size = (int64_t)ol_dtype_size(w->scale_dtype), word = sizeof(uint32_t);
    const int64_t per_word = 32 / w->bits;
    const int64_t bytes = ol_ceil_div(w->n_cols, per_word) * word;
    const int64_t groups = ol_ceil_div(w->n_cols, w->block_cols);
    cut->n_groups = groups;
    cut->first_row = row % per_word;
    cut->runs[0] = ol_dequant_run(w->data, row * bytes, 1, n * bytes, 0);
    cut->runs[1] =
        ol_dequant_run(w->scales, row * groups * size, 1, n * groups * size, 0);
    if (w->zeros != NULL) {
        const int64_t first = row / per_word, last = (row + n - 1) / per_word;
        cut->runs[2] = ol_dequant_run(w->zeros, first * groups * word, 1,
                                      (last - first + 1) * groups * word, 0);
    }
}

static const struct ol_format_label labels[] = {
    {.method = OL_QUANTIZATION_COMPRESSED,
     .form = "pack-quantized",
     .bits = 4,
     .type = "int",
     .scales = OL_SCALES_GROUP | OL_SCALES_CHANNEL,
     .zero_points = true,
     .experts_unless_listed = true},
    {.method = OL_QUANTIZATION_COMPRESSED,
     .form = "pack-quantized",
     .bits = 8,
     .type = "int",
     .scales = OL_SCALES_GROUP | OL_SCALES_CHANNEL,
     .zero_points = true,
     .experts_unless_listed = true},
    {.method = OL_QUANTIZATION_NONE},
};

const struct ol_weight_format ol_weight_format_packed = {
    .name = "INT4",
    .name_of_8_bits = "INT8",
    .labels = labels,
    .find = find,
    .bytes = bytes,
    .decoder = {.rows = rows, .cut = cut_rows},
};
