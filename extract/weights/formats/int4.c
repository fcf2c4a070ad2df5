/* 4-bit integers: compressed-tensors, GPTQ, AWQ. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "extract/weights/formats/formats.h"

/* weight_shape: [out, in] once more. */
static int check_packed_shape(const struct ol_format_search *s,
                              const struct ol_stored_tensor *t)
{
    const struct ol_role_tensor *want = s->want;
    const bool wide = strcmp(t->dtype_name, "I64") == 0;
    if (ol_format_check_shape(s, t, (struct ol_format_shape){1, {2}}) != 0 ||
        (!wide && ol_format_check_type(s, t, "I32") != 0))
        return -1;
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

/* weight_packed I32 [out, in / 8], weight_scale [out, groups], weight_zero_point I32
 * [out / 8, groups] unless symmetric, weight_g_idx when inputs are not in order. */
int ol_format_packed(const struct ol_format_search *s, struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_quantization_spec *q = &want->spec->quantization;
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(want, base);
    const struct ol_stored_tensor *t = ol_format_find(s, base, ".weight_packed");
    if (t == NULL)
        return 0;
    const struct ol_stored_tensor *scales = ol_format_need(s, t, base, ".weight_scale"),
                                  *zeros = NULL,
                                  *shape = ol_format_find(s, base, ".weight_shape");
    if (scales == NULL || (shape != NULL && check_packed_shape(s, shape) != 0))
        return -1;
    if (!q->symmetric &&
        (zeros = ol_format_need(s, t, base, ".weight_zero_point")) == NULL)
        return -1;
    const int64_t size = q->group > 0 ? q->group : want->n_cols;
    const int64_t groups = ol_format_ceil_div(want->n_cols, size);
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (ol_format_check_type(s, t, "I32") != 0 ||
        ol_format_check_shape(
            s, t,
            (struct ol_format_shape){
                2,
                {want->n_rows,
                 ol_format_ceil_div(want->n_cols, OL_FORMAT_CODES_PER_WORD)}}) != 0 ||
        ol_format_read_type(s, scales, &dtype) != 0 ||
        ol_format_check_shape(s, scales,
                              (struct ol_format_shape){2, {want->n_rows, groups}}) != 0)
        return -1;
    if (zeros != NULL &&
        (ol_format_check_type(s, zeros, "I32") != 0 ||
         ol_format_check_shape(
             s, zeros,
             (struct ol_format_shape){
                 2,
                 {ol_format_ceil_div(want->n_rows, OL_FORMAT_CODES_PER_WORD), groups}}) !=
             0))
        return -1;
    *weight = (struct ol_weight){
        .data = t->data,
        .encoding = OL_ENCODING_INT4,
        .dtype = dtype,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .scales = scales->data,
        .zeros = zeros != NULL ? zeros->data : NULL,
        .block_rows = 1,
        .block_cols = size,
        .rounds = true,
        .spans = {ol_format_span(t), ol_format_span(scales)},
        .sharers = 1,
    };
    if (zeros != NULL)
        weight->spans[2] = ol_format_span(zeros);
    return ol_format_groups_of_inputs(s, base, ".weight_g_idx", weight) == 0 ? 1 : -1;
}

/* With "sym" zero points are 8 by definition. Writers store 7, by the rule of version 1,
 * or 8; one number stands for both, anything else is another model. */
static int check_symmetric(const struct ol_format_search *s,
                           const struct ol_stored_tensor *zeros, struct ol_weight *w)
{
    uint32_t first = 0;
    for (uint64_t i = 0; i < zeros->bytes / 4; i++) {
        uint32_t word;
        memcpy(&word, (const char *)zeros->data + 4 * i, sizeof word);
        if (i == 0)
            first = word;
        if (word == first && (word == 0x77777777u || word == 0x88888888u))
            continue;
        return ol_fail(s->err,
                       "%s: tensor %s: word %llu is 0x%08x, but with \"sym\" all zero "
                       "points are 7 or all are 8 (0x77777777, 0x88888888)",
                       ol_checkpoint_path(s->c, zeros->file), zeros->name,
                       (unsigned long long)i, (unsigned)word);
    }
    w->zero_offset = first == 0x77777777u ? 1 : 0;
    return 0;
}

/* qweight I32 [in / 8, out] (GPTQ) or [in, out / 8] (AWQ), qzeros I32 [groups, out / 8],
 * scales [groups, out], g_idx I32 [in] (GPTQ). */
int ol_format_gptq_or_awq(const struct ol_format_search *s, struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_quantization_spec *q = &want->spec->quantization;
    const bool awq = q->method == OL_QUANTIZATION_AWQ;
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(want, base);
    const struct ol_stored_tensor *t = ol_format_find(s, base, ".qweight");
    if (t == NULL)
        return 0;
    const struct ol_stored_tensor *scales = ol_format_need(s, t, base, ".scales"),
                                  *zeros = ol_format_need(s, t, base, ".qzeros");
    if (scales == NULL || zeros == NULL)
        return -1;
    const int64_t in = want->n_cols, out = want->n_rows;
    if (out % OL_FORMAT_CODES_PER_WORD != 0 ||
        (!awq && in % OL_FORMAT_CODES_PER_WORD != 0))
        return ol_fail(s->err,
                       "%s: tensor %s: %" PRId64 " x %" PRId64
                       " is no multiple of %d codes to a word",
                       ol_checkpoint_path(s->c, t->file), t->name, out, in,
                       OL_FORMAT_CODES_PER_WORD);
    const int64_t size = q->group > 0 ? q->group : in,
                  groups = ol_format_ceil_div(in, size);
    const struct ol_format_shape gptq_codes = {2, {in / OL_FORMAT_CODES_PER_WORD, out}},
                                 awq_codes = {2, {in, out / OL_FORMAT_CODES_PER_WORD}};
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (ol_format_check_type(s, t, "I32") != 0 ||
        ol_format_check_type(s, zeros, "I32") != 0 ||
        ol_format_read_type(s, scales, &dtype) != 0 ||
        ol_format_check_shape(s, t, awq ? awq_codes : gptq_codes) != 0 ||
        ol_format_check_shape(
            s, zeros,
            (struct ol_format_shape){2, {groups, out / OL_FORMAT_CODES_PER_WORD}}) != 0 ||
        ol_format_check_shape(s, scales, (struct ol_format_shape){2, {groups, out}}) != 0)
        return -1;
    *weight = (struct ol_weight){
        .data = t->data,
        .encoding = awq ? OL_ENCODING_AWQ : OL_ENCODING_GPTQ,
        .dtype = dtype,
        .n_rows = out,
        .n_cols = in,
        .scales = scales->data,
        .zeros = zeros->data,
        .block_rows = 1,
        .block_cols = size,
        .zero_offset = awq ? 0 : q->zero_offset,
        .rounds = true,
        .spans = {ol_format_span(t), ol_format_span(scales), ol_format_span(zeros)},
        .sharers = 1,
    };
    if (!awq && q->symmetric && check_symmetric(s, zeros, weight) != 0)
        return -1;
    return awq || ol_format_groups_of_inputs(s, base, ".g_idx", weight) == 0 ? 1 : -1;
}
