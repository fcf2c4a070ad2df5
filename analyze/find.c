/* Magnitudes of floating-point numbers are ordered as their bits are ordered as integers,
 * so a row is passed with one maximum of integers, and one that reaches the threshold
 * with masks; only values in a mask are looked at one by one. */
#include "analyze/find.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/crc32_fold.h"
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

static void make_room(struct ol_found *found, size_t n)
{
    if (n <= found->room)
        return;
    found->room = 2 * n + 4096;
    found->occurrences =
        ol_xrealloc_array(found->occurrences, found->room, sizeof *found->occurrences);
}

static void add(struct ol_found *found, uint32_t row, uint32_t feature, float value)
{
    make_room(found, found->n + 1);
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

/* Bytes ahead that are asked for from memory: the processor by itself looks no further
 * than a quarter of that. */
enum { AHEAD = 4096 };

static inline void ask_for_stretch(const uint16_t *x)
{
    enum { LINE = 64 };
    for (size_t at = AHEAD; at < AHEAD + STRETCH * sizeof *x; at += LINE)
        __builtin_prefetch((const void *)((uintptr_t)x + at));
}

/* The largest magnitude of a row, whose first c values were looked at. */
static inline uint32_t end_of_row(const uint16_t *x, uint32_t row, uint32_t width,
                                  uint32_t c, uint32_t least,
                                  const struct ol_maxima *maxima, struct ol_found *found)
{
    take_bf16(found, ol_reaching_bf16(x + c, width - c, least), row, c, x + c);
    const uint32_t most = ol_maximum_of(maxima), rest = max_bf16(x + c, width - c),
                   max = rest > most ? rest : most;
    return (max > OL_BF16_INFINITY ? max_bf16_without_nan(x, width) : max) << 16;
}

/* The largest magnitude of a row, whose occurrences are added. */
static uint32_t find_bf16(const uint16_t *x, uint32_t row, uint32_t width, uint32_t least,
                          struct ol_found *found)
{
    struct ol_maxima maxima = {0};
    uint32_t c = 0;
    for (; c + STRETCH <= width; c += STRETCH) {
        ask_for_stretch(x + c);
        if (ol_any_reaching_bf16(x + c, least, &maxima))
            take_bf16(found, ol_reaching_bf16(x + c, STRETCH, least), row, c, x + c);
    }
    return end_of_row(x, row, width, c, least, &maxima, found);
}

#if defined(OL_CRC32_FOLDS)

_Static_assert(OL_CRC32_STEP == STRETCH * sizeof(uint16_t), "one step per stretch");

static bool folds(const struct ol_searched *in)
{
    return in->dtype == OL_DTYPE_BF16 && in->width % STRETCH == 0;
}

/* The same with the checksum of the row, of whole stretches. */
static uint32_t find_and_sum_bf16(const uint16_t *x, uint32_t row, uint32_t width,
                                  uint32_t least, struct ol_crc32_run *sum,
                                  struct ol_found *found)
{
    struct ol_crc32_lanes lanes = ol_crc32_lanes_of(sum);
    struct ol_maxima maxima = {0};
    for (uint32_t c = 0; c < width; c += STRETCH) {
        ask_for_stretch(x + c);
        ol_crc32_step(&lanes, x + c);
        if (ol_any_reaching_bf16(x + c, least, &maxima))
            take_bf16(found, ol_reaching_bf16(x + c, STRETCH, least), row, c, x + c);
    }
    ol_crc32_keep_lanes(&lanes, sum);
    return end_of_row(x, row, width, width, least, &maxima, found);
}

#else

static bool folds(const struct ol_searched *in)
{
    (void)in;
    return false;
}

static uint32_t find_and_sum_bf16(const uint16_t *x, uint32_t row, uint32_t width,
                                  uint32_t least, struct ol_crc32_run *sum,
                                  struct ol_found *found)
{
    ol_crc32_go_on(sum, x, width * sizeof *x);
    return find_bf16(x, row, width, least, found);
}

#endif

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

static uint32_t find_row(const struct ol_searched *in, uint32_t i, uint32_t least,
                         struct ol_crc32_run *sum, struct ol_found *found)
{
    const size_t at = (size_t)i * in->width;
    if (in->dtype == OL_DTYPE_F32)
        return find_f32((const uint32_t *)in->rows + at, in->first_row + i, in->width,
                        least, found);
    const uint16_t *x = (const uint16_t *)in->rows + at;
    return sum != NULL
               ? find_and_sum_bf16(x, in->first_row + i, in->width, least, sum, found)
               : find_bf16(x, in->first_row + i, in->width, least, found);
}

void ol_find(const struct ol_searched *in, double threshold, struct ol_crc32_run *sum,
             struct ol_found *found)
{
    const uint32_t least =
        in->dtype == OL_DTYPE_BF16 ? ol_least_bf16(threshold) : ol_least_f32(threshold);
    uint32_t max = 0;
    found->n = 0;
    found->n_nan = found->n_inf = 0;
    if (in->n_rows > found->rows_room) {
        found->rows_room = in->n_rows;
        found->row_maxima = ol_xrealloc_array(found->row_maxima, found->rows_room,
                                              sizeof *found->row_maxima);
    }
    if (sum != NULL && !folds(in)) {
        ol_crc32_go_on(sum, in->rows,
                       (size_t)in->n_rows * in->width * ol_dtype_size(in->dtype));
        sum = NULL;
    }
    for (uint32_t i = 0; i < in->n_rows; i++) {
        const uint32_t here = find_row(in, i, least, sum, found);
        found->row_maxima[i] = here;
        max = here > max ? here : max;
    }
    found->max_magnitude = value_of(max);
}

void ol_find_among(const struct ol_found *more, double threshold, struct ol_found *found)
{
    const uint32_t least = ol_least_f32(threshold);
    make_room(found, more->n + 1);
    found->n = 0;
    for (size_t i = 0; i < more->n; i++) {
        uint32_t bits;
        memcpy(&bits, &more->occurrences[i].value, sizeof bits);
        found->occurrences[found->n] = more->occurrences[i];
        found->n += (bits & OL_F32_MAGNITUDE) >= least;
    }
    found->max_magnitude = more->max_magnitude;
    found->n_nan = more->n_nan;
    found->n_inf = more->n_inf;
}

void ol_found_clear(struct ol_found *found)
{
    free(found->occurrences);
    free(found->row_maxima);
    *found = (struct ol_found){0};
}
