/* Magnitudes of floating-point numbers are ordered as their bits are ordered as integers,
 * so a stretch of values is passed with one maximum of integers; only a stretch that
 * reaches the threshold is looked at value by value. */
#include "analyze/find.h"

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

/* The values of a stretch that reach the threshold, one by one. */
static void look(struct ol_found *found, uint64_t mask, uint32_t row, uint32_t feature,
                 const uint32_t *x)
{
    for (; mask != 0; mask &= mask - 1) {
        const uint32_t i = (uint32_t)__builtin_ctzll(mask);
        const uint32_t bits = x[i];
        if ((bits & OL_F32_MAGNITUDE) > OL_F32_INFINITY) {
            found->n_nan++;
            continue;
        }
        found->n_inf += (bits & OL_F32_MAGNITUDE) == OL_F32_INFINITY;
        add(found, row, feature + i, value_of(bits));
    }
}

/* The maximum of a stretch that holds a NaN, without it. */
static uint32_t max_without_nan(const uint32_t *x, uint32_t n)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = x[i] & OL_F32_MAGNITUDE;
        max = bits <= OL_F32_INFINITY && bits > max ? bits : max;
    }
    return max;
}

static void widen(const uint16_t *x, uint32_t n, uint32_t wide[STRETCH])
{
    for (uint32_t i = 0; i < n; i++)
        wide[i] = (uint32_t)x[i] << 16;
}

static uint32_t find_bf16(const uint16_t *x, uint32_t n_rows, uint32_t width,
                          double threshold, struct ol_found *found)
{
    const uint32_t least = ol_least_bf16(threshold);
    uint16_t *stretch = found->stretches;
    uint32_t max = 0;
    for (uint32_t row = 0; row < n_rows; row++, x += width)
        for (uint32_t c = 0; c < width; c += STRETCH) {
            const uint32_t n = width - c < STRETCH ? width - c : STRETCH;
            uint32_t here = n == STRETCH ? max_bf16(x + c, STRETCH) : max_bf16(x + c, n);
            *stretch++ = (uint16_t)here;
            if (here >= least) {
                uint32_t wide[STRETCH];
                widen(x + c, n, wide);
                look(found, ol_reaching_bf16(x + c, n, least), row, c, wide);
                if (here > OL_BF16_INFINITY)
                    here = max_without_nan(wide, n) >> 16;
            }
            max = here > max ? here : max;
        }
    return max << 16;
}

static uint32_t find_f32(const uint32_t *x, uint32_t n_rows, uint32_t width,
                         double threshold, struct ol_found *found)
{
    const uint32_t least = ol_least_f32(threshold);
    uint16_t *stretch = found->stretches;
    uint32_t max = 0;
    for (uint32_t row = 0; row < n_rows; row++, x += width)
        for (uint32_t c = 0; c < width; c += STRETCH) {
            const uint32_t n = width - c < STRETCH ? width - c : STRETCH;
            uint32_t here = n == STRETCH ? max_f32(x + c, STRETCH) : max_f32(x + c, n);
            *stretch++ = (uint16_t)(here >> 16);
            if (here >= least)
                look(found, ol_reaching_f32(x + c, n, least), row, c, x + c);
            if (here > OL_F32_INFINITY)
                here = max_without_nan(x + c, n);
            max = here > max ? here : max;
        }
    return max;
}

void ol_find(enum ol_dtype dtype, const void *rows, uint32_t n_rows, uint32_t width,
             double threshold, struct ol_found *found)
{
    found->n = 0;
    found->n_nan = found->n_inf = 0;
    found->n_stretches = (width + STRETCH - 1) / STRETCH;
    if (n_rows * found->n_stretches > found->stretch_room) {
        found->stretch_room = n_rows * found->n_stretches;
        found->stretches = ol_xrealloc_array(found->stretches, found->stretch_room,
                                             sizeof *found->stretches);
    }
    found->max_magnitude = value_of(
        dtype == OL_DTYPE_BF16 ? find_bf16(rows, n_rows, width, threshold, found)
                               : find_f32(rows, n_rows, width, threshold, found));
}

void ol_found_clear(struct ol_found *found)
{
    free(found->stretches);
    free(found->occurrences);
    *found = (struct ol_found){0};
}
