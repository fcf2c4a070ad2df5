/* E4M3 codes (e4m3.h) with a scale for a block, a row or all: DeepSeek-V3's "fp8", whose
 * scales may be exponents (scale_fmt "ue8m0"), compressed-tensors and modelopt. */
#include "extract/weights/formats/e4m3.h"

static int find(const struct ol_format_search *s, struct ol_weight *weight)
{
    const struct ol_quantization_spec *q = &s->want->spec->quantization;
    const struct ol_e4m3_scales kind = {
        .block_rows = q->block_rows,
        .block_cols = q->block_cols,
        .only_inv = q->method == OL_QUANTIZATION_FP8 && q->block_rows > 0,
        .bytes_are_exponents = q->exponents,
    };
    return ol_e4m3_find(s, &kind, weight);
}

/* compressed-tensors keeps scales in the model's own type; others in float, at times also
 * where scale_fmt is "ue8m0". */
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

static const struct ol_format_label labels[] = {
    {.method = OL_QUANTIZATION_FP8},
    {.method = OL_QUANTIZATION_COMPRESSED,
     .form = "float-quantized",
     .bits = 8,
     .type = "float",
     .scales = OL_SCALES_TENSOR | OL_SCALES_CHANNEL | OL_SCALES_BLOCK},
    {.method = OL_QUANTIZATION_COMPRESSED,
     .form = "naive-quantized",
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
    .decoder = {.rows = ol_e4m3_rows, .rows_bf16 = ol_e4m3_rows_bf16, .cut = ol_e4m3_cut},
};
