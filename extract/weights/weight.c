#include "extract/weights/weight.h"

#include <assert.h>

#include "extract/weights/formats/formats.h"

struct ol_weight ol_weight_plain(const void *data, enum ol_dtype dtype, int64_t n_rows,
                                 int64_t n_cols)
{
    return (struct ol_weight){
        .data = data,
        .encoding = OL_ENCODING_PLAIN,
        .dtype = dtype,
        .n_rows = n_rows,
        .n_cols = n_cols,
        .row_step = n_cols,
        .col_step = 1,
        .spans = {{data, (size_t)n_rows * (size_t)n_cols * ol_dtype_size(dtype)}},
        .sharers = 1,
    };
}

bool ol_weight_is_contiguous(const struct ol_weight *w)
{
    return w->encoding == OL_ENCODING_PLAIN && w->col_step == 1 &&
           (w->row_step == w->n_cols || w->n_rows == 1);
}

int64_t ol_weight_bytes(const struct ol_weight *w)
{
    size_t bytes = 0;
    for (int i = 0; i < OL_WEIGHT_RUNS; i++)
        bytes += w->spans[i].bytes;
    return w->data != NULL ? (int64_t)bytes / w->sharers : 0;
}

const char *ol_weight_format_name(const struct ol_weight *w)
{
    const struct ol_weight_format *format = ol_weight_formats[w->encoding];
    if (w->encoding == OL_ENCODING_PLAIN)
        return ol_dtype_name(w->dtype);
    return w->bits == 8 ? format->name_of_8_bits : format->name;
}

void ol_weight_integers(const struct ol_weight *weight, int64_t row, int64_t *values)
{
    const size_t size = ol_dtype_size(weight->dtype);
    assert(ol_weight_is_contiguous(weight) &&
           (weight->dtype == OL_DTYPE_I32 || weight->dtype == OL_DTYPE_I64));
    const char *from = (const char *)weight->data + (size_t)(row * weight->n_cols) * size;
    for (int64_t c = 0; c < weight->n_cols; c++, from += size) {
        int32_t narrow;
        memcpy(&narrow, from, sizeof narrow);
        if (weight->dtype == OL_DTYPE_I32)
            values[c] = narrow;
        else
            memcpy(&values[c], from, sizeof values[c]);
    }
}

void ol_weight_numbers(const struct ol_weight *weight, float *values)
{
    assert(ol_weight_is_contiguous(weight) && weight->n_rows == 1);
    ol_to_f32(weight->dtype, weight->data, values, (size_t)weight->n_cols);
}
