/* Element types of tensors, and conversions between them and float. */
#ifndef OL_DTYPE_H
#define OL_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum ol_dtype {
    OL_DTYPE_F32,
    OL_DTYPE_BF16,
    OL_DTYPE_F16,
    OL_DTYPE_I32,
    OL_DTYPE_I64,
    OL_DTYPE_F64,  /* of sums alone */
    OL_DTYPE_E4M3, /* these two are of scales (narrow.h) */
    OL_DTYPE_E8M0,
};

/* Values that a bf16 can have. */
enum { OL_N_CODES = 65536 };

/* Bytes of one element. */
static inline size_t ol_dtype_size(enum ol_dtype dtype)
{
    return dtype == OL_DTYPE_I64 || dtype == OL_DTYPE_F64     ? 8
           : dtype == OL_DTYPE_F32 || dtype == OL_DTYPE_I32   ? 4
           : dtype == OL_DTYPE_E4M3 || dtype == OL_DTYPE_E8M0 ? 1
                                                              : 2;
}

/* "F32", "BF16", ...: the names that safetensors headers use. */
const char *ol_dtype_name(enum ol_dtype dtype);

static inline float ol_bf16_to_f32(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* Round to nearest, ties to even; NaN stays NaN (quiet, sign kept). */
static inline uint16_t ol_bf16_from_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    uint32_t nan = (bits >> 16) | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

/* Value of float rounded to bf16 and widened again. */
static inline float ol_bf16_round(float value)
{
    return ol_bf16_to_f32(ol_bf16_from_f32(value));
}

float ol_f16_to_f32(uint16_t bits);

/* Round to nearest, ties to even; infinite from 65520 on; NaN stays NaN. */
uint16_t ol_f16_from_f32(float value);

/* Widen n elements of any type but I32 and I64 (any alignment of src) to float. */
void ol_to_f32(enum ol_dtype dtype, const void *src, float *dst, size_t n);

/* Store n floats as F32 or BF16 (rounded to nearest even). */
void ol_from_f32(enum ol_dtype dtype, const float *src, void *dst, size_t n);

#endif
