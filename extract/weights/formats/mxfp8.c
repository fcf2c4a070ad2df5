/* MXFP8: E4M3 codes (e4m3.h) in groups of 32 inputs with a power of two, E8M0 (OCP
 * MX 1.0):
 *
 *     value = code * 2^(scale - 127)
 *
 * X.weight F8_E4M3 [out, in]; X.weight_scale (quant_method "mxfp8": X.weight_scale_inv)
 * U8 or F8_E8M0 [out, in / 32]. */
#include "extract/weights/formats/e4m3.h"

enum { GROUP = 32 };

static int find(const struct ol_format_search *s, struct ol_weight *weight)
{
    const struct ol_quantization_spec *q = &s->want->spec->quantization;
    const struct ol_e4m3_scales kind = {
        .block_rows = q->block_rows > 0 ? q->block_rows : 1,
        .block_cols = q->block_cols > 0 ? q->block_cols : GROUP,
        .bytes_are_exponents = true,
        .only_exponents = true,
    };
    /* modelopt's other formats of E4M3 have other scales. */
    const struct ol_stored_tensor *scales = ol_e4m3_find_scales(s, &kind);
    if (q->method == OL_QUANTIZATION_MODELOPT &&
        (scales == NULL ||
         (!ol_format_is_type(scales, "U8") && !ol_format_is_type(scales, "F8_E8M0"))))
        return 0;
    const int found = ol_e4m3_find(s, &kind, weight);
    if (found > 0)
        weight->encoding = OL_ENCODING_MXFP8;
    return found;
}

static int64_t bytes(const struct ol_quantization_spec *q, int64_t n_rows, int64_t n_cols)
{
    const int64_t rows = q->block_rows > 0 ? q->block_rows : 1,
                  cols = q->block_cols > 0 ? q->block_cols : GROUP;
    return n_rows * n_cols + ol_ceil_div(n_rows, rows) * ol_ceil_div(n_cols, cols);
}

static const struct ol_format_label labels[] = {
    {.method = OL_QUANTIZATION_MXFP8},
    {.method = OL_QUANTIZATION_COMPRESSED,
     .form = "mxfp8-quantized",
     .bits = 8,
     .type = "float",
     .scales = OL_SCALES_GROUP},
    {.method = OL_QUANTIZATION_MODELOPT, .form = "MXFP8", .scales = OL_SCALES_GROUP},
    {.method = OL_QUANTIZATION_NONE},
};

const struct ol_weight_format ol_weight_format_mxfp8 = {
    .name = "MXFP8",
    .labels = labels,
    .find = find,
    .bytes = bytes,
    .decoder = {.rows = ol_e4m3_rows, .rows_bf16 = ol_e4m3_rows_bf16, .cut = ol_e4m3_cut},
};
