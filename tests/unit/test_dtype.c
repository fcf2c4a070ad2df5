/* Conversions against independent rules: every 16-bit code, and rounding by
 * nearest-neighbour search. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "common/dtype.h"

static void bf16_codes_survive_a_round_trip(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x10000; code++) {
        const float value = ol_bf16_to_f32((uint16_t)code);
        if (isnan(value))
            assert_true(isnan(ol_bf16_to_f32(ol_bf16_from_f32(value))));
        else
            assert_int_equal(ol_bf16_from_f32(value), code);
    }
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x7f7f; code++) {
        const double low = ol_bf16_to_f32((uint16_t)code);
        const double high = ol_bf16_to_f32((uint16_t)(code + 1));
        const float middle = (float)((low + high) / 2);
        assert_int_equal(ol_bf16_from_f32(middle), code % 2 == 0 ? code : code + 1);
        assert_int_equal(ol_bf16_from_f32(nextafterf(middle, INFINITY)), code + 1);
        assert_int_equal(ol_bf16_from_f32(nextafterf(middle, -INFINITY)), code);
    }
    assert_int_equal(ol_bf16_from_f32(3.4e38f), 0x7f80);
}

static void f16_codes_have_their_values(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x10000; code++) {
        const int exponent = (code >> 10) & 31, mantissa = code & 1023;
        double want = exponent == 0    ? ldexp(mantissa, -24)
                      : exponent == 31 ? (mantissa != 0 ? (double)NAN : (double)INFINITY)
                                       : ldexp(1024 + mantissa, exponent - 25);
        want = (code & 0x8000) != 0 ? -want : want;
        const double got = ol_f16_to_f32((uint16_t)code);
        if (isnan(want))
            assert_true(isnan(got));
        else
            assert_true(got == want && signbit(got) == signbit(want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bf16_codes_survive_a_round_trip),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(f16_codes_have_their_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
