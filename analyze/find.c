/* Magnitudes of floating-point numbers are ordered as their bits are ordered as integers,
 * so a row is passed with one maximum of integers, and one that reaches the threshold
 * with masks; only values in a mask are looked at one by one. */
#include "analyze/find.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/error.h"
#include "common/magnitude.h"

enum { STRETCH = OL_STRETCH };

static uint32_t max_bf16(const uint16_t *x, uint32_t n)
{
    uint16_t max = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint16_t bits = x[i] & OL_BF16_MAGNITUDE;
        max = bits > max ? bits : max;
    }
    return max;
}

static uint32_t max_f32(const uint32_t *x, uint32_t n)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = x[i] & OL_F32_MAGNITUDE;
        max = bits > max ? bits : max;
    }
    return max;
}

static float value_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void add(struct ol_found *found, uint32_t row, uint32_t feature, float value)
{
    if (found->n == found->room) {
        found->room = 2 * found->room + 4096;
        found->occurrences = ol_xrealloc_array(found->occurrences, found->room,
                                               sizeof *found->occurrences);
    }
    found->occurrences[found->n++] = (struct ol_occurrence){row, feature, value};
}

/* A value that reaches the threshold, as the bits of a float. */
static inline void take(struct ol_found *found, uint32_t row, uint32_t feature,
                        uint32_t bits)
{
    if ((bits & OL_F32_MAGNITUDE) > OL_F32_INFINITY) {
        found->n_nan++;
        return;
    }
    found->n_inf += (bits & OL_F32_MAGNITUDE) == OL_F32_INFINITY;
    add(found, row, feature, value_of(bits));
}

/* The maximum of a row that holds a NaN, without it. */
static uint32_t max_bf16_without_nan(const uint16_t *x, uint32_t n)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = x[i] & OL_BF16_MAGNITUDE;
        max = bits <= OL_BF16_INFINITY && bits > max ? bits : max;
    }
    return max;
}

static uint32_t max_f32_without_nan(const uint32_t *x, uint32_t n)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = x[i] & OL_F32_MAGNITUDE;
        max = bits <= OL_F32_INFINITY && bits > max ? bits : max;
    }
    return max;
}

/* The values of a mask. */
static void take_bf16(struct ol_found *found, uint64_t mask, uint32_t row, uint32_t first,
                      const uint16_t *x)
{
    for (; mask != 0; mask &= mask - 1) {
        const uint32_t i = (uint32_t)__builtin_ctzll(mask);
        take(found, row, first + i, (uint32_t)x[i] << 16);
    }
}

static void take_f32(struct ol_found *found, uint64_t mask, uint32_t row, uint32_t first,
                     const uint32_t *x)
{
    for (; mask != 0; mask &= mask - 1) {
        const uint32_t i = (uint32_t)__builtin_ctzll(mask);
        take(found, row, first + i, x[i]);
    }
}

/* The largest magnitude of a row, whose occurrences are added. */
static uint32_t find_bf16(const uint16_t *x, uint32_t row, uint32_t width, uint32_t least,
                          struct ol_found *found)
{
    struct ol_maxima maxima = {0};
    uint32_t c = 0;
    for (; c + STRETCH <= width; c += STRETCH)
        if (ol_any_reaching_bf16(x + c, least, &maxima))
            take_bf16(found, ol_reaching_bf16(x + c, STRETCH, least), row, c, x + c);
    take_bf16(found, ol_reaching_bf16(x + c, width - c, least), row, c, x + c);
    const uint32_t most = ol_maximum_of(&maxima), rest = max_bf16(x + c, width - c),
                   max = rest > most ? rest : most;
    return (max > OL_BF16_INFINITY ? max_bf16_without_nan(x, width) : max) << 16;
}

static uint32_t find_f32(const uint32_t *x, uint32_t row, uint32_t width, uint32_t least,
                         struct ol_found *found)
{
    const uint32_t max = max_f32(x, width);
    for (uint32_t c = 0; max >= least && c < width; c += STRETCH) {
        const uint32_t n = width - c < STRETCH ? width - c : STRETCH;
        take_f32(found, ol_reaching_f32(x + c, n, least), row, c, x + c);
    }
    return max > OL_F32_INFINITY ? max_f32_without_nan(x, width) : max;
}

void ol_find(enum ol_dtype dtype, const void *rows, uint32_t first_row, uint32_t n_rows,
             uint32_t width, double threshold, struct ol_found *found)
{
    const bool bf16 = dtype == OL_DTYPE_BF16;
    const uint32_t least = bf16 ? ol_least_bf16(threshold) : ol_least_f32(threshold);
    uint32_t max = 0;
    found->n = 0;
    found->n_nan = found->n_inf = 0;
    for (uint32_t i = 0; i < n_rows; i++) {
        const size_t at = (size_t)i * width;
        const uint32_t here = bf16 ? find_bf16((const uint16_t *)rows + at, first_row + i,
                                               width, least, found)
                                   : find_f32((const uint32_t *)rows + at, first_row + i,
                                              width, least, found);
        max = here > max ? here : max;
    }
    found->max_magnitude = value_of(max);
}

void ol_found_clear(struct ol_found *found)
{
    free(found->occurrences);
    *found = (struct ol_found){0};
}
