/* Weights that are not quantised: a tensor each, or all experts of a layer in one. */
#include <string.h>

#include "extract/weights/formats/formats.h"

int ol_format_plain(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                    struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    struct ol_format_shape shape = {2, {want->n_rows, want->n_cols}};
    if (want->vector)
        shape = (struct ol_format_shape){1, {want->n_cols}};
    else if (want->role == OL_ROLE_DELTA_CONV)
        shape = (struct ol_format_shape){3, {want->n_rows, 1, want->n_cols}};
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (ol_format_read_type(s, t, &dtype) != 0 || ol_format_check_shape(s, t, shape) != 0)
        return -1;
    *weight = ol_weight_plain(t->data, dtype, want->n_rows, want->n_cols);
    return 1;
}

/* Matrices [n_experts, in, out], or biases [n_experts, out]. */
int ol_format_fused(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                    struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_format_half half = ol_format_half_of(want->role);
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
int ol_format_fused_rows(const struct ol_format_search *s,
                         const struct ol_stored_tensor *t, struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    if (!ol_role_has_expert(want->role))
        return ol_format_plain(s, t, weight);
    const struct ol_format_half half = ol_format_half_of(want->role);
    const int64_t rows = want->n_rows * (half.is_half ? 2 : 1);
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (ol_format_read_type(s, t, &dtype) != 0 ||
        ol_format_check_shape(
            s, t,
            (struct ol_format_shape){
                3, {want->spec->router.n_experts, rows, want->n_cols}}) != 0)
        return -1;
    const int64_t first = want->expert * rows + (half.second ? want->n_rows : 0);
    const size_t row_bytes = (size_t)want->n_cols * ol_dtype_size(dtype);
    *weight = ol_weight_plain((const char *)t->data + (size_t)first * row_bytes, dtype,
                              want->n_rows, want->n_cols);
    return 1;
}
