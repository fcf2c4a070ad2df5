#include "common/fp4.h"

#include <stdbool.h>
#include <string.h>

#include "common/round_block.h"

const char *ol_fp4_name(enum ol_fp4 format)
{
    static const char *const names[OL_N_FP4] = {
        [OL_FP4_NVFP4] = "nvfp4",
        [OL_FP4_FOUR_OVER_SIX] = "nvfp4 (four over six)",
        [OL_FP4_MXFP4_FLOOR] = "mxfp4 (floor)",
        [OL_FP4_MXFP4_EVEN] = "mxfp4 (even)",
    };
    return names[format];
}

/* ---- MXFP4 ---- */

/* Whole blocks are of a length that the compiler knows: no loops over the rest of one. */
static void to_mxfp4(const float *restrict x, int64_t n, bool even, float *restrict q)
{
    int64_t i = 0;
    for (; i + OL_MXFP4_BLOCK <= n; i += OL_MXFP4_BLOCK)
        ol_mxfp4_block(x + i, OL_MXFP4_BLOCK, even, q + i);
    if (i < n)
        ol_mxfp4_block(x + i, n - i, even, q + i);
}

/* ---- NVFP4 ---- */

/* As many blocks as lie in n <= NVFP4_RUN values: first what is the largest of each, and
 * their scales, side by side. */
enum { NVFP4_RUN = 64 * OL_NVFP4_BLOCK };
static void find_largest(const float *restrict x, int64_t n, float *restrict largest)
{
    const int64_t whole = n / OL_NVFP4_BLOCK, left = n % OL_NVFP4_BLOCK;
    for (int64_t i = 0; i < whole; i++)
        largest[i] = ol_largest_magnitude(x + i * OL_NVFP4_BLOCK, OL_NVFP4_BLOCK);
    if (left > 0)
        largest[whole] = ol_largest_magnitude(x + whole * OL_NVFP4_BLOCK, left);
}

static void find_scales(const float *restrict largest, int64_t n, float most, float over,
                        float *restrict scales)
{
    for (int64_t i = 0; i < (n + OL_NVFP4_BLOCK - 1) / OL_NVFP4_BLOCK; i++)
        scales[i] = ol_nvfp4_scale(largest[i], most, over);
}

static void nvfp4_run(const float *restrict x, int64_t n, float over, float *restrict q)
{
    float largest[NVFP4_RUN / OL_NVFP4_BLOCK], scales[NVFP4_RUN / OL_NVFP4_BLOCK];
    const int64_t whole = n / OL_NVFP4_BLOCK, left = n % OL_NVFP4_BLOCK;
    find_largest(x, n, largest);
    find_scales(largest, n, ol_e2m1_largest, over, scales);
    for (int64_t i = 0; i < whole; i++)
        ol_nvfp4_block(x + i * OL_NVFP4_BLOCK, OL_NVFP4_BLOCK, scales[i],
                       q + i * OL_NVFP4_BLOCK);
    if (left > 0)
        ol_nvfp4_block(x + whole * OL_NVFP4_BLOCK, left, scales[whole],
                       q + whole * OL_NVFP4_BLOCK);
}

/* ---- four over six ---- */

static void four_over_six_run(const float *restrict x, int64_t n, float over,
                              float *restrict q)
{
    float largest[NVFP4_RUN / OL_NVFP4_BLOCK], sixes[NVFP4_RUN / OL_NVFP4_BLOCK],
        fours[NVFP4_RUN / OL_NVFP4_BLOCK];
    const int64_t whole = n / OL_NVFP4_BLOCK, left = n % OL_NVFP4_BLOCK;
    find_largest(x, n, largest);
    find_scales(largest, n, ol_e2m1_largest, over, sixes);
    find_scales(largest, n, ol_smaller_largest, over, fours);
    for (int64_t i = 0; i < whole; i++)
        ol_four_over_six_block(x + i * OL_NVFP4_BLOCK, OL_NVFP4_BLOCK, sixes[i], fours[i],
                               q + i * OL_NVFP4_BLOCK);
    if (left > 0)
        ol_four_over_six_block(x + whole * OL_NVFP4_BLOCK, left, sixes[whole],
                               fours[whole], q + whole * OL_NVFP4_BLOCK);
}

static void by_runs(void (*run)(const float *x, int64_t n, float over, float *q),
                    const float *x, int64_t n, float over, float *q)
{
    for (int64_t i = 0; i < n; i += NVFP4_RUN)
        run(x + i, n - i < NVFP4_RUN ? n - i : NVFP4_RUN, over, q + i);
}

void ol_fp4_round(enum ol_fp4 format, float largest, const float *x, int64_t n, float *q)
{
    if (largest == 0) {
        memset(q, 0, (size_t)n * sizeof *q);
        return;
    }
    switch (format) {
    case OL_FP4_NVFP4:
        by_runs(nvfp4_run, x, n, ol_nvfp4_over(largest), q);
        return;
    case OL_FP4_FOUR_OVER_SIX:
        by_runs(four_over_six_run, x, n, ol_four_over_six_over(largest), q);
        return;
    case OL_FP4_MXFP4_FLOOR:
        to_mxfp4(x, n, false, q);
        return;
    case OL_FP4_MXFP4_EVEN:
        to_mxfp4(x, n, true, q);
        return;
    case OL_N_FP4:
        return;
    }
}
