/* Weights that are not quantised, F32, BF16 or F16: a tensor each, or all experts of a
 * layer in one. */
#include <string.h>

#include "extract/weights/formats/formats.h"

static int read_integer_type(const struct ol_format_search *s,
                             const struct ol_stored_tensor *t, enum ol_dtype *dtype)
{
    *dtype = ol_format_is_type(t, "I32") ? OL_DTYPE_I32 : OL_DTYPE_I64;
    return *dtype == OL_DTYPE_I32 ? 0 : ol_format_check_type(s, t, "I64");
}

static int find_single(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                       struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    struct ol_format_shape shape = {2, {want->n_rows, want->n_cols}};
    if (want->vector)
        shape = (struct ol_format_shape){1, {want->n_cols}};
    else if (ol_role_convolves(want->role))
        shape = (struct ol_format_shape){3, {want->n_rows, 1, want->n_cols}};
    const bool turned =
        want->spec->turned_matrices && !want->vector && ol_role_has_layer(want->role);
    if (turned)
        shape = (struct ol_format_shape){2, {want->n_cols, want->n_rows}};
    /* ERNIE's is a matrix of one row. */
    if (want->role == OL_ROLE_ROUTER_CORRECTION && t->rank == 2)
        shape = (struct ol_format_shape){2, {1, want->n_cols}};
    enum ol_dtype dtype = OL_DTYPE_F32;
    if ((want->role == OL_ROLE_ROUTER_TABLE ? read_integer_type
                                            : ol_format_read_type)(s, t, &dtype) != 0 ||
        ol_format_check_shape(s, t, shape) != 0)
        return -1;
    *weight = ol_weight_plain(t->data, dtype, want->n_rows, want->n_cols);
    if (turned) {
        weight->row_step = 1;
        weight->col_step = want->n_rows;
    }
    return 1;
}

/* Matrices [n_experts, in, out], or biases [n_experts, out]. */
static int find_fused(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                      struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_format_half half = ol_format_half_of(want);
    const bool interleaved =
        half.is_half && want->spec->expert_layout == OL_EXPERTS_INTERLEAVED;
    const int64_t outputs = want->vector ? want->n_cols : want->n_rows;
    const int64_t inputs = want->vector ? 1 : want->n_cols;
    const int64_t width = outputs * (half.is_half ? 2 : 1);
    const int64_t n_experts = want->spec->router.n_experts;
    const struct ol_format_shape vectors = {2, {n_experts, width}},
                                 matrices = {3, {n_experts, inputs, width}};
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (ol_format_read_type(s, t, &dtype) != 0 ||
        ol_format_check_shape(s, t, want->vector ? vectors : matrices) != 0)
        return -1;
    const size_t size = ol_dtype_size(dtype);
    const size_t bytes = (size_t)(inputs * width) * size;
    const char *expert = (const char *)t->data + (size_t)want->expert * bytes;
    const int64_t first = !half.second ? 0 : interleaved ? 1 : outputs;
    const int64_t step = interleaved ? 2 : 1;
    *weight =
        ol_weight_plain(expert + (size_t)first * size, dtype, want->n_rows, want->n_cols);
    weight->row_step = want->vector ? step * outputs : step;
    weight->col_step = want->vector ? step : width;
    weight->spans[0] = (struct ol_span){expert, bytes};
    weight->sharers = half.is_half ? 2 : 1;
    return 1;
}

/* Matrices [n_experts, out, in], gate's rows before up's; the router is a plain matrix of
 * another name. */
static int find_fused_rows(const struct ol_format_search *s,
                           const struct ol_stored_tensor *t, struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    if (!ol_role_has_expert(want->role))
        return find_single(s, t, weight);
    const struct ol_format_half half = ol_format_half_of(want);
    const int64_t stored = want->n_rows * (half.is_half ? 2 : 1);
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (ol_format_read_type(s, t, &dtype) != 0 ||
        ol_format_check_shape(
            s, t,
            (struct ol_format_shape){
                3, {want->spec->router.n_experts, stored, want->n_cols}}) != 0)
        return -1;
    const int64_t first = want->expert * stored + (half.second ? want->n_rows : 0);
    const size_t row_bytes = (size_t)want->n_cols * ol_dtype_size(dtype);
    *weight = ol_weight_plain((const char *)t->data + (size_t)first * row_bytes, dtype,
                              want->n_rows, want->n_cols);
    return 1;
}

/* Whether all experts lie in one tensor with their outputs last. */
static bool is_turned(const struct ol_role_tensor *want, const struct ol_stored_tensor *t)
{
    const int64_t stored = want->n_rows * (ol_format_half_of(want).is_half ? 2 : 1);
    return ol_role_has_expert(want->role) &&
           want->spec->expert_layout == OL_EXPERTS_TURNED && t->rank == 3 &&
           t->shape[1] == want->n_cols && t->shape[2] == stored;
}

static int find(const struct ol_format_search *s, struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_stored_tensor *t = ol_checkpoint_find(s->c, want->name),
                                  *fused = ol_format_find_fused(s);
    if (t == NULL && fused != NULL)
        return is_turned(want, fused) ? find_fused(s, fused, weight)
                                      : find_fused_rows(s, fused, weight);
    if (t == NULL)
        return 0;
    return ol_role_has_expert(want->role) &&
                   want->spec->expert_layout == OL_EXPERTS_INTERLEAVED
               ? find_fused(s, t, weight)
               : find_single(s, t, weight);
}

static int64_t bytes(const struct ol_quantization_spec *q, int64_t n_rows, int64_t n_cols)
{
    (void)q;
    return (int64_t)ol_dtype_size(OL_DTYPE_BF16) * n_rows * n_cols;
}

/* ---- decoding ---- */

static void rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    const size_t size = ol_dtype_size(w->dtype);
    const char *data = w->data;
    if (w->col_step == 1) {
        for (int64_t r = 0; r < n; r++)
            ol_to_f32(w->dtype, data + (size_t)((row + r) * w->row_step) * size,
                      dst + r * w->n_cols, (size_t)w->n_cols);
        return;
    }
    /* Along the stored rows, which are columns here. */
    float values[2 * OL_DEQUANT_ROWS];
    for (int64_t first = 0; first < n; first += OL_DEQUANT_ROWS) {
        const int64_t some = n - first < OL_DEQUANT_ROWS ? n - first : OL_DEQUANT_ROWS;
        const int64_t span = (some - 1) * w->row_step + 1;
        for (int64_t c = 0; c < w->n_cols; c++) {
            const int64_t at = (row + first) * w->row_step + c * w->col_step;
            const bool near = span <= 2 * OL_DEQUANT_ROWS;
            if (near)
                ol_to_f32(w->dtype, data + (size_t)at * size, values, (size_t)span);
            for (int64_t r = 0; r < some; r++) {
                if (!near)
                    ol_to_f32(w->dtype, data + (size_t)(at + r * w->row_step) * size,
                              &values[0], 1);
                dst[(first + r) * w->n_cols + c] = values[near ? r * w->row_step : 0];
            }
        }
    }
}

/* Along rows, or along columns when these are what follows each other in memory. */
static void cut_rows(const struct ol_weight *w, int64_t row, int64_t n,
                     struct ol_weight_cut *cut)
{
    const int64_t size = (int64_t)ol_dtype_size(w->dtype);
    const int64_t first = row * w->row_step * size;
    if (w->row_step >= w->col_step) {
        const int64_t span = (w->n_cols - 1) * w->col_step + 1;
        cut->runs[0] = ol_dequant_run(w->data, first, n, span * size, w->row_step * size);
        cut->row_step = span;
        cut->col_step = w->col_step;
    } else {
        const int64_t span = (n - 1) * w->row_step + 1;
        cut->runs[0] =
            ol_dequant_run(w->data, first, w->n_cols, span * size, w->col_step * size);
        cut->row_step = w->row_step;
        cut->turned = w->n_rows > 1;
        cut->col_step = span;
    }
}

const struct ol_weight_format ol_weight_format_plain = {
    .find = find,
    .bytes = bytes,
    .decoder = {.rows = rows, .cut = cut_rows},
};
