#include "common/dtype.h"

#include <assert.h>
#include <stdbool.h>

#include "common/narrow.h"

const char *ol_dtype_name(enum ol_dtype dtype)
{
    static const char *const names[] = {
        [OL_DTYPE_F32] = "F32",      [OL_DTYPE_BF16] = "BF16",    [OL_DTYPE_F16] = "F16",
        [OL_DTYPE_I32] = "I32",      [OL_DTYPE_I64] = "I64",      [OL_DTYPE_F64] = "F64",
        [OL_DTYPE_E4M3] = "F8_E4M3", [OL_DTYPE_E8M0] = "F8_E8M0",
    };
    return names[dtype];
}

float ol_f16_to_f32(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fu;
    const uint32_t mantissa = half & 0x3ffu;
    if (exponent == 0) {
        /* Zero or subnormal: mantissa * 2^-24 is exact in float. */
        const float value = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    const uint32_t wide = exponent == 0x1f ? 0x7f800000u | mantissa << 13
                                           : (exponent + 112) << 23 | mantissa << 13;
    const uint32_t bits = sign | wide;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t ol_f16_from_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {
        /* Subnormal or zero: adding 2^-1 leaves the multiple of 2^-24 in the last bits.
         */
        float wide;
        memcpy(&wide, &magnitude, sizeof wide);
        wide += 0.5f;
        memcpy(&bits, &wide, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3f000000u));
    }
    const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

/* Elements are loaded with memcpy: tensors in a safetensors file need not be aligned. */
static uint16_t load16(const unsigned char *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

void ol_to_f32(enum ol_dtype dtype, const void *src, float *dst, size_t n)
{
    const unsigned char *bytes = src;
    switch (dtype) {
    case OL_DTYPE_F32:
        memcpy(dst, src, n * sizeof *dst);
        return;
    case OL_DTYPE_BF16:
        for (size_t i = 0; i < n; i++)
            dst[i] = ol_bf16_to_f32(load16(bytes + 2 * i));
        return;
    case OL_DTYPE_F16:
        for (size_t i = 0; i < n; i++)
            dst[i] = ol_f16_to_f32(load16(bytes + 2 * i));
        return;
    case OL_DTYPE_E4M3:
        for (size_t i = 0; i < n; i++)
            dst[i] = ol_e4m3_value(bytes[i]);
        return;
    case OL_DTYPE_E8M0:
        for (size_t i = 0; i < n; i++)
            dst[i] = ol_e8m0_value(bytes[i]);
        return;
    case OL_DTYPE_I32:
    case OL_DTYPE_I64:
    case OL_DTYPE_F64:
        break;
    }
    assert(false && "no conversion from this type");
}

void ol_from_f32(enum ol_dtype dtype, const float *src, void *dst, size_t n)
{
    if (dtype == OL_DTYPE_F32) {
        memcpy(dst, src, n * sizeof *src);
        return;
    }
    assert(dtype == OL_DTYPE_BF16);
    uint16_t *bits = dst;
    for (size_t i = 0; i < n; i++)
        bits[i] = ol_bf16_from_f32(src[i]);
}
