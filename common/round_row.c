#include "common/round_row.h"

#include <math.h>
#include <string.h>

#include "common/fp4.h"

static const float int8_largest = OL_INT8_DIVISOR;

const char *ol_row_format_name(enum ol_row_format format)
{
    static const char *const names[OL_N_ROW_FORMATS] = {
        [OL_ROW_PLAIN] = "none",
        [OL_ROW_INT8] = "int8_token",
        [OL_ROW_FP8] = "fp8_e4m3_token",
        [OL_ROW_MXFP8] = "mxfp8",
    };
    switch (format) {
    case OL_ROW_NVFP4:
        return ol_fp4_name(OL_FP4_NVFP4);
    case OL_ROW_FOUR_OVER_SIX:
        return ol_fp4_name(OL_FP4_FOUR_OVER_SIX);
    case OL_ROW_MXFP4_FLOOR:
        return ol_fp4_name(OL_FP4_MXFP4_FLOOR);
    case OL_ROW_MXFP4_EVEN:
        return ol_fp4_name(OL_FP4_MXFP4_EVEN);
    case OL_ROW_PLAIN:
    case OL_ROW_INT8:
    case OL_ROW_FP8:
    case OL_ROW_MXFP8:
    case OL_N_ROW_FORMATS:
        break;
    }
    return names[format];
}

void ol_round_int8(const float *restrict x, int64_t n, float scale, float *restrict q)
{
    const float inverse = ol_inverse_scale(scale);
    for (int64_t i = 0; i < n; i++)
        q[i] = ol_round_whole(x[i] * inverse) * scale;
}

void ol_round_fp8(const float *restrict x, int64_t n, float scale, float *restrict q)
{
    const float inverse = ol_inverse_scale(scale);
    for (int64_t i = 0; i < n; i++)
        q[i] = ol_e4m3_round(x[i] * inverse) * scale;
}

/* Whole blocks are of a length that the compiler knows. */
static void round_mxfp8(const float *restrict x, int64_t n, float *restrict q)
{
    int64_t i = 0;
    for (; i + OL_MXFP8_BLOCK <= n; i += OL_MXFP8_BLOCK)
        ol_mxfp8_block(x + i, OL_MXFP8_BLOCK, q + i);
    if (i < n)
        ol_mxfp8_block(x + i, n - i, q + i);
}

static void round_as(enum ol_row_format format, float most, const float *x, int64_t n,
                     float *q)
{
    switch (format) {
    case OL_ROW_INT8:
        ol_round_int8(x, n, most / int8_largest, q);
        return;
    case OL_ROW_FP8:
        ol_round_fp8(x, n, most / ol_e4m3_largest, q);
        return;
    case OL_ROW_MXFP8:
        round_mxfp8(x, n, q);
        return;
    case OL_ROW_NVFP4:
        ol_fp4_round(OL_FP4_NVFP4, most, x, n, q);
        return;
    case OL_ROW_FOUR_OVER_SIX:
        ol_fp4_round(OL_FP4_FOUR_OVER_SIX, most, x, n, q);
        return;
    case OL_ROW_MXFP4_FLOOR:
        ol_fp4_round(OL_FP4_MXFP4_FLOOR, most, x, n, q);
        return;
    case OL_ROW_MXFP4_EVEN:
        ol_fp4_round(OL_FP4_MXFP4_EVEN, most, x, n, q);
        return;
    case OL_ROW_PLAIN:
    case OL_N_ROW_FORMATS:
        memcpy(q, x, (size_t)n * sizeof *q);
        return;
    }
}

/* The factors are powers of two: exact. */
void ol_round_row(enum ol_row_format format, const float *x, int64_t n, float *scratch,
                  float *q)
{
    const float most = ol_largest_magnitude(x, n), factor = ol_factor_for(most),
                back = 1 / factor;
    if (format == OL_ROW_PLAIN || !isfinite(most) || most == 0) {
        memcpy(q, x, (size_t)n * sizeof *q);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        scratch[i] = x[i] * factor;
    round_as(format, most * factor, scratch, n, q);
    for (int64_t i = 0; i < n; i++)
        q[i] *= back;
}
