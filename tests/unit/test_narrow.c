/* Numbers of 4 and 8 bits: every code against tables, the published ones and those that
 * the definition gives in double precision, and rounding against a search of the tables.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "common/narrow.h"

/* (-1)^s 2^(e - bias) (1 + m / 2^bits), and 2^(1 - bias) m / 2^bits where e is 0. */
static double by_definition(int code, int exponent_bits, int mantissa_bits, int bias)
{
    const int mantissa = code & ((1 << mantissa_bits) - 1);
    const int exponent = code >> mantissa_bits & ((1 << exponent_bits) - 1);
    const double part = ldexp(mantissa, -mantissa_bits);
    const double magnitude =
        exponent == 0 ? ldexp(part, 1 - bias) : ldexp(1 + part, exponent - bias);
    return code >> (exponent_bits + mantissa_bits) & 1 ? -magnitude : magnitude;
}

static double e4m3(int code)
{
    return (code & 127) == 127 ? NAN : by_definition(code, 4, 3, 7);
}

static double e5m2(int code)
{
    if ((code & 127) > 124)
        return NAN;
    if ((code & 127) == 124)
        return code & 128 ? -INFINITY : INFINITY;
    return by_definition(code, 5, 2, 15);
}

static const double e2m1[16] = {0,    0.5,  1,  1.5,  2,  3,  4,  6,
                                -0.0, -0.5, -1, -1.5, -2, -3, -4, -6};

static void check(float found, double want, int code)
{
    if (isnan(want) ? !isnan(found)
                    : (double)found != want || !signbit(found) != !signbit(want))
        fail_msg("code %d is %.9g, expected %.9g", code, (double)found, want);
}

static void codes(void **state)
{
    (void)state;
    for (int code = 0; code < 256; code++) {
        check(ol_e4m3_value((uint32_t)code), e4m3(code), code);
        check(ol_e5m2_value((uint32_t)code), e5m2(code), code);
        check(ol_e2m1_value((uint32_t)code), e2m1[code & 15], code);
        check(ol_e8m0_value((uint32_t)code), code == 255 ? NAN : exp2(code - 127), code);
    }
}

/* The rows of the tables of OFP8 1.0 (table 2) and MX 1.0 (tables 5 and 7). */
static void published(void **state)
{
    (void)state;
    check(ol_e4m3_value(0x7e), 448, 0x7e);
    check(ol_e4m3_value(0x08), exp2(-6), 0x08);
    check(ol_e4m3_value(0x07), 0.875 * exp2(-6), 0x07);
    check(ol_e4m3_value(0x01), exp2(-9), 0x01);
    check(ol_e5m2_value(0x7b), 57344, 0x7b);
    check(ol_e5m2_value(0x04), exp2(-14), 0x04);
    check(ol_e5m2_value(0x03), 0.75 * exp2(-14), 0x03);
    check(ol_e5m2_value(0x01), exp2(-16), 0x01);
    check(ol_e5m2_value(0xfc), -INFINITY, 0xfc);
    check(ol_e8m0_value(0xfe), exp2(127), 0xfe);
    check(ol_e8m0_value(0x7f), 1, 0x7f);
    assert_true(ol_e4m3_largest == ol_e4m3_value(0x7e));
    assert_true(ol_e2m1_largest == ol_e2m1_value(7));
}

/* Numbers of rising magnitude: each is itself, the middle between two is the even one,
 * and a little to either side is the nearer one. */
static void rounds(const double *numbers, int n, float (*round)(float))
{
    for (int sign = -1; sign <= 1; sign += 2)
        for (int i = 0; i + 1 < n; i++) {
            const float low = (float)(sign * numbers[i]),
                        high = (float)(sign * numbers[i + 1]);
            const float middle = (low + high) / 2;
            check(round(low), (double)low, i);
            check(round(high), (double)high, i + 1);
            check(round(middle), (double)(i % 2 == 0 ? low : high), i);
            check(round(nextafterf(middle, low)), (double)low, i);
            check(round(nextafterf(middle, high)), (double)high, i);
        }
}

static float e4m3_round(float x)
{
    const float magnitude = ol_e4m3_round(fabsf(x));
    assert_true(ol_e4m3_round(x) == copysignf(magnitude, x));
    return copysignf(magnitude, x);
}

static float e2m1_round(float x)
{
    const float magnitude = ol_e2m1_round(fabsf(x));
    assert_true(ol_e2m1_round(x) == copysignf(magnitude, x));
    return copysignf(magnitude, x);
}

static void nearest(void **state)
{
    (void)state;
    double numbers[127];
    for (int code = 0; code < 127; code++)
        numbers[code] = e4m3(code);
    rounds(numbers, 127, e4m3_round);
    rounds(e2m1, 8, e2m1_round);
    assert_true(ol_e2m1_round(1e30f) == 6 && ol_e2m1_round(-7) == -6);
    for (int code = 1; code < 255; code++) {
        const float power = (float)exp2(code - 127);
        assert_true(ol_e8m0_round_down(power) == power);
        assert_true(ol_e8m0_round_down(1.99f * power) == power);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes),
        cmocka_unit_test(published),
        cmocka_unit_test(nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
