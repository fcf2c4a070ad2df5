/* Rounding to four bits with scales by block: every code of every scale comes back as it
 * is, what lies between goes to the nearest; and rotations that are orthogonal. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/fp4.h"
#include "analyze/rotation.h"
#include "common/narrow.h"
#include "common/round_row.h"

enum { WIDTH = 16, N_CODES = 16 };

static float round_one(enum ol_fp4 format, float largest, float x, float most, int width)
{
    float row[32] = {0}, q[32];
    row[0] = most;
    row[1] = x;
    ol_fp4_round(format, largest, row, width, q);
    return q[1];
}

/* Blocks whose largest value is 6 times a scale of E4M3. Subnormal ones count too. */
static void every_code_of_nvfp4_stays(void **state)
{
    (void)state;
    for (uint32_t scale_code = 1; scale_code < 127; scale_code++)
        for (uint32_t code = 0; code < N_CODES; code++) {
            const float scale = ol_e4m3_value(scale_code),
                        x = ol_e2m1_value(code) * scale;
            assert_true(round_one(OL_FP4_NVFP4, 448 * 6, x, 6 * scale, WIDTH) == x);
        }
}

static void every_code_of_mxfp4_stays(void **state)
{
    (void)state;
    for (int power = -60; power < 60; power++)
        for (uint32_t code = 0; code < N_CODES; code++)
            for (int format = OL_FP4_MXFP4_FLOOR; format <= OL_FP4_MXFP4_EVEN; format++) {
                const float scale = ldexpf(1, power), x = ol_e2m1_value(code) * scale;
                assert_true(round_one((enum ol_fp4)format, 1, x, 6 * scale, 32) == x);
            }
}

/* Between neighbours: to the nearest, ties to the even code. */
static void values_between_go_to_the_nearest(void **state)
{
    (void)state;
    for (uint32_t scale_code = 8; scale_code < 127; scale_code++)
        for (uint32_t code = 0; code < 7; code++) {
            const float scale = ol_e4m3_value(scale_code),
                        low = ol_e2m1_value(code) * scale,
                        high = ol_e2m1_value(code + 1) * scale, middle = (low + high) / 2,
                        step = (high - low) / 64;
            assert_true(
                round_one(OL_FP4_NVFP4, 448 * 6, middle - step, 6 * scale, WIDTH) == low);
            assert_true(round_one(OL_FP4_NVFP4, 448 * 6, middle + step, 6 * scale,
                                  WIDTH) == high);
            assert_true(round_one(OL_FP4_NVFP4, 448 * 6, middle, 6 * scale, WIDTH) ==
                        (code % 2 == 0 ? low : high));
        }
}

/* 5 is halfway between 4 and 6 where 6 is the largest; with 4 as the largest the scale is
 * 1.5 and 5 / 1.5 is near 3, an error of 0.5 instead of 1. 6 and 3 are exact in both. */
static void four_over_six_takes_the_better(void **state)
{
    (void)state;
    const float largest = 256 * 6;
    assert_true(round_one(OL_FP4_FOUR_OVER_SIX, largest, 5, 6, WIDTH) == 4.5F);
    assert_true(round_one(OL_FP4_NVFP4, 448 * 6, 5, 6, WIDTH) == 4);
    assert_true(round_one(OL_FP4_FOUR_OVER_SIX, largest, 0.5F, 6, WIDTH) == 0.5F);
    assert_true(round_one(OL_FP4_FOUR_OVER_SIX, largest, largest, largest, WIDTH) ==
                largest);
}

/* The scale of 7 (1.75 * 4) is 1 by one rule and 2 by the other. */
static void rules_of_mxfp4(void **state)
{
    (void)state;
    assert_true(round_one(OL_FP4_MXFP4_FLOOR, 7, 0.5F, 7, 32) == 0.5F);
    assert_true(round_one(OL_FP4_MXFP4_EVEN, 7, 0.5F, 7, 32) == 0);
    assert_true(round_one(OL_FP4_MXFP4_EVEN, 7, 0.5F, 6.9375F, 32) == 0.5F);
}

static void zeros_stay(void **state)
{
    (void)state;
    for (int format = 0; format < OL_N_FP4; format++) {
        assert_true(round_one((enum ol_fp4)format, 0, 0, 0, WIDTH) == 0);
        assert_true(round_one((enum ol_fp4)format, 1, 0, 0, WIDTH) == 0);
    }
}

/* ---- rows, by scales of their own ---- */

static float round_beside(enum ol_row_format format, float x, float most)
{
    float row[40] = {0}, q[40], scratch[40];
    row[0] = most;
    row[33] = x; /* in a block of its own, but for formats with one scale */
    row[1] = x;
    ol_round_row(format, row, 40, scratch, q);
    assert_true(q[2] == 0);
    return q[1];
}

/* Codes of a row whose largest value is the format's, of any size of values. */
static void codes_of_rows_stay(void **state)
{
    (void)state;
    for (int power = -130; power <= 110; power += 24) {
        const float scale = ldexpf(1, power);
        for (int code = -127; code <= 127; code++) {
            const float x = (float)code * scale;
            assert_true(round_beside(OL_ROW_INT8, x, 127 * scale) == x);
        }
        for (uint32_t code = 0; code < 256; code++) {
            const float x = ol_e4m3_value(code) * scale;
            if (isnan(x) || (power < -117 && fabsf(x) < 0x1p-126F))
                continue;
            assert_true(round_beside(OL_ROW_FP8, x, 448 * scale) == x);
            assert_true(round_beside(OL_ROW_MXFP8, x, 256 * scale) == x);
        }
    }
}

/* 511 is of the power of two of 256: it has the same scale, and becomes the largest. The
 * second block has a scale of its own. */
static void mxfp8_has_a_scale_for_each_block(void **state)
{
    (void)state;
    float row[40] = {0}, q[40], scratch[40];
    row[0] = 511;
    row[1] = -1.0625F * 0x1p-9F; /* half of the smallest number, and a little more */
    row[2] = 0x1p-10F;           /* exactly half */
    row[33] = 0x1p-10F;
    ol_round_row(OL_ROW_MXFP8, row, 40, scratch, q);
    assert_true(q[0] == 448 && q[1] == -0x1p-9F && q[2] == 0 && q[33] == 0x1p-10F);
}

static void rows_that_are_not_finite_stay(void **state)
{
    (void)state;
    static const float odd[] = {INFINITY, -INFINITY, NAN, 0};
    float q[4], scratch[4];
    for (int format = 0; format < OL_N_ROW_FORMATS; format++) {
        assert_true(ol_row_format_name((enum ol_row_format)format)[0] != 0);
        for (int i = 0; i < 4; i++) {
            const float row[4] = {odd[i], 0, i < 3 ? 1.3F : 0, 0};
            ol_round_row((enum ol_row_format)format, row, 4, scratch, q);
            assert_memory_equal(q, row, sizeof q);
        }
    }
}

/* Rows of the identity become the rotation's columns: orthonormal ones. */
static void rotations_are_orthogonal(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 2, 3, 9, 16, 20, 45, 48, 130, 144, 333};
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++)
        for (int rotation = 0; rotation < OL_N_ROTATIONS; rotation++) {
            const int64_t n = widths[w];
            struct ol_rotor *r = ol_rotor_new(n);
            float *m = calloc((size_t)(n * n), sizeof *m),
                  *scratch = calloc((size_t)n, sizeof *scratch);
            for (int64_t i = 0; i < n; i++) {
                m[i * n + i] = 1;
                ol_rotate(r, (enum ol_rotation)rotation, m + i * n, scratch);
            }
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j <= i; j++) {
                    double dot = 0;
                    for (int64_t k = 0; k < n; k++)
                        dot += (double)m[i * n + k] * (double)m[j * n + k];
                    assert_true(fabs(dot - (i == j)) < 1e-5);
                }
            free(scratch);
            free(m);
            ol_rotor_free(r);
        }
}

/* One value alone is spread over its block, and over nothing else: 1 / 4 of 16. */
static void blocks_spread_a_value_evenly(void **state)
{
    (void)state;
    float x[40] = {0}, scratch[40];
    struct ol_rotor *r = ol_rotor_new(40);
    x[19] = 8;
    ol_rotate(r, OL_ROTATION_16, x, scratch);
    for (int c = 0; c < 40; c++)
        assert_true(fabsf(x[c]) == (c >= 16 && c < 32 ? 2 : 0));
    memset(x, 0, sizeof x);
    x[39] = 8; /* the 8 columns that are left */
    ol_rotate(r, OL_ROTATION_128, x, scratch);
    for (int c = 0; c < 40; c++)
        assert_true(fabs((double)fabsf(x[c]) - (c >= 32 ? 8 / sqrt(8) : 0)) < 1e-6);
    ol_rotor_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_of_nvfp4_stays),
        cmocka_unit_test(every_code_of_mxfp4_stays),
        cmocka_unit_test(values_between_go_to_the_nearest),
        cmocka_unit_test(four_over_six_takes_the_better),
        cmocka_unit_test(rules_of_mxfp4),
        cmocka_unit_test(zeros_stay),
        cmocka_unit_test(codes_of_rows_stay),
        cmocka_unit_test(mxfp8_has_a_scale_for_each_block),
        cmocka_unit_test(rows_that_are_not_finite_stay),
        cmocka_unit_test(rotations_are_orthogonal),
        cmocka_unit_test(blocks_spread_a_value_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
